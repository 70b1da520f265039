# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# NetworkManager as the manager of eth0, by a keyfile, instead of ifupdown.
printf '%s\n' '[main]' plugins=keyfile > /etc/NetworkManager/NetworkManager.conf
keyfile=/etc/NetworkManager/system-connections/eth0.nmconnection
printf '%s\n' '[connection]' id=eth0 uuid=8c2f3f0e-5a94-4c3b-9d2e-5d2a3a1c0b11 type=ethernet interface-name=eth0 \
  '[ipv4]' method=manual "address1=$ADDRESS/24,$SERVER" "dns=$SERVER;" '[ipv6]' method=auto > "$keyfile"
chmod 600 "$keyfile"
systemctl disable networking.service
systemctl enable NetworkManager.service NetworkManager-wait-online.service
