# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired files: those of the system's dnsmasq and those of private instances. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..resolver.provider import reverse_zones
from .hosts_files import hosts_file_network
from .placement import Placement, place_networks
from .private_files import (
    LOG_LIMIT,
    SHARED_INSTANCES,
    Layout,
    Member,
    instance_text,
    parse_members,
    unit_text,
    uses_full_names_only,
)
from .probe import DNS_PORT
from .render import HEADER, RenderContext, hosts_files, render
from .render_context import full_names_only, membership, render_contexts
from .spec import PRESENT, FragmentSpec
from .state import FORWARD, RESTART_DUE_FILE, State, is_forward
from .system_config import fragment_file

# Before each start of dnsmasq the fragments are checked again, since the administrator may have changed what else it
# reads. That must never keep dnsmasq from starting: with "-" systemd ignores a failure, "timeout" ends a run that
# hangs. While a run of ours restarts dnsmasq, the fragments are new: then not even Python is started. Whether
# the engine exists is tested at the start and not by the run, of which check mode on a fresh host would not know it.
_DROP_IN = """\
# Written by virtnet.linux; changes are lost.
[Service]
ExecStartPre=-/bin/sh -c 'test -e {due} || ! test -x {engine}/virtnet || exec timeout 10 {engine}/virtnet fragments'
{restart}{log_limit}"""
# Guests depend on it: systemd starts it again when a signal ends it, and not when somebody stops it.
_RESTART = "Restart=on-abnormal\n"
# With one of these the administrator wants a log line for each query, so that the log is not limited.
_LOG_EVERYTHING = ("log-queries", "log-dhcp", "log-debug")


@dataclass(frozen=True)
class Target:
    """The desired state.

    - ``placements``: the networks that this run names and that shall be served.
    - ``fragments``: fragments of the system's dnsmasq, file name to content; None for a file to remove.
    - ``private_files``: all other files, path to content.
    - ``members``: the networks of each private instance, of those that this run does not name too.
    """

    placements: Sequence[Placement]
    fragments: Mapping[str, str | None]
    private_files: Mapping[str, str]
    members: Mapping[str, Sequence[Member]]

    @property
    def served_by_system(self) -> list[FragmentSpec]:
        """The networks of the system's dnsmasq."""
        return [placement.spec for placement in self.placements if not placement.is_private]

    def instances_of(self, networks: Iterable[str]) -> set[str]:
        """The instances, SYSTEM_DNSMASQ among them, that serve these networks."""
        names = set(networks)
        return {placement.instance for placement in self.placements if placement.spec.name in names}


def target(specs: Sequence[FragmentSpec], purge: bool, current: State, layout: Layout) -> Target:
    """The desired state; raises what place_networks() raises, and InvalidOption for a line that is too long."""
    named = {spec.name for spec in specs}
    members = _unnamed_members(named, purge, current, layout)
    with_domains = {
        name: uses_full_names_only(current.private_files[layout.instance(name)])
        for name in SHARED_INSTANCES
        if name in members
    }
    present = [spec for spec in specs if spec.state == PRESENT]
    placements = separate_by_domain(place_networks(present, current), with_domains)
    contexts = render_contexts(placements, current, layout)
    fragments: dict[str, str | None] = {fragment_file(spec.name): None for spec in specs}
    fragments.update(dict.fromkeys(current.fragments) if purge else {})
    for placement in placements:
        spec = placement.spec
        if placement.is_private:
            members.setdefault(placement.instance, []).append(Member(spec.name, spec.interface))
        content = _forward(spec, current) if placement.is_private else render(spec, contexts[spec.name])
        fragments[fragment_file(spec.name)] = content or None
    private_files = {
        **dict(_instance_files(placements, contexts, members, current=current, layout=layout)),
        **({} if purge else _unnamed_hosts_files(named, current)),
        **{path: text for p in placements for path, text in hosts_files(p.spec, contexts[p.spec.name]).items()},
    }
    after = {**current.fragments, **fragments}
    system_serves = any(text and not is_forward(text) for text in after.values())
    if system_serves:
        private_files[layout.paths.dnsmasq_drop_in] = _drop_in(current, layout)
    return Target(placements, fragments, private_files, members)


def _unnamed_members(named: set[str], purge: bool, current: State, layout: Layout) -> dict[str, list[Member]]:
    """The networks that stay in each private instance since this run does not name them."""
    if purge:
        return {}
    stay = {
        instance: [member for member in members if member.network not in named]
        for instance, members in membership(current, layout).items()
    }
    return {instance: members for instance, members in stay.items() if members}


def _unnamed_hosts_files(named: set[str], current: State) -> dict[str, str]:
    files = current.private_files
    return {path: files[path] for path in files if (network := hosts_file_network(path)) and network not in named}


def _instance_files(
    placements: Sequence[Placement],
    contexts: Mapping[str, RenderContext],
    members: Mapping[str, Sequence[Member]],
    *,
    current: State,
    layout: Layout,
) -> Iterator[tuple[str, str]]:
    """The files of private instances but for hosts files, each with its path."""
    private = {placement.spec.name: placement for placement in placements if placement.is_private}
    for instance, networks in members.items():
        path = layout.instance(instance)
        for member in networks:
            fragment = layout.fragment(member.network)
            if member.network in private:
                yield fragment, render(private[member.network].spec, contexts[member.network])
            elif fragment in current.private_files:
                yield fragment, current.private_files[fragment]
        named = [private[member.network] for member in networks if member.network in private]
        if named:
            text = instance_text(
                instance,
                named[0].spec,
                networks,
                layout,
                resolv_conf=current.resolv_conf,
                version=current.service.version,
                full_names_only=full_names_only(named[0]),
            )
        else:
            text = _without_removed(current.private_files[path], networks, layout)
        yield path, text
    if members:
        yield layout.template, unit_text(layout, current.program or "/usr/sbin/dnsmasq", current.user)


def _without_removed(text: str, networks: Sequence[Member], layout: Layout) -> str:
    """The file of an instance of which this run names no network that stays: only removed networks are taken out."""
    for member in parse_members(text):
        if member not in networks:
            text = text.replace(f"interface={member.interface}\nconf-file={layout.fragment(member.network)}\n", "")
    return text


def _drop_in(current: State, layout: Layout) -> str:
    return _DROP_IN.format(
        engine=layout.paths.engine,
        due=os.path.join(layout.paths.runtime, RESTART_DUE_FILE),
        # Another setting is the administrator's, or the distribution's.
        restart=_RESTART if current.service.restart_policy in ("", "no", "on-abnormal") else "",
        log_limit="" if any(current.config.named(name) for name in _LOG_EVERYTHING) else LOG_LIMIT,
    )


def separate_by_domain(placements: Sequence[Placement], with_domains: Mapping[str, bool]) -> list[Placement]:
    """Networks with a domain and networks without one do not share a private instance.

    Domains keep the names of guests apart. Without a domain there are only plain names, and networks that share a
    dnsmasq have one namespace for these. Only one instance may have several networks (instance_for()): it is for those
    with a domain, if there are any. ``with_domains``: whether it is now, by instance, because of networks that this run
    does not name.
    """
    for_domains = {
        name: with_domains.get(name, any(p.spec.domain for p in placements if p.instance == name))
        for name in SHARED_INSTANCES
    }
    return [
        replace(placement, instance=placement.spec.name)
        if for_domains.get(placement.instance, has_domain) != has_domain
        else placement
        for placement in placements
        for has_domain in (bool(placement.spec.domain),)
    ]


def _forward(spec: FragmentSpec, current: State) -> str:
    """Lines by which the system's dnsmasq, and so the host, resolves the names of a private network; '' for none.

    None if the private instance forwards queries for the domain: they would come back to it.
    """
    usable = current.service.usable and current.config.reads_fragments() and current.config.port == DNS_PORT
    if not (usable and spec.dns and spec.domain and (spec.local_only or not spec.upstream)):
        return ""
    network = spec.bridge.network
    zones = [spec.domain]
    if network.prefixlen in (8, 16, 24):
        # Other prefix lengths need several zones, or a dnsmasq that knows rev-server for them.
        zones += reverse_zones(network)
    # It would not ask port 53 of an address of this host if it listens there itself.
    port = f"#{spec.dns_port}" if spec.redirect else ""
    return HEADER + "".join(f"{FORWARD}{zone}/{spec.bridge.ip}{port}\n" for zone in zones)
