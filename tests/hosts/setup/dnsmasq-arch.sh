# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# dnsmasq as Arch ships it: its configuration consists of comments, so it reads no /etc/dnsmasq.d.
rm -rf /etc/default/dnsmasq /etc/init.d/dnsmasq /usr/share/dnsmasq/systemd-helper /etc/dnsmasq.d
echo '# Configuration file for dnsmasq.' > /etc/dnsmasq.conf
groupadd --system --force dnsmasq
usermod --gid dnsmasq --home / dnsmasq
cat > /usr/lib/systemd/system/dnsmasq.service << 'UNIT'
[Unit]
Description=A lightweight DHCP and caching DNS server
Documentation=man:dnsmasq(8)
After=network.target
Before=network-online.target nss-lookup.target
Wants=nss-lookup.target

[Service]
Type=dbus
BusName=uk.org.thekelleys.dnsmasq
ExecStartPre=/usr/bin/dnsmasq --test
ExecStart=/usr/bin/dnsmasq -k --enable-dbus --user=dnsmasq --pid-file
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
PrivateDevices=true
ProtectSystem=full

[Install]
WantedBy=multi-user.target
UNIT
