# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# NetworkManager for the uplink, resolv.conf and the VPN: start_networkmanager.sh DNS UPLINK_PROFILE VPN_PROFILE
conf=/etc/NetworkManager/conf.d/lab.conf
profiles=/etc/NetworkManager/system-connections
mkdir -p /etc/NetworkManager/conf.d "$profiles"
printf '[main]\nplugins=keyfile\nrc-manager=file\ndns=%s\n' "$1" > "$conf"
printf '%s' "$2" > "$profiles/uplink.nmconnection"
printf '%s' "$3" > "$profiles/corp.nmconnection"
sed -i "s/ADDRESS/$(ip -4 -o address show eth0 | awk '{print $4}' | cut -d / -f 1)/" "$profiles/uplink.nmconnection"
chmod 600 "$profiles"/*
printf '%s\n' '[device-vpn0]' 'match-device=interface-name:vpn0' 'managed=1' >> "$conf"
systemctl start NetworkManager
nmcli device set vpn0 managed yes
nmcli -w 30 connection up uplink
# NetworkManager takes the address that is there for the profile's, and the profile for active.
nmcli -w 30 connection down corp || true
ip address replace 10.99.0.1/24 dev vpn0
