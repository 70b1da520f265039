# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of Linux and Open vSwitch bridges: addresses, isolation, bandwidth limits, moves of the uplink.

Imported by: network, firewall, host, orchestration, guard, adoption, foreign, cli, tasks.
"""
