# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files, options, errors, commands, the lock and the loop of every reconciler: nothing of it knows networks.

Imported by: kernel, dhcp, ruleset, nft, ipam, resolver, openvswitch, libvirt_xml, dnsmasq, bridge, libvirt, network,
firewall, host, orchestration, guard, adoption, foreign, cli, tasks.
"""
