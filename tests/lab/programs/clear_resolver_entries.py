# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes all resolver entries of the engine from a host. Runs there: `python3 -I -`."""

from __future__ import annotations

import sys

sys.path.insert(0, "/usr/local/lib/virtnet")

from engine.core.paths import Paths
from engine.core.reconcile import converge
from engine.resolver.reconciler import ResolverEntries

converge(ResolverEntries([], True, Paths()), Paths(), check=False)
