# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rulesets of other programs, nftables and iptables: read, parsed, and evaluated for one packet.

Imported by: openvswitch, libvirt_xml, dnsmasq, bridge, libvirt, network, firewall, host, orchestration, guard,
adoption, foreign, cli, tasks.
"""
