# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of bridges, Linux's and Open vSwitch's: addresses, isolation, shaping, moves of uplinks.

Imported by: network, firewall, host, orchestration, guard, adoption, cli, tasks.
"""
