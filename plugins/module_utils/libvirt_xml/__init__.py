# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network as libvirt's XML: the table of its elements, reading, writing.

Imported by: bridge, libvirt, network, firewall, host, orchestration, guard, adoption, foreign, cli, tasks.
"""
