# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of the engine that are cut short or disturbed in every way, and what becomes of the host: ``make torture``."""
