# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# What Fedora Server is called, and the zone of its firewall.
printf '%s\n' 'NAME="Fedora Linux"' 'VERSION="42 (Server Edition)"' ID=fedora VERSION_ID=42 \
  'PRETTY_NAME="Fedora Linux 42 (Server Edition)"' VARIANT_ID=server > /usr/lib/os-release
cat > /usr/lib/firewalld/zones/FedoraServer.xml << 'ZONE'
<?xml version="1.0" encoding="utf-8"?>
<zone>
  <short>Fedora Server</short>
  <service name="ssh"/>
  <service name="dhcpv6-client"/>
  <forward/>
</zone>
ZONE
sed -i 's/^DefaultZone=.*/DefaultZone=FedoraServer/' /etc/firewalld/firewalld.conf
