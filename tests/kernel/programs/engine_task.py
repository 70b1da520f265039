# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs reconcilers as their Ansible modules would, without Ansible.

Reads a list of tasks as JSON: {"part": "bridge", "nft" or "resolver", "wanted": OPTIONS, "purge": BOOL, "check": BOOL,
"root": FOLDER, "may_move": BOOL, "confirm": BOOL}. Writes the list of the modules' results as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import converge
from ansible_collections.virtnet.linux.plugins.module_utils.tasks import module

Task = Mapping[str, Any]


def options_of(task: Task, name: str) -> Iterator[Options]:
    """The options of each item, as those of the module's option `name`."""
    return Options({name: task["wanted"]}).each(name)


def bridge(task: Task, paths: Paths) -> dict[str, Any]:
    from ansible_collections.virtnet.linux.plugins.module_utils.bridge import uplink
    from ansible_collections.virtnet.linux.plugins.module_utils.bridge.reconciler import BridgeReconciler
    from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
    from ansible_collections.virtnet.linux.plugins.module_utils.core.lock import lock

    if task.get("confirm"):
        with lock(paths.runtime):
            uplink.confirm(paths)
    specs = [BridgeSpec.from_options(options) for options in options_of(task, "bridges")]
    reconciler = BridgeReconciler(specs, task["purge"], paths, task.get("may_move", False))
    plan = converge(reconciler, paths, check=task["check"])
    return module.as_return_values(plan, "bridges")


def nft(task: Task, paths: Paths) -> dict[str, Any]:
    from ansible_collections.virtnet.linux.plugins.module_utils.firewall.reconciler import RulesReconciler
    from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec

    specs = [RulesSpec.from_options(options) for options in options_of(task, "networks")]
    plan = converge(RulesReconciler(specs, task["purge"], paths), paths, check=task["check"])
    return module.as_return_values(plan, "networks")


def resolver(task: Task, paths: Paths) -> dict[str, Any]:
    from ansible_collections.virtnet.linux.plugins.module_utils.resolver.reconciler import ResolverEntries
    from ansible_collections.virtnet.linux.plugins.module_utils.resolver.spec import EntrySpec

    specs = [EntrySpec.from_options(options) for options in options_of(task, "entries")]
    plan = converge(ResolverEntries(specs, task["purge"], paths), paths, check=task["check"])
    return module.as_return_values(plan, "entries")


PARTS: Mapping[str, Callable[[Task, Paths], dict[str, Any]]] = {"bridge": bridge, "nft": nft, "resolver": resolver}


def run(task: Task) -> dict[str, Any]:
    try:
        return PARTS[task["part"]](task, Paths(task["root"]))
    except VirtnetError as error:
        return {"failed": True, "msg": str(error)}


def main() -> None:
    print(json.dumps([run(task) for task in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
