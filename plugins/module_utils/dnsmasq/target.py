# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files by which networks are served, as they shall be: those of the system's dnsmasq and of private ones. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .hosts_files import network_of
from .placement import Choice, choose
from .private_files import (
    LOG_LIMIT,
    SHARED,
    Layout,
    Member,
    instance_text,
    keeps_full_names,
    members_of,
    unit_text,
    upstream_lines,
)
from .probe import DNS_PORT
from .render import HEADER, Circumstances, gives_ipv6_names, hosts_files, render
from .spec import PRESENT, FragmentSpec
from .state import DUE_FILE, State
from .system_config import WILDCARD, fragment_file, fragment_network

_FORWARD = "server=/"

# Decided anew whenever dnsmasq starts, since the administrator may have changed what it reads. It must never keep
# dnsmasq from starting: "-" has systemd go on, and "timeout" ends what hangs. A run of ours that restarts dnsmasq has
# just decided: then not even Python is started.
_DROP_IN = """\
# Written by virtnet.linux; changes are lost.
[Service]
ExecStartPre=-/bin/sh -c 'test -e {due} || exec timeout 10 {engine}/virtnet fragments'
{log_limit}"""
# With one of these the administrator wants a line for each query, of guests and of others.
_WANT_ALL_LINES = ("log-queries", "log-dhcp", "log-debug")


@dataclass(frozen=True)
class Target:
    """``system``: fragments by file name, None for one to be removed; ``private``: all other files, by path.

    ``members``: the networks of each private instance.
    """

    choices: Sequence[Choice]
    system: Mapping[str, str | None]
    private: Mapping[str, str]
    members: Mapping[str, Sequence[Member]]

    @property
    def served_by_system(self) -> list[FragmentSpec]:
        """The networks of the system's dnsmasq."""
        return [choice.spec for choice in self.choices if not choice.instance]

    def instances_of(self, networks: Iterable[str]) -> set[str]:
        """The private instances that serve some networks, '' for the system's dnsmasq."""
        wanted = set(networks)
        return {choice.instance for choice in self.choices if choice.spec.name in wanted}


def is_forward(content: str) -> bool:
    """Whether a fragment only tells the system's dnsmasq who knows the names of a network."""
    lines = [line for line in content.splitlines() if line and not line.startswith("#")]
    return bool(lines) and all(line.startswith(_FORWARD) for line in lines)


def membership(current: State, layout: Layout) -> dict[str, list[Member]]:
    """The networks of each private instance that is there."""
    found = {}
    for path, content in current.private.items():
        if path == layout.instance(layout.name_of(path)):
            found[layout.name_of(path)] = members_of(content)
    return found


def target(wanted: Sequence[FragmentSpec], purge: bool, current: State, layout: Layout) -> Target:
    """Everything as it shall be; raises what choose() does, and InvalidOption for a line that is too long."""
    named = {spec.name for spec in wanted}
    members: dict[str, list[Member]] = {}
    for instance, present in membership(current, layout).items():
        stay = [] if purge else [member for member in present if member.network not in named]
        if stay:
            members[instance] = stay
    apart = keeps_full_names(current.private[layout.instance(SHARED)]) if SHARED in members else None
    choices = apart_by_names(choose([spec for spec in wanted if spec.state == PRESENT], current), apart)
    system: dict[str, str | None] = {fragment_file(spec.name): None for spec in wanted}
    if purge:
        system.update(dict.fromkeys(current.files))
    for choice in choices:
        content = (
            _forward(choice.spec, current)
            if choice.instance
            else render(choice.spec, around(choice, choices, current, layout))
        )
        system[fragment_file(choice.spec.name)] = content or None
    for choice in choices:
        if choice.instance:
            members.setdefault(choice.instance, []).append(Member(choice.spec.name, choice.spec.interface))
    private = dict(_private_files(choices, members, current, layout))
    stays = {path for path in current.private if network_of(path) and network_of(path) not in named and not purge}
    private.update({path: current.private[path] for path in stays})
    for choice in choices:
        private.update(hosts_files(choice.spec, around(choice, choices, current, layout)))
    if current.engine and _has_system_fragments(system, current):
        private[layout.paths.dnsmasq_drop_in] = _DROP_IN.format(
            engine=layout.paths.engine,
            due=os.path.join(layout.paths.runtime, DUE_FILE),
            log_limit="" if any(current.config.named(name) for name in _WANT_ALL_LINES) else LOG_LIMIT,
        )
    return Target(choices, system, private, members)


def _private_files(
    choices: Sequence[Choice], members: Mapping[str, Sequence[Member]], current: State, layout: Layout
) -> Iterator[tuple[str, str]]:
    specs = {choice.spec.name: choice for choice in choices if choice.instance}
    for instance, networks in members.items():
        here = [specs[member.network] for member in networks if member.network in specs]
        path = layout.instance(instance)
        for member in networks:
            fragment = layout.fragment(member.network)
            if member.network in specs:
                choice = specs[member.network]
                yield fragment, render(choice.spec, around(choice, choices, current, layout))
            elif fragment in current.private:
                yield fragment, current.private[fragment]
        if here:
            dns, wished = here[0].spec.dns, here[0].spec.upstream
            lines = upstream_lines(current.resolv_conf, wished)
            yield (
                path,
                instance_text(
                    instance,
                    networks,
                    layout,
                    lines,
                    version=current.service.version,
                    dns=dns,
                    plain_names=here[0].spec.names.forward_plain_names is True,
                    full_names_only=_full_names_only(here[0]),
                ),
            )
        else:
            yield path, _without_gone(instance, networks, current.private[path], layout)
    if members:
        yield layout.template, unit_text(layout, current.program or "/usr/sbin/dnsmasq")


def _without_gone(instance: str, networks: Sequence[Member], text: str, layout: Layout) -> str:
    """The file of an instance of which this run names no network: only those that leave it are taken out."""
    for member in members_of(text):
        if member not in networks:
            text = text.replace(f"interface={member.interface}\nconf-file={layout.fragment(member.network)}\n", "")
    return text


def _has_system_fragments(system: Mapping[str, str | None], current: State) -> bool:
    after = {**current.files, **system}
    return any(content and not is_forward(content) for content in after.values())


def apart_by_names(choices: Sequence[Choice], apart: bool | None) -> list[Choice]:
    """Networks with a domain and those without share no private instance.

    With one, names of guests are kept apart by their domains; without one there are only plain names, for which
    networks that share a dnsmasq have one namespace. Only one instance may have several networks (instance_of()):
    those with a domain, where there are such. ``apart``: what it is for networks that this run does not name, or None.
    """
    shared = [choice for choice in choices if choice.instance == SHARED]
    with_domain = any(choice.spec.domain for choice in shared) if apart is None else apart
    return [
        replace(choice, instance=choice.spec.name)
        if choice.instance == SHARED and bool(choice.spec.domain) != with_domain
        else choice
        for choice in choices
    ]


def _full_names_only(choice: Choice) -> bool:
    return choice.instance == SHARED and bool(choice.spec.domain)


def around(choice: Choice, choices: Sequence[Choice], current: State, layout: Layout) -> Circumstances:
    """What a fragment has to say beside what its network wishes: decided afresh each time."""
    full_names_only = _full_names_only(choice)
    always = Circumstances(
        full_names_only=full_names_only,
        ipv6_names=_ipv6_names_beside(choice, choices, current, layout),
        hosts_folder=layout.paths.dnsmasq_hosts,
        # Of a folder that is not there dnsmasq dies at its start; at boot the others are not to suffer from that.
        serves_tftp=choice.spec.tftp_root not in current.missing,
        version=current.service.version,
    )
    if choice.instance:
        return replace(always, private=True)
    config = current.config
    return replace(
        always,
        list_interface=config.limits_interfaces,
        leave_loopback=config.lists_addresses_only,
        # Our interface= makes dnsmasq forget local-service=host, which had it bind to localhost alone; without this
        # it would bind to every address and die where something else holds one of them.
        bind_dynamic=config.only_localhost and config.binding == WILDCARD,
        rescue_from_ignore=config.ignores_unknown(choice.spec.interface),
        tftp_open_to_all=any(not setting.value for setting in config.named("enable-tftp")),
        serves_dns=config.port == DNS_PORT,
        others=current.other_names,
    )


def _ipv6_names_beside(choice: Choice, choices: Sequence[Choice], current: State, layout: Layout) -> bool:
    """Whether a network that shares names with this one has guests with AAAA records, named by this run or not."""
    domain = choice.spec.domain if _full_names_only(choice) else None
    named = {one.spec.name for one in choices}
    if any(
        one.spec.ipv6_names and domain in (None, one.spec.domain) for one in choices if one.instance == choice.instance
    ):
        return True
    if choice.instance:
        members = membership(current, layout).get(choice.instance, [])
        texts = {one.network: current.private.get(layout.fragment(one.network), "") for one in members}
    else:
        texts = {fragment_network(name): text for name, text in current.files.items()}
    return any(
        gives_ipv6_names(text) and (domain is None or f"domain={domain}," in text)
        for network, text in texts.items()
        if network not in named
    )


def _forward(spec: FragmentSpec, current: State) -> str:
    """Lines by which the system's dnsmasq, and so the host, knows the names of a private network; '' for none.

    Where a private dnsmasq asks others about names of that domain, they would go round in circles.
    """
    usable = current.service.usable and current.config.reads_fragments() and current.config.port == DNS_PORT
    if not (usable and spec.dns and spec.domain and (spec.local_only or not spec.upstream)):
        return ""
    network = spec.bridge.network
    zones = [spec.domain]
    if network.prefixlen in (8, 16, 24):
        # Queries for other prefixes would need a zone per address, or a version that knows rev-server for them.
        octets = str(network.network_address).split(".")[: network.prefixlen // 8]
        zones.append(".".join(reversed(octets)) + ".in-addr.arpa")
    return HEADER + "".join(f"{_FORWARD}{zone}/{spec.bridge.ip}\n" for zone in zones)
