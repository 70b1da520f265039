# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# systemd-networkd as the manager of eth0 instead of ifupdown.
printf '%s\n' '[Match]' Name=eth0 '[Network]' "Address=$ADDRESS/24" "Gateway=$SERVER" "DNS=$SERVER" \
  > /etc/systemd/network/20-wired.network
systemctl disable networking.service
systemctl enable systemd-networkd.service
dpkg --purge firewalld network-manager
