# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The daemon that restores networks at boot and repairs what breaks.

Imported by: cli, tasks.
"""
