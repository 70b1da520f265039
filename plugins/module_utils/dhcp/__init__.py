# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DHCP options of a network as data, and the syntax of dnsmasq's lines.

Imported by: openvswitch, libvirt_xml, dnsmasq, bridge, libvirt, network, firewall, host, orchestration, guard,
adoption, foreign, cli, tasks.
"""
