# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of rules, other firewalls of the host, and what they do to guests' packets.

Imported by: orchestration, guard, adoption, cli, tasks.
"""
