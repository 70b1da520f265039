# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges of Open vSwitch: OVSDB, ports and their VLANs.

Imported by: bridge, libvirt, network, firewall, host, orchestration, guard, adoption, foreign, cli, tasks.
"""
