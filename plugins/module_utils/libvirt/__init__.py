# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registration of networks with libvirt, and libvirt's own networks.

Imported by: network, firewall, host, orchestration, guard, adoption, foreign, cli, tasks.
"""
