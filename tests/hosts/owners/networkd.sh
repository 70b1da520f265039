# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A bridge that systemd-networkd makes and serves: sh -s up|down
cd /etc/systemd/network
if [ "$1" = up ]; then
    printf '%s\n' '[NetDev]' Name=vmbr0 Kind=bridge >vmbr0.netdev
    printf '%s\n' '[Match]' Name=vmbr0 '[Network]' Address=10.77.0.1/24 DHCPServer=yes IPMasquerade=ipv4 \
        ConfigureWithoutCarrier=yes '[DHCPServer]' PoolOffset=100 PoolSize=50 >vmbr0.network
    mkdir -p vmbr0.network.d
    printf '%s\n' '[DHCPServer]' DefaultLeaseTimeSec=2h >vmbr0.network.d/lease.conf
    systemctl start systemd-networkd.service
else
    rm -r vmbr0.netdev vmbr0.network vmbr0.network.d
    networkctl reload
    ip link delete vmbr0
fi
