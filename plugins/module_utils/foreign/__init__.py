# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that others run on the host, read into the options of our own. Nothing is changed.

Imported by: tasks.
"""
