# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module virt_network does, without Ansible: define_networks.py ROOT [check], definitions as JSON on stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import converge
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.reconciler import Networks

root = sys.argv[1]
paths = Paths(root)
specs = [read_network(options, root) for options in Options({"networks": json.load(sys.stdin)}).each("networks")]
plan = converge(Networks(specs, False, paths), paths, check="check" in sys.argv)
print(json.dumps({"changes": list(map(str, plan.changes)), "networks": plan.result, **plan.return_values}))
