# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# dnsmasq as Fedora and RHEL ship it: the configuration limits it to loopback, and reads /etc/dnsmasq.d. Their program has
# another default for the lease file, to which a link leads here.
rm -rf /etc/default/dnsmasq /etc/init.d/dnsmasq /usr/share/dnsmasq/systemd-helper /etc/dnsmasq.d/*
groupadd --system --force dnsmasq
usermod --gid dnsmasq --home /var/lib/dnsmasq dnsmasq
install --directory --owner=dnsmasq --group=dnsmasq /var/lib/dnsmasq
ln -sf ../dnsmasq/dnsmasq.leases /var/lib/misc/dnsmasq.leases
printf '%s\n' user=dnsmasq group=dnsmasq interface=lo bind-interfaces \
  conf-dir=/etc/dnsmasq.d,.rpmnew,.rpmsave,.rpmorig > /etc/dnsmasq.conf
cat > /usr/lib/systemd/system/dnsmasq.service << 'UNIT'
[Unit]
Description=DNS caching server.
Before=nss-lookup.target
Wants=nss-lookup.target
After=network.target

[Service]
ExecStart=/usr/sbin/dnsmasq
Type=forking
PIDFile=/run/dnsmasq.pid

[Install]
WantedBy=multi-user.target
UNIT
