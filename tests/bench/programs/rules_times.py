# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times the engine's rules for many networks: rules_times.py ROOT COUNT

Prints milliseconds as a JSON list: the first run, one more network, a run that changes nothing, `nft -f` of the whole
table, `nft list`, and what the run that changes nothing takes beyond that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import converge
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.reconciler import RulesReconciler, read_table
from ansible_collections.virtnet.linux.plugins.module_utils.nft.script import render
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec


def network(number: int) -> dict[str, Any]:
    subnet = f"10.{number // 250}.{number % 250}.0/24"
    return {"name": f"n{number}", "bridge": f"vn-n{number}", "subnets": [subnet]}


def run(networks: Sequence[Mapping[str, Any]], paths: Paths) -> tuple[float, int]:
    """The milliseconds and the number of changes of a run."""
    specs = [RulesSpec.from_options(options) for options in Options({"networks": networks}).each("networks")]
    began = time.perf_counter()
    plan = converge(RulesReconciler(specs, False, paths), paths, check=False)
    return (time.perf_counter() - began) * 1000, len(plan.changes)


def nft(*arguments: str, script: str | None = None) -> float:
    began = time.perf_counter()
    subprocess.run(["nft", *arguments], input=script, text=True, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def main(root: str, count: int) -> None:
    paths = Paths(root)
    networks = [network(number) for number in range(count)]
    first, _ = run(networks, paths)
    unchanged, changes = run(networks, paths)
    assert not changes
    one_more, _ = run([network(count)], paths)
    table = read_table()
    assert table is not None
    replaced = nft("-f", "-", script=render(table.elements, marks=table.marks))
    listed = nft("-j", "list", "table", "inet", "virtnet")
    print(json.dumps([first, one_more, unchanged, replaced, listed, unchanged - listed]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
