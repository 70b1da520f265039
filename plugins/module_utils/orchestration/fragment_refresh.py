# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What our fragments say decided anew, just before the system's dnsmasq reads them: its unit calls this.

The administrator may have changed what else it reads since our last run. Only fragments that are there are rewritten;
a network that can no longer be served by it is for the next run to move. Nothing is started or stopped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from ..core.errors import Locked
from ..core.files import File, put
from ..core.lock import lock
from ..core.options import Options
from ..core.paths import Paths
from ..dnsmasq.config_check import check_syntax
from ..dnsmasq.placement import Placement, system_problem
from ..dnsmasq.private_files import Layout
from ..dnsmasq.reconciler import Fragments
from ..dnsmasq.render import hosts_files, render
from ..dnsmasq.render_context import render_contexts
from ..dnsmasq.spec import PRESENT, SYSTEM, FragmentSpec
from ..dnsmasq.state import RESTART_DUE_FILE, WAITS_FOR_DNSMASQ
from ..dnsmasq.system_config import fragment_file
from ..dnsmasq.target import is_forward
from .desired_state import specs
from .restore import gather, say

# Seconds that a start of dnsmasq may wait for a run of ours.
_PATIENCE = 5.0


def refresh(paths: Paths) -> int:
    """Rewrite fragments that would be wrong now; raises VirtnetError.

    While a run of ours restarts dnsmasq it holds the lock, and has decided; while one waits for it to be up, it holds
    the lock, and decides then. Waiting for either would be for ever.
    """
    if os.path.exists(os.path.join(paths.runtime, RESTART_DUE_FILE)):
        return 0
    try:
        with lock(paths.runtime, _PATIENCE, unless=WAITS_FOR_DNSMASQ):
            situation = gather(paths)
            listed = specs(situation.wanted, {})["fragments"]
            for line in rewrite([FragmentSpec.from_options(Options(dict(one))) for one in listed], paths):
                say(line)
    except Locked as error:
        if error.note != WAITS_FOR_DNSMASQ:
            raise
    return 0


def rewrite(wanted: Sequence[FragmentSpec], paths: Paths, part: Fragments | None = None) -> list[str]:
    """Rewrite those fragments of these networks that are there and wrong; returns what was done."""
    present = [replace(spec, instance=SYSTEM) for spec in wanted if spec.state == PRESENT]
    current = (part or Fragments(present, False, paths)).read()
    contexts = render_contexts(list(map(Placement, present)), current, Layout(paths))
    new: dict[str, str] = {}
    hosts: dict[str, str] = {}
    said = []
    for spec in present:
        file = fragment_file(spec.name)
        old = current.fragments.get(file, "")
        problem = system_problem(spec, current) if old and not is_forward(old) else ""
        if problem:
            said.append(f"{problem}; the next run of virtnet moves the network, if it can")
        elif old and not is_forward(old):
            content = render(spec, contexts[spec.name])
            hosts.update(hosts_files(spec, contexts[spec.name]))
            if content != old:
                new[file] = content
                said.append(f"{spec.name}: {file} changed, since the configuration of dnsmasq has")
    if new:
        check_syntax(current.config, {**current.fragments, **new}, hosts)
        files = {os.path.join(paths.dnsmasq_fragments, name): content for name, content in new.items()}
        put(File(path, content) for path, content in {**hosts, **files}.items())
    return said
