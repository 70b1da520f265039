# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard has done by child processes: they import what they need, and take it with them when they end."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..bridge.port_records import record_ovs_ports
from ..core.errors import Locked, VirtnetError
from ..core.files import put
from ..core.lock import lock
from ..core.paths import Paths
from ..kernel.links import OPENVSWITCH
from ..network.runtime import Pending, pending_file, read_pending
from ..orchestration import subnet_conflicts as conflict
from ..orchestration.desired_state import KINDS, SWITCHES
from ..orchestration.restore import NETWORKS, Outcome, bring, gather, restore, say
from .carrier import bring_back, taken_down
from .view import View

# A run that holds the lock is waited for so long; then the guard listens again, and comes back to it.
_PATIENCE = 2.0

_AFTER_BRIDGES = frozenset({"fragments", "entries"})


def in_child(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function that was called in a child process; None where that did not end well."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.close(reader)
            # The guard waits for its children; they finish what they began.
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            with open(writer, "wb") as stream:
                pickle.dump(work(*arguments), stream)
            status = 0
        except BrokenPipeError:
            # The guard was killed; what it wanted is done all the same.
            status = 0
        except VirtnetError as error:
            say(f"error: {error}")
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as stream:
        result = stream.read()
    _process, status = os.waitpid(process, 0)
    return pickle.loads(result) if status == 0 and result else None


@dataclass(frozen=True)
class Sight:
    """What the guard sees of the host, and how much of what is defined runs; or why it cannot be seen."""

    view: View = field(default_factory=View)
    defined: int = 0
    running: int = 0
    error: str = ""
    unreadable: Collection[str] = ()


def look(paths: Paths, before: Mapping[str, Mapping[int, str]]) -> Sight:
    """Read definitions and links; what that takes of memory is gone with the child."""
    try:
        situation = gather(paths)
    except VirtnetError as error:
        return Sight(error=str(error))
    return Sight(
        View.of(situation, before), len(situation.defined), len(situation.running), unreadable=situation.problems
    )


def boot(paths: Paths) -> int:
    """Restore all but the resolver's entries, which have a service of their own that comes after dnsmasq's."""
    try:
        status = restore(paths, [NETWORKS])
        bring_back(paths)
    except VirtnetError as error:
        say(f"error: {error}")
        return 1
    return status


def heal(paths: Paths, kinds: Collection[str], left: Collection[str]) -> list[dict[str, Any]]:
    """Bring parts after the definitions, but for networks ``left`` to a run; ``busy``: that run holds the lock."""
    try:
        with lock(paths.runtime, _PATIENCE):
            # What a run stored while this waited for the lock is left to it too.
            left = {*left, *read_pending(paths).names}
            situation = gather(paths)
            if left and not any(network.name not in left for network in situation.wanted):
                return []
            done = list(bring(situation, paths, kinds=kinds, leave=left))
            more = _AFTER_BRIDGES - set(kinds)
            if more and any(outcome.kind in ("bridges", SWITCHES) and outcome.changes for outcome in done):
                done += bring(gather(paths), paths, kinds=more, leave=left)
            if SWITCHES in kinds:
                running = [one for one in situation.running if one.bridge.type == OPENVSWITCH and one.name not in left]
                record_ovs_ports([network.bridge.name for network in running], paths)
    except Locked:
        return [{"kind": kind, "busy": True} for kind in kinds]
    except VirtnetError as error:
        return [vars(Outcome(kind, error=str(error))) for kind in kinds]
    return [vars(outcome) for outcome in done]


def finish_run(paths: Paths, names: Collection[str]) -> bool:
    """Forget a run of which nothing is left to do; whether it was so."""
    with contextlib.suppress(Locked), lock(paths.runtime, _PATIENCE):
        pending = read_pending(paths)
        if not pending.names <= set(names):
            return False
        if any(outcome.changes or outcome.error for outcome in bring(gather(paths), paths, names=names, check=True)):
            return False
        put([pending_file(Pending(), paths)])
        return True
    return False


def settle_conflicts(paths: Paths, left: Collection[str]) -> dict[str, list[str]]:
    """Move networks whose subnet somebody else has now, with rules, bridges, DHCP, DNS and resolver, in one pass."""
    answer: dict[str, list[str]] = {"moved": [], "names": [], "stay": [], "errors": []}
    with contextlib.ExitStack() as after, lock(paths.runtime, _PATIENCE):
        situation = gather(paths)
        moves, answer["stay"] = conflict.look(situation, paths, {*left, *read_pending(paths).names})
        if not moves:
            return answer
        conflict.store(moves, paths)
        # What they hold is worth nothing from now on; they ask again when there is somebody to answer.
        after.enter_context(taken_down(conflict.guests_of(moves, situation.links), paths))
        answer["moved"] = list(map(str, moves))
        answer["names"] = [move.new.name for move in moves]
        outcomes = bring(gather(paths), paths, kinds=KINDS, names=answer["names"])
        answer["errors"] = [outcome.error for outcome in outcomes if outcome.error]
    return answer
