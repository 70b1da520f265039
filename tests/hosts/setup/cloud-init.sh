# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# The seed of a cloud (NoCloud), from which cloud-init renders /etc/netplan/50-cloud-init.yaml at the next boot.
# eth0 is named: a veth has no permanent address, by which netplan lets systemd-networkd find it.
seed=/var/lib/cloud/seed/nocloud
mkdir -p "$seed"
printf '%s\n' "instance-id: i-$(hostname)" "local-hostname: $(hostname)" > "$seed/meta-data"
printf '%s\n' '#cloud-config' 'apt: {preserve_sources_list: true}' 'locale: C.UTF-8' > "$seed/user-data"
cat > "$seed/network-config" << SEED
version: 2
ethernets:
  eth0:
    addresses: [$ADDRESS/24]
    routes: [{to: default, via: $SERVER}]
    nameservers: {addresses: [$SERVER]}
SEED
# As in Debian's images: /etc/hosts is written from a template at each boot.
echo 'manage_etc_hosts: true' > /etc/cloud/cloud.cfg.d/01_debian_cloud.cfg
