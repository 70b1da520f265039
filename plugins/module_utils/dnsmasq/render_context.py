# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the fragment of a network depends on besides the network: its dnsmasq, and the other networks there. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from .placement import Placement
from .private_files import SHARED_INSTANCES, SYSTEM_DNSMASQ, Layout, Member, parse_members
from .probe import DNS_PORT
from .render import RenderContext, gives_ipv6_names
from .state import State
from .system_config import WILDCARD, fragment_network

_DOMAIN = re.compile(r"domain=([^,\n]*),")


def membership(current: State, layout: Layout) -> dict[str, list[Member]]:
    """The networks of each private instance that has a file now."""
    members = {}
    for path, content in current.private_files.items():
        name = layout.name_of(path)
        if path == layout.instance(name):
            members[name] = parse_members(content)
    return members


def full_names_only(placement: Placement) -> bool:
    """Whether the guests of a network are known by their full names alone, in their instance."""
    return placement.instance in SHARED_INSTANCES and bool(placement.spec.domain)


def render_contexts(placements: Sequence[Placement], current: State, layout: Layout) -> dict[str, RenderContext]:
    """The context of each network, by its name."""
    domains = _domains_with_ipv6_names(placements, current, layout)
    return {placement.spec.name: _context(placement, domains, current, layout) for placement in placements}


def _context(
    placement: Placement, ipv6_domains: Mapping[str, Collection[str]], current: State, layout: Layout
) -> RenderContext:
    instance = placement.instance
    spec, by_domain = placement.spec, full_names_only(placement)
    common = RenderContext(
        full_names_only=by_domain,
        ipv6_names=spec.domain in ipv6_domains.get(instance, ()) if by_domain else instance in ipv6_domains,
        hosts_folder=layout.paths.dnsmasq_hosts,
        # dnsmasq does not start without its TFTP folder; at boot the other networks must not suffer from that.
        serves_tftp=spec.tftp_root not in current.missing_tftp_roots,
        version=current.service.version,
    )
    if placement.is_private:
        return replace(common, private=True)
    config = current.config
    return replace(
        common,
        list_interface=config.limits_interfaces,
        exclude_loopback=config.lists_addresses_only,
        # Our interface= overrides local-service=host, with which dnsmasq binds to localhost alone. Without bind-dynamic
        # it would bind to every address, and fail if another program holds one of them.
        bind_dynamic=config.only_localhost and config.binding == WILDCARD,
        exempt_from_ignore=config.ignores_unknown(spec.interface),
        tftp_open_to_all=any(not setting.value for setting in config.named("enable-tftp")),
        serves_dns=config.port == DNS_PORT,
        administrator_names=current.administrator_names,
    )


def _domains_with_ipv6_names(placements: Sequence[Placement], current: State, layout: Layout) -> dict[str, set[str]]:
    """The domains in which names of guests can have AAAA records, of each instance with such names.

    From the networks that this run names and from the fragments of the others, which may have no domain.
    """
    domains: dict[str, set[str]] = {}
    for placement in placements:
        if placement.spec.ipv6_names:
            domains.setdefault(placement.instance, set()).add(placement.spec.domain)
    named = {placement.spec.name for placement in placements}
    for instance in {placement.instance for placement in placements}:
        for network, text in _current_fragments(instance, current, layout):
            if network not in named and gives_ipv6_names(text):
                domains.setdefault(instance, set()).update(_DOMAIN.findall(text))
    return domains


def _current_fragments(instance: str, current: State, layout: Layout) -> list[tuple[str, str]]:
    """The networks of an instance as they are now, each with its fragment."""
    if instance == SYSTEM_DNSMASQ:
        return [(fragment_network(name), text) for name, text in current.fragments.items()]
    files = current.private_files
    networks = [member.network for member in parse_members(files.get(layout.instance(instance), ""))]
    return [(network, files.get(layout.fragment(network), "")) for network in networks]
