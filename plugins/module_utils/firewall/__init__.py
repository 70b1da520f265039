# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of rules, the integrations with other firewalls, and the check of what firewalls do to packets.

Imported by: orchestration, guard, adoption, foreign, cli, tasks.
"""
