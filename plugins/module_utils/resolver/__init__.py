# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's resolver: one file for each provider of /etc/resolv.conf, and the reconciler of its entries.

Imported by: openvswitch, libvirt_xml, dnsmasq, bridge, libvirt, network, firewall, host, orchestration, guard,
adoption, foreign, cli, tasks.
"""
