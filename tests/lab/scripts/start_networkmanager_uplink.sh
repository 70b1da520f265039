# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# NetworkManager for the uplink, without resolv.conf: start_networkmanager_uplink.sh UPLINK_PROFILE
conf=/etc/NetworkManager/conf.d/lab.conf
profiles=/etc/NetworkManager/system-connections
printf '[main]\nplugins=keyfile\ndns=none\n' > "$conf"
printf '%s' "$1" > "$profiles/uplink.nmconnection"
sed -i "s,ADDRESS/24,$(ip -4 -o address show eth0 | awk '{print $4}' | head -n 1)," "$profiles/uplink.nmconnection"
chmod 600 "$profiles"/*
systemctl start NetworkManager
nmcli -w 30 connection up uplink
