# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DHCP and DNS of networks by dnsmasq: which instance serves a network, its files, deployment, verification, leases.

Imported by: bridge, libvirt, network, firewall, host, orchestration, guard, adoption, foreign, cli, tasks.
"""
