# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# systemd-networkd as the DHCP client of a guest, in its network and mount namespaces: networkd_client.sh HOSTNAME
# With a /run of its own, and a /sys that is read-only: to systemd this means that there is no udev to wait for.
set -e
mount --make-rprivate /
mount -o remount,bind,ro /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
printf '%s\n' '[Match]' Name=eth0 '[Network]' DHCP=ipv4 LinkLocalAddressing=no IPv6AcceptRA=no \
  '[DHCPv4]' UseHostname=no "Hostname=$1" > /run/systemd/network/eth0.network
chown -R systemd-network: /run/systemd/netif
exec /lib/systemd/systemd-networkd
