# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# dnsmasq as openSUSE ships it: its configuration consists of comments.
rm -rf /etc/default/dnsmasq /etc/init.d/dnsmasq /usr/share/dnsmasq/systemd-helper /etc/dnsmasq.d/*
echo '# Configuration file for dnsmasq.' > /etc/dnsmasq.conf
cat > /usr/lib/systemd/system/dnsmasq.service << 'UNIT'
[Unit]
Description=DNS caching server
After=network.target
Before=nss-lookup.target
Wants=nss-lookup.target

[Service]
ProtectSystem=full
ProtectHome=true
PrivateDevices=true
ProtectHostname=true
ProtectClock=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
RestrictRealtime=true
Type=dbus
BusName=uk.org.thekelleys.dnsmasq
ExecStartPre=/usr/sbin/dnsmasq --test
ExecStart=/usr/sbin/dnsmasq --log-async --enable-dbus --keep-in-foreground
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT
