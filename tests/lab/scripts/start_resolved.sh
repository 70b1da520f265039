# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# systemd-resolved as the owner of resolv.conf.
mkdir -p /etc/systemd/resolved.conf.d
printf '%s\n' '[Resolve]' DNS=203.0.113.1 Domains=internet.test LLMNR=no MulticastDNS=no \
  > /etc/systemd/resolved.conf.d/lab.conf
systemctl restart systemd-resolved
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
