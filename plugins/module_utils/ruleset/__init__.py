# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What foreign rulesets do to a packet: nftables and iptables, read and evaluated.

Imported by: openvswitch, libvirt_xml, dnsmasq, bridge, libvirt, network, firewall, host, orchestration, guard,
adoption, cli, tasks.
"""
