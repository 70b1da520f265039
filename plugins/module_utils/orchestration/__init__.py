# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From definitions to the desired state of each reconciler; restore, status, leases, conflicts of subnets.

Imported by: guard, adoption, foreign, cli, tasks.
"""
