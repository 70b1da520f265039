# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Between an Ansible module and the engine. PRIVATE to this collection; it imports nothing of Ansible.

Of the object called ``module`` only these members are used: params, check_mode, warn, fail_json,
exit_json.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import InvalidOption, VirtnetError, printable_lines
from ..core.lock import lock
from ..core.options import Options
from ..core.paths import Paths
from ..core.reconcile import Change, Plan, Reconciler, converge
from ..network.runtime import mark_part_done

Build = Callable[[Sequence[Options], bool, Paths], Reconciler[Any, Any]]
Finish = Callable[[Plan[Any], Paths], Mapping[str, Any]]


def requested(params: Mapping[str, Any], many: str, beside: Sequence[str] = ()) -> list[Options]:
    """The objects that the task names: those of the list option ``many``, or one by the flat options.

    ``beside`` are options of the task as a whole. Raises InvalidOption when both or neither are given.
    """
    whole = (many, "purge", *beside)
    flat = {key: value for key, value in params.items() if key not in whole and value is not None}
    if params.get(many) is None:
        if all(params.get(key) is None for key in ("name", "interface", "xml")):
            raise InvalidOption("", f"give one object by its options, or several by {many!r}")
        return [Options(flat)]
    if flat:
        raise InvalidOption(", ".join(sorted(flat)), f"cannot stand beside {many!r}; put it into the list's items")
    return list(Options({many: params[many]}).each(many))


def result(plan: Plan[Change], many: str) -> dict[str, Any]:
    """A plan as the return values of a module."""
    answer: dict[str, Any] = {
        "changed": bool(plan.changes),
        "changes": [str(change) for change in plan.changes],
        many: list(plan.result),
        **plan.return_values,
        "diff": [
            {
                "before_header": change.header,
                "after_header": change.header,
                "before": change.before,
                "after": change.after,
            }
            for change in plan.changes
        ],
    }
    if plan.notes:
        answer["warnings"] = list(plan.notes)
    return answer


def execute(
    module: Any,
    many: str,
    build: Build,
    beside: Sequence[str] = (),
    finish: Finish = lambda _plan, _paths: {},
    kind: str = "",
) -> None:
    """Run one part for an Ansible module: the same plan for check mode, diff and the real run.

    ``finish`` adds return values that only the finished plan can tell; ``kind`` is the part that is then as defined,
    which is one less for the guard to leave alone.
    """
    paths = Paths()
    try:
        _come_back(module, paths)
        part = build(requested(module.params, many, beside), bool(module.params.get("purge")), paths)
        plan = converge(part, paths, check=module.check_mode)
        more = finish(plan, paths)
        if kind and not module.check_mode:
            mark_part_done(kind, paths)
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    leave(module, {**result(plan, many), **more})


def run_part(module: Any, many: str, build: Callable[[Paths], Reconciler[Any, Any]]) -> None:
    """As execute(), for a part that is not made from a list of objects."""
    paths = Paths()
    try:
        _come_back(module, paths)
        plan = converge(build(paths), paths, check=module.check_mode)
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    leave(module, result(plan, many))


def _come_back(module: Any, paths: Paths) -> None:
    """A task that gets here shows that the connection outlived the move of the interface that carries it."""
    if module.check_mode or not os.path.isdir(os.path.join(paths.state, "uplinks")):
        return
    # Rarely needed, and every module would wait for it.
    from ..bridge.uplink import confirm, unconfirmed

    if unconfirmed(paths):
        with lock(paths.runtime):
            confirm(paths)


def leave(module: Any, answer: Mapping[str, Any]) -> None:
    """Hand over the return values; warnings go their own way since ansible-core 2.19."""
    for warning in answer.get("warnings", ()):
        module.warn(printable_lines(str(warning)))
    module.exit_json(**{key: value for key, value in answer.items() if key != "warnings"})


def answer(module: Any, ask: Callable[[Paths], Mapping[str, Any]]) -> None:
    """Run what only reads, for an Ansible module; ``warnings`` among its answers are warnings of the module."""
    try:
        found = ask(Paths())
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    leave(module, {"changed": False, **found})
