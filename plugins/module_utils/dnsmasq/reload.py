# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of hosts files, which a running dnsmasq reads again on SIGHUP, and the check that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..dhcp.dnsmasq_syntax import read_lines
from . import probe
from .changes import FragmentsPlan
from .hosts_files import hosts_file_network, names_file, survives_sighup
from .private_files import SYSTEM_DNSMASQ, Layout
from .verify import ReadWatch, service_problem, unknown_name


def reload_and_verify(
    instance: str,
    send_signal: Callable[[], None],
    changed: Mapping[str, str],
    *,
    plan: FragmentsPlan,
    layout: Layout,
) -> bool:
    """Send SIGHUP to an instance; whether it still runs and knows the new content.

    ``changed``: hosts files that changed, path to content. No signal is sent if dnsmasq might die of it, or if the
    result could not be verified.
    """
    current, is_system = plan.current, instance == SYSTEM_DNSMASQ
    specs = [placement.spec for placement in plan.target.placements if placement.instance == instance]
    reachable = [spec for spec in specs if spec.dns and probe.interface_has_address(spec.interface, spec.bridge.ip)]
    # Only an answer shows that dnsmasq still runs after the signal.
    serves_dns = not is_system or current.config.port == probe.DNS_PORT
    settings = _setting_names(instance, plan, layout)
    if not reachable or not serves_dns or not survives_sighup(settings, current.service.version):
        return False
    networks = {spec.name for spec in specs}
    files = {path: text for path, text in changed.items() if hosts_file_network(path) in networks}
    pid = current.service.pid if is_system else current.instances[instance].main_pid
    with ReadWatch(files) as watch:
        send_signal()
        if not watch.available or watch.first_unread(files, pid):
            return False
    for spec in reachable:
        path = names_file(layout.paths.dnsmasq_hosts, spec.name)
        unknown = unknown_name(spec, current.private_files.get(path, ""), files.get(path, ""))
        if unknown or service_problem(spec, pid, dns=True):
            return False
    return True


def _setting_names(instance: str, plan: FragmentsPlan, layout: Layout) -> set[str]:
    """The names of the settings that an instance has; of the system's dnsmasq without our fragments."""
    if instance == SYSTEM_DNSMASQ:
        return set(plan.current.config.by_name)
    fragments = (layout.fragment(member.network) for member in plan.target.members[instance])
    texts = (plan.target.private_files.get(path, "") for path in fragments)
    return {setting.name for text in texts for setting in read_lines(text, instance)}
