# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a reconciler for an Ansible module. PRIVATE to this collection; it imports nothing of Ansible.

``module`` is an AnsibleModule, of which these members are used: params, check_mode, warn, fail_json, exit_json.
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


def requested_objects(params: Mapping[str, Any], many: str, task_options: Sequence[str] = ()) -> list[Options]:
    """The objects that the task names: those of the list option ``many``, or a single one by the flat options.

    ``task_options`` concern the whole task. Raises InvalidOption if both or neither are given.
    """
    not_flat = (many, "purge", *task_options)
    flat = {key: value for key, value in params.items() if key not in not_flat and value is not None}
    if params.get(many) is None:
        if all(params.get(key) is None for key in ("name", "interface", "xml")):
            raise InvalidOption("", f"give one object by its options, or several by {many!r}")
        return [Options(flat)]
    if flat:
        raise InvalidOption(", ".join(sorted(flat)), f"cannot stand beside {many!r}; put it into the list's items")
    return list(Options({many: params[many]}).each(many))


def as_return_values(plan: Plan[Change], many: str) -> dict[str, Any]:
    """The return values of a module for a plan; ``many`` is the key of the resulting objects."""
    values: dict[str, Any] = {
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
        values["warnings"] = list(plan.notes)
    return values


def run_reconciler(
    module: Any,
    many: str,
    build: Build,
    task_options: Sequence[str] = (),
    finish: Finish = lambda _plan, _paths: {},
    kind: str = "",
) -> None:
    """Run a reconciler of a list of objects; check mode, diff mode and a real run share one plan.

    ``finish`` adds return values that depend on the applied plan. ``kind``: the part of the networks that is done then;
    it is removed from the note of the pending run, for which the guard leaves networks alone.
    """
    paths = Paths()
    try:
        _confirm_uplink_move(module, paths)
        wanted = requested_objects(module.params, many, task_options)
        plan = converge(build(wanted, bool(module.params.get("purge")), paths), paths, check=module.check_mode)
        more = finish(plan, paths)
        if kind and not module.check_mode:
            mark_part_done(kind, paths)
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    exit_module(module, {**as_return_values(plan, many), **more})


def run_single(module: Any, many: str, build: Callable[[Paths], Reconciler[Any, Any]]) -> None:
    """As run_reconciler(), for a reconciler without a list of objects."""
    paths = Paths()
    try:
        _confirm_uplink_move(module, paths)
        plan = converge(build(paths), paths, check=module.check_mode)
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    exit_module(module, as_return_values(plan, many))


def _confirm_uplink_move(module: Any, paths: Paths) -> None:
    """Confirm the move of the uplink to a bridge: that this task runs proves that the connection still works."""
    if module.check_mode or not os.path.isdir(os.path.join(paths.state, "uplinks")):
        return
    # Imported here because every module would wait for it, and it is rarely needed.
    from ..bridge.uplink import confirm, unconfirmed

    if unconfirmed(paths):
        with lock(paths.runtime):
            confirm(paths)


def exit_module(module: Any, values: Mapping[str, Any]) -> None:
    """Exit with return values; warnings are no return value since ansible-core 2.19."""
    for warning in values.get("warnings", ()):
        module.warn(printable_lines(str(warning)))
    module.exit_json(**{key: value for key, value in values.items() if key != "warnings"})


def run_query(module: Any, query: Callable[[Paths], Mapping[str, Any]]) -> None:
    """Run a query that changes nothing; ``warnings`` among its values are warnings of the module."""
    try:
        values = query(Paths())
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    exit_module(module, {"changed": False, **values})
