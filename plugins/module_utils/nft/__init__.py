# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of our own nftables table: chains, elements, NAT, port forwards.

Imported by: openvswitch, libvirt_xml, dnsmasq, bridge, libvirt, network, firewall, host, orchestration, guard,
adoption, foreign, cli, tasks.
"""
