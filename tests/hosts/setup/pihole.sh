# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Pi-hole: pihole-FTL is a dnsmasq, here Debian's under that name, which serves every address of the host.
cp /usr/sbin/dnsmasq /usr/bin/pihole-FTL
useradd --system --user-group --home-dir /home/pihole --no-create-home --shell /usr/sbin/nologin pihole
mkdir /etc/pihole
printf '%s\n' no-resolv port=53 "server=$SERVER" domain-needed expand-hosts bogus-priv localise-queries cache-size=10000 \
  dns-forward-max=150 local-service > /etc/pihole/dnsmasq.conf
cat > /etc/systemd/system/pihole-FTL.service << 'UNIT'
[Unit]
Description=Pi-hole FTL
Wants=network-online.target nss-lookup.target
Before=nss-lookup.target
After=network-online.target

[Service]
ExecStart=/usr/bin/pihole-FTL --keep-in-foreground --conf-file=/etc/pihole/dnsmasq.conf --user=pihole --group=pihole
Restart=on-failure
RestartSec=5s
ProtectSystem=full
ProtectHome=read-only

[Install]
WantedBy=multi-user.target
UNIT
systemctl enable pihole-FTL.service
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
