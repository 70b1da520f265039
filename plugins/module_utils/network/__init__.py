# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of a network, its definition on disk, and the records of its run.

Imported by: firewall, host, orchestration, guard, adoption, foreign, cli, tasks.
"""
