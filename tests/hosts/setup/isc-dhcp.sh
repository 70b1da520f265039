# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# ISC's DHCP server, as packaged, with a pool for the LAN.
sed -i 's/^INTERFACESv4=.*/INTERFACESv4="eth0"/' /etc/default/isc-dhcp-server
printf '%s\n' 'subnet 203.0.113.0 netmask 255.255.255.0 {' '  range 203.0.113.200 203.0.113.220;' '}' \
  > /etc/dhcp/dhcpd.conf
systemctl enable isc-dhcp-server.service
