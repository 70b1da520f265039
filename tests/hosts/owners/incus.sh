# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A network of incus: sh -s up|down. Its client writes settings for root on first use; the import must not.
export INCUS_CONF=/run/incus-conf
if [ "$1" = up ]; then
    systemctl start incus.service
    incus admin waitready --timeout 60
    incus network create lab0 ipv4.address=10.66.0.1/24 ipv4.nat=true ipv4.dhcp.ranges=10.66.0.50-10.66.0.90 \
        ipv6.address=none dns.domain=lab.example
else
    incus network delete lab0
fi
