# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# unbound, as packaged, as the host's resolver. The lab's zone has no signatures.
cat > /etc/unbound/unbound.conf.d/lab.conf << CONF
server:
  module-config: "iterator"
  local-zone: test transparent
forward-zone:
  name: "."
  forward-addr: $SERVER
CONF
systemctl enable unbound.service
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
