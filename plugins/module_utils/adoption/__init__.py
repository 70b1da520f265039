# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that libvirt hands over to us, and gets back.

Imported by: cli, tasks.
"""
