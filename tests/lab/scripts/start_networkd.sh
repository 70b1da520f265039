# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# systemd-networkd for the uplink and for every other link: start_networkd.sh CATCH_ALL_CONFIGURATION
printf '[Match]\nName=eth0\n\n[Network]\nAddress=%s\nGateway=203.0.113.1\n' \
  "$(ip -4 -o address show eth0 | awk '{print $4}' | head -n 1)" > /etc/systemd/network/50-uplink.network
printf '%s' "$1" > /etc/systemd/network/90-all.network
systemctl start systemd-networkd
