# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of the engine that are killed or disturbed at any step, and the host's state afterwards: ``make torture``."""
