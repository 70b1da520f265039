# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renders our fragments again just before the system's dnsmasq reads them: its unit calls this.

The administrator may have changed the rest of its configuration since our last run. Only fragments that exist are
rewritten; the next run moves a network that the system's dnsmasq can no longer serve. Nothing is started or stopped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from ..core.errors import Locked
from ..core.files import File, write_files
from ..core.lock import lock
from ..core.paths import Paths
from ..dnsmasq.config_check import check_syntax
from ..dnsmasq.placement import Placement, system_problem
from ..dnsmasq.private_files import Layout
from ..dnsmasq.probe import interface_exists
from ..dnsmasq.reconciler import Fragments
from ..dnsmasq.render import RenderContext, hosts_files, render
from ..dnsmasq.render_context import render_contexts
from ..dnsmasq.spec import PRESENT, SYSTEM, FragmentSpec
from ..dnsmasq.state import RESTART_DUE_FILE, WAITS_FOR_DNSMASQ, is_forward
from ..dnsmasq.system_config import BIND_INTERFACES, Config, fragment_file
from .desired_state import fragment_specs
from .restore import load_host_state, log_line

# Seconds that a start of dnsmasq may wait for a run of the engine.
_LOCK_TIMEOUT = 5.0


def refresh(paths: Paths) -> int:
    """Rewrite fragments that are outdated; returns the exit status 0; raises VirtnetError.

    A run that restarts dnsmasq holds the lock and has rendered the fragments already. A run that waits for dnsmasq to
    be up holds the lock and renders them then. Waiting for either would be a deadlock.
    """
    if os.path.exists(os.path.join(paths.runtime, RESTART_DUE_FILE)):
        return 0
    try:
        with lock(paths.runtime, _LOCK_TIMEOUT, unless=WAITS_FOR_DNSMASQ):
            for line in rewrite(fragment_specs(load_host_state(paths).desired), paths):
                log_line(line)
    except Locked as error:
        if error.status != WAITS_FOR_DNSMASQ:
            raise
    return 0


def _startable(spec: FragmentSpec, context: RenderContext, config: Config) -> RenderContext:
    """The context with which dnsmasq starts though the bridge does not exist: it serves all others, and the host.

    With bind-interfaces it does not start if a listed interface does not exist. When the bridge is back, the guard or
    the next run lists it again.
    """
    needs_interface = context.list_interface and config.binding == BIND_INTERFACES
    if needs_interface and not interface_exists(spec.interface):
        return replace(context, list_interface=False)
    return context


def rewrite(specs: Sequence[FragmentSpec], paths: Paths, reconciler: Fragments | None = None) -> list[str]:
    """Rewrite the fragments of these networks that exist and are outdated; returns a sentence for each."""
    present = [replace(spec, instance=SYSTEM) for spec in specs if spec.state == PRESENT]
    current = (reconciler or Fragments(present, False, paths)).read()
    contexts = render_contexts(list(map(Placement, present)), current, Layout(paths))
    fragments: dict[str, str] = {}
    hosts: dict[str, str] = {}
    lines = []
    for spec in present:
        file = fragment_file(spec.name)
        old = current.fragments.get(file, "")
        if not old or is_forward(old):
            continue
        problem = system_problem(spec, current)
        if problem:
            lines.append(f"{problem}; the next run of virtnet moves the network, if it can")
            continue
        context = _startable(spec, contexts[spec.name], current.config)
        content = render(spec, context)
        hosts.update(hosts_files(spec, context))
        if content != old:
            fragments[file] = content
            reason = "changed, since the configuration of dnsmasq has"
            if context != contexts[spec.name]:
                reason = f"does not list {spec.interface}, which does not exist: dnsmasq would not start"
            lines.append(f"{spec.name}: {file} {reason}")
    if fragments:
        check_syntax(current.config, {**current.fragments, **fragments}, hosts)
        files = {os.path.join(paths.dnsmasq_fragments, name): content for name, content in fragments.items()}
        write_files(File(path, content) for path, content in {**hosts, **files}.items())
    return lines
