# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reconciles a bridge while a guest starts: plug_while_verifying.py ROOT OPTIONS LINK

The link becomes a port of the bridge after the changes are made, and before they are verified.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.bridge.reconciler import BridgeReconciler
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.state import BridgeChange
from ansible_collections.virtnet.linux.plugins.module_utils.core.command import run
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import Plan, converge


class Interrupted(BridgeReconciler):
    """Plugs the link in when it has made its changes."""

    def apply(self, plan: Plan[BridgeChange]) -> None:
        super().apply(plan)
        run(["ip", "link", "set", sys.argv[3], "master", self.specs[0].name])


root, options = Paths(sys.argv[1]), Options(json.loads(sys.argv[2]))
print(*map(str, converge(Interrupted([BridgeSpec.from_options(options)], False, root), root, check=False).changes))
