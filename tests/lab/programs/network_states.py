# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the state of each network of a host as JSON, by its name. Runs there: `python3 -I -`."""

from __future__ import annotations

import json
import sys

sys.path.insert(0, "/usr/local/lib/virtnet")

from engine.core.paths import Paths
from engine.orchestration.status import networks

print(json.dumps({network["name"]: network["state"] for network in networks(Paths())}))
