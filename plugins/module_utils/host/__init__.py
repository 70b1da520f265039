# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine on a host, its services and requirements.

Imported by: orchestration, guard, adoption, foreign, cli, tasks.
"""
