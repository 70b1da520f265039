# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a reconciler for an Ansible module. PRIVATE to this collection; it imports nothing of Ansible.

``module`` is an AnsibleModule, of which these members are used: params, check_mode, warn, fail_json, exit_json.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..core.by_name import each_by_name
from ..core.errors import InvalidOption, Locked, VirtnetError, printable_lines
from ..core.files import read_text
from ..core.lock import lock
from ..core.options import Options
from ..core.paths import Paths
from ..core.reconcile import Change, Plan, Reconciler, converge
from ..network.runtime import fail_pending_run, mark_part_done, pending_path

Spec = TypeVar("Spec")


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
    return list(each_by_name(Options({many: params[many]}), many))


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


def run(module: Any, work: Callable[[Paths], Mapping[str, Any]], *, only_reads: bool = False) -> None:
    """Exit with the return values of ``work``, or fail with its error.

    Other users than root are refused here, so that check mode says the same as a run; ``only_reads``: they are not.
    ``warnings`` among the values are warnings of the module: they are no return value since ansible-core 2.19.
    """
    try:
        if not only_reads and os.geteuid() != 0:
            raise VirtnetError("only root may change the networks of this host; run the play as root, or with --become")
        values = work(Paths())
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    for warning in values.get("warnings", ()):
        module.warn(printable_lines(str(warning)))
    module.exit_json(**{key: value for key, value in values.items() if key != "warnings"})


def run_objects(
    module: Any,
    many: str,
    read: Callable[[Options], Spec],
    build: Callable[[list[Spec], bool, Paths], Reconciler[Any, Any]],
    *,
    task_options: Sequence[str] = (),
    finish: Callable[[Plan[Any], Paths], Mapping[str, Any]] = lambda _plan, _paths: {},
    kind: str = "",
) -> None:
    """Run a reconciler of a list of objects; check mode, diff mode and a real run share one plan.

    ``build`` gets the objects and whether to remove all others. ``finish`` adds return values that depend on the
    applied plan. ``kind``: the part of the networks that is done then; it is removed from the note of the pending run,
    for which the guard leaves networks alone.
    """

    def work(paths: Paths) -> dict[str, Any]:
        confirm_uplink_move(module, paths)
        with contextlib.ExitStack() as run_under_way:
            objects = None if module.params.get("purge") else _names(module.params, many, task_options)
            if kind and not module.check_mode:
                run_under_way.enter_context(_undoing_failed_run(objects, paths))
            specs = [read(options) for options in requested_objects(module.params, many, task_options)]
            reconciler = build(specs, bool(module.params.get("purge")), paths)
            if kind or module.check_mode:
                plan = converge(reconciler, paths, check=module.check_mode)
            else:
                # XML has the name of its network inside.
                objects = None if objects is None else {str(getattr(spec, "name", "")) for spec in specs}
                with _undoing_failed_run(objects, paths, read_text(pending_path(paths))):
                    plan = converge(reconciler, paths, check=False)
                run_under_way.enter_context(_undoing_failed_run(objects, paths))
            more = finish(plan, paths)
            if kind and not module.check_mode:
                mark_part_done(kind, objects, paths)
        return {**as_return_values(plan, many), **more}

    run(module, work)


def _names(params: Mapping[str, Any], many: str, task_options: Sequence[str]) -> Collection[str]:
    """The networks or bridges that the task names; none if they cannot be read, which is refused later."""
    with contextlib.suppress(VirtnetError):
        items = requested_objects(params, many, task_options)
        return {str(item.raw(key)) for item in items for key in ("name", "interface") if item.given(key)}
    return ()


@contextlib.contextmanager
def _undoing_failed_run(objects: Collection[str] | None, paths: Paths, earlier: str | None = None) -> Iterator[None]:
    """If the block fails, undo the run that it belongs to; what cannot be undone is left to the guard.

    ``earlier``: the record of earlier runs; a block that fails before it changes this record leaves these alone.
    """
    try:
        yield
    except Locked:
        # Another run holds the lock, and the record may be its own.
        raise
    except Exception as error:
        if read_text(pending_path(paths)) == earlier:
            raise
        # Imported here because every module would wait for it, and it is rarely needed.
        from ..orchestration.undo import undo_run

        try:
            result = undo_run(objects, paths)
        except VirtnetError as second_error:
            result = f"and what the run has changed could not be undone: {second_error}"
        with contextlib.suppress(VirtnetError):
            fail_pending_run(objects, paths)
        if result and isinstance(error, VirtnetError):
            raise VirtnetError(f"{error}; {result}") from error
        raise


def confirm_uplink_move(module: Any, paths: Paths) -> None:
    """Confirm the move of the uplink to a bridge: that this task runs proves that the connection still works."""
    if module.check_mode or not os.path.isdir(os.path.join(paths.state, "uplinks")):
        return
    # Imported here because every module would wait for it, and it is rarely needed.
    from ..bridge.uplink import confirm, unconfirmed

    if unconfirmed(paths):
        with lock(paths.runtime):
            confirm(paths)
