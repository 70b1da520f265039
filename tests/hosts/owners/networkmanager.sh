# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A bridge that NetworkManager shares: sh -s up|down
if [ "$1" = up ]; then
    printf '%s\n' '[main]' plugins=keyfile '[keyfile]' unmanaged-devices=interface-name:eth0 >/etc/NetworkManager/NetworkManager.conf
    systemctl start NetworkManager.service
    nmcli connection add type bridge con-name 'Lab network' ifname nmbr0 bridge.stp no ipv4.method shared \
        ipv4.addresses 10.99.0.1/24 ipv6.method disabled
    nmcli connection up 'Lab network'
else
    nmcli connection delete 'Lab network'
fi
