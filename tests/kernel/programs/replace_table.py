# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the engine replace all of its nftables table 100 times: replace_table.py ROOT

Before each run the table is altered by hand, so that the engine does not change single elements.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.core.command import run
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import converge
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.reconciler import RulesReconciler
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec

paths = Paths(sys.argv[1])
for number in range(100):
    mode = ("nat", "routed", "isolated")[number % 3]
    networks = [
        {"name": "a", "bridge": "br-a", "subnets": ["192.168.30.0/24"]},
        {"name": "b", "bridge": "br-b", "subnets": ["192.168.31.0/24"], "mode": mode},
    ]
    run(["nft", "insert rule inet virtnet vn_forward accept"])
    specs = [RulesSpec.from_options(options) for options in Options({"networks": networks}).each("networks")]
    plan = converge(RulesReconciler(specs, False, paths), paths, check=False)
    assert any("repaired" in str(change) for change in plan.changes)
