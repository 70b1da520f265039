# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks before anything is changed: can dnsmasq serve the networks, and do they conflict? Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from ..dhcp.dnsmasq_syntax import read_lines
from .record_lines import NameOwnership, aliases_in, ownerships_in, ownerships_of
from .records import alias_loop
from .spec import FragmentSpec
from .system_config import Config


def excluded_by_config(spec: FragmentSpec, config: Config) -> str:
    """Why the system's dnsmasq may not serve a network by its configuration, with the remedy; '' for nothing."""
    if not config.reads_fragments():
        own = [folder for folder in config.folders if folder.own]
        filtered = f" ({own[0].setting} leaves them out)" if own else ""
        return (
            f"no usable system dnsmasq: it does not read {config.own_folder}/virtnet-*.conf{filtered}; "
            f"add the line 'conf-dir={config.own_folder}/,*.conf' to {config.main_file or 'a file that dnsmasq reads'}"
        )
    for bridge in spec.addresses:
        settings = config.excluding_settings(spec.interface, str(bridge.ip), dhcp=spec.any_dhcp)
        if settings:
            return (
                f"network {spec.name!r}: the system's dnsmasq may not serve {spec.interface}: "
                f"{settings[0]} keeps it off; take {spec.interface} out of that setting, "
                "or give the bridge another name"
            )
    return ""


def refuse_missing_folders(specs: Sequence[FragmentSpec], missing: Sequence[str]) -> None:
    """Raise InvalidOption for a TFTP folder that does not exist: dnsmasq would not start, and serve no network."""
    for spec in specs:
        if spec.tftp_root in missing:
            raise spec.error(
                "tftp_root", f"there is no folder {spec.tftp_root!r} that everybody may read; make it first"
            )


def refuse_conflicts(specs: Sequence[FragmentSpec], others: Mapping[str, str], folder: str) -> None:
    """Raise InvalidOption if two networks use the same name, interface, host, DNS name or subnet.

    ``others`` are the fragments of networks that this run does not name, file name to content.
    """
    names: set[str] = set()
    interfaces: dict[str, str] = {}
    # dnsmasq does not start with a duplicate address; of hosts with the same MAC it uses one, without a message.
    hosts = {
        value: os.path.join(folder, name) for name, content in others.items() for value in _host_keys(name, content)
    }
    dns_names = {
        ownership.key: (ownership, os.path.join(folder, name))
        for name, content in others.items()
        for ownership in ownerships_in(content, name)
    }
    for spec in specs:
        if spec.name in names:
            raise spec.error("name", f"{spec.name!r} is named twice; keep one of them")
        names.add(spec.name)
        if spec.interface in interfaces:
            raise spec.error("interface", f"{spec.interface!r} already belongs to {interfaces[spec.interface]}")
        interfaces[spec.interface] = f"network {spec.name!r}"
        _refuse_used_hosts(spec, hosts)
        _refuse_used_names(spec, dns_names)
    _refuse_alias_loops(specs, others)
    _refuse_overlap(specs)


def _refuse_alias_loops(specs: Sequence[FragmentSpec], others: Mapping[str, str]) -> None:
    """Networks that share a dnsmasq share a loop of aliases."""
    targets = {
        **{
            alias: target
            for name, content in others.items()
            for setting in read_lines(content, name)
            for alias, target in aliases_in(setting).items()
        },
        **{alias.name.lower(): alias.target.lower() for spec in specs for alias in spec.names.cname},
    }
    for spec in specs:
        for i, alias in enumerate(spec.names.cname):
            loop = alias_loop(alias.name.lower(), targets)
            if loop:
                raise spec.error(f"names.cname[{i}].target", loop)


def _refuse_used_hosts(spec: FragmentSpec, hosts: dict[str, str]) -> None:
    """A card is on one network, and an address is one guest's. Adds those of ``spec`` to ``hosts``."""
    own: dict[str, str] = {}
    for option, host in spec.static_hosts:
        for key, value in (*(("mac", mac) for mac in host.macs), ("ip", str(host.ip or ""))):
            if value and value in hosts:
                raise spec.error(f"{option}.{key}", f"{value} is already given to a host in {hosts[value]}")
            if value:
                own[value] = f"network {spec.name!r}"
    hosts.update(own)


def _refuse_used_names(spec: FragmentSpec, dns_names: dict[tuple[str, str], tuple[NameOwnership, str]]) -> None:
    own: dict[tuple[str, str], tuple[NameOwnership, str]] = {}
    for option, ownership in ownerships_of(spec.names):
        other, owner = dns_names.get(ownership.key, (ownership, ""))
        if owner and ownership.conflicts_with(other):
            raise spec.error(f"names.{option}", f"{ownership.name} is already given in {owner}; keep one of them")
        own[ownership.key] = ownership, f"network {spec.name!r}"
    dns_names.update(own)


def _host_keys(name: str, content: str) -> Iterator[str]:
    """MACs and addresses of the static hosts of a fragment."""
    for setting in read_lines(content, name):
        if setting.name == "dhcp-host":
            for text in setting.fields:
                if text.startswith("["):
                    yield text.strip("[]")
                elif not text.startswith("id:") and (text.count(":") == 5 or text.count(".") == 3):
                    yield text


def _refuse_overlap(specs: Sequence[FragmentSpec]) -> None:
    for version, option in ((4, "address"), (6, "ipv6.address")):
        bridges = [(bridge, spec) for spec in specs for bridge in spec.addresses if bridge.version == version]
        ordered = sorted(bridges, key=lambda pair: (int(pair[0].network.network_address), pair[0].network.prefixlen))
        for (bridge, spec), (next_bridge, next_spec) in zip(ordered, ordered[1:]):
            if bridge.network.overlaps(next_bridge.network):
                raise next_spec.error(
                    option, f"{next_bridge} overlaps {bridge.network} of network {spec.name!r}; choose another"
                )
