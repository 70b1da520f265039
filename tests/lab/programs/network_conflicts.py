# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the conflicts of a network as virt_network_info returns them: `python3 -I - NAME` on the host."""

from __future__ import annotations

import sys

sys.path.insert(0, "/usr/local/lib/virtnet")

from engine.core.paths import Paths
from engine.orchestration.status import described

print(described(Paths(), [sys.argv[1]])["networks"][0]["conflicts"])
