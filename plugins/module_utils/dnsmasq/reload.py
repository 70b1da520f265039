# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes that a running dnsmasq takes in without a restart, and the proof that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..dhcp.dnsmasq_syntax import read_lines
from . import probe
from .hosts_files import names_file, network_of, survives_reread
from .private_files import Layout
from .state import State
from .target import Target
from .verify import Reading, unknown, unserved


def has_read_again(
    instance: str,
    signal: Callable[[], None],
    quiet: Mapping[str, str],
    current: State,
    target: Target,
    layout: Layout,
) -> bool:
    """Signal a private instance, or '' for the system's dnsmasq; whether it lives and knows what changed.

    ``quiet`` are the hosts files that changed, path to content. No signal is sent where it might be deadly, or where
    nobody could tell afterwards.
    """
    here = [choice.spec for choice in target.choices if choice.instance == instance]
    held = [spec for spec in here if spec.dns and probe.is_held(spec.interface, spec.bridge.ip)]
    # That it lives after the signal, only an answer proves.
    answers = bool(instance) or current.config.port == probe.DNS_PORT
    settings = _settings(instance, current, target, layout)
    if not held or not answers or not survives_reread(settings, current.service.version):
        return False
    networks = {spec.name for spec in here}
    files = {path: text for path, text in quiet.items() if network_of(path) in networks}
    pid = current.instances[instance].main_pid if instance else current.service.pid
    with Reading(files) as reading:
        signal()
        if not reading.possible or reading.unread(files, pid):
            return False
    for spec in held:
        path = names_file(layout.paths.dnsmasq_hosts, spec.name)
        new = unknown(spec, current.private.get(path, ""), files.get(path, ""))
        if new or unserved(spec, pid, dns=True):
            return False
    return True


def _settings(instance: str, current: State, target: Target, layout: Layout) -> set[str]:
    """The names of the settings that a dnsmasq has."""
    if not instance:
        return set(current.config.by_name)
    fragments = (layout.fragment(member.network) for member in target.members[instance])
    texts = (target.private.get(path, "") for path in fragments)
    return {one.name for text in texts for one in read_lines(text, instance)}
