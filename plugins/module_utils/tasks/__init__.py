# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Between an Ansible module and a reconciler.

Imported by: nothing of the engine.
"""
