# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Kea, as packaged, with a pool for the LAN.
cat > /etc/kea/kea-dhcp4.conf << 'CONF'
{"Dhcp4": {
  "interfaces-config": {"interfaces": ["eth0"]},
  "lease-database": {"type": "memfile", "lfc-interval": 3600},
  "valid-lifetime": 3600,
  "subnet4": [{"id": 1, "subnet": "203.0.113.0/24", "pools": [{"pool": "203.0.113.200 - 203.0.113.220"}]}]
}}
CONF
systemctl enable kea-dhcp4-server.service
