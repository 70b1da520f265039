# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program virtnet.

Imported by: nothing of the engine.
"""
