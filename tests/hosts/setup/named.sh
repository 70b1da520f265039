# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# BIND, as packaged, as the resolver of the host and of its LAN. The lab's zone has no signatures.
cat > /etc/bind/named.conf.options << CONF
options {
    directory "/var/cache/bind";
    forwarders { $SERVER; };
    dnssec-validation no;
    listen-on-v6 { any; };
};
CONF
systemctl enable named.service
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
