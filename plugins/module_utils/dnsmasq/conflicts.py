# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps fragments from being served, found before anything is touched. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from ..dhcp.dnsmasq_syntax import read_lines
from .record_lines import NameOwnership, ownerships_in, ownerships_of
from .spec import FragmentSpec
from .system_config import Config
from .system_service import NoUsableDnsmasq


def refuse_unservable(specs: Sequence[FragmentSpec], config: Config) -> None:
    """Raise NoUsableDnsmasq where the configuration keeps dnsmasq from serving one of the networks."""
    if not specs:
        return
    if not config.reads_fragments():
        place = config.main_file or "a file that dnsmasq reads"
        raise NoUsableDnsmasq(
            f"no usable system dnsmasq: it does not read {config.own_folder}/virtnet-*.conf{_filtered(config)}; "
            f"add the line 'conf-dir={config.own_folder}/,*.conf' to {place}"
        )
    for spec in specs:
        vetoes = [
            veto
            for bridge in spec.addresses
            for veto in config.vetoes(spec.interface, str(bridge.ip), dhcp=spec.dhcp or spec.dhcp6)
        ]
        if vetoes:
            raise NoUsableDnsmasq(
                f"network {spec.name!r}: the system's dnsmasq may not serve {spec.interface}: "
                f"{vetoes[0]} keeps it off; take {spec.interface} out of that setting, or give the bridge another name"
            )


def _filtered(config: Config) -> str:
    own = [folder for folder in config.folders if folder.own]
    return f" ({own[0].setting} leaves them out)" if own else ""


def refuse_missing_folders(specs: Sequence[FragmentSpec], missing: Sequence[str]) -> None:
    """Raise InvalidOption for a folder for TFTP that is not there: dnsmasq would not start, for nobody."""
    for spec in specs:
        if spec.tftp_root in missing:
            raise spec.error(
                "tftp_root", f"there is no folder {spec.tftp_root!r} that everybody may read; make it first"
            )


def refuse_conflicts(specs: Sequence[FragmentSpec], others: Mapping[str, str], folder: str) -> None:
    """Raise InvalidOption where two networks claim the same; ``others`` are fragments that stay, name to content."""
    names: dict[str, str] = {}
    interfaces: dict[str, str] = {}
    # Of a duplicate address dnsmasq dies, of a duplicate MAC it takes one and says nothing.
    hosts = {value: os.path.join(folder, name) for name, content in others.items() for value in _claimed(name, content)}
    claimed = {
        claim.key: (claim, os.path.join(folder, name))
        for name, content in others.items()
        for claim in ownerships_in(content, name)
    }
    for spec in specs:
        if spec.name in names:
            raise spec.error("name", f"{spec.name!r} is named twice; keep one of them")
        names[spec.name] = spec.path
        if spec.interface in interfaces:
            raise spec.error("interface", f"{spec.interface!r} already belongs to {interfaces[spec.interface]}")
        interfaces[spec.interface] = f"network {spec.name!r}"
        _refuse_taken_hosts(spec, hosts)
        _refuse_taken_names(spec, claimed)
    _refuse_overlap(specs)


def _refuse_taken_hosts(spec: FragmentSpec, hosts: dict[str, str]) -> None:
    """A guest may have an address of each family on its network, but not on two networks."""
    mine: dict[str, str] = {}
    families = (("hosts", spec.hosts), ("ipv6.hosts", spec.ipv6.hosts if spec.ipv6 else ()))
    for option, those in families:
        for i, host in enumerate(those):
            for key, value in (("mac", host.mac), ("id", host.id and f"id:{host.id}"), ("ip", str(host.ip or ""))):
                if value and value in hosts:
                    raise spec.error(f"{option}[{i}].{key}", f"{value} is already given to a host in {hosts[value]}")
                if value:
                    mine[value] = f"network {spec.name!r}"
    hosts.update(mine)


def _refuse_taken_names(spec: FragmentSpec, claimed: dict[tuple[str, str], tuple[NameOwnership, str]]) -> None:
    mine: dict[tuple[str, str], tuple[NameOwnership, str]] = {}
    for option, claim in ownerships_of(spec.names):
        other, where = claimed.get(claim.key, (claim, ""))
        if where and claim.conflicts_with(other):
            raise spec.error(f"names.{option}", f"{claim.name} is already given in {where}; keep one of them")
        mine[claim.key] = claim, f"network {spec.name!r}"
    claimed.update(mine)


def _claimed(name: str, content: str) -> Iterator[str]:
    """MACs and addresses of the static hosts of a fragment."""
    for setting in read_lines(content, name):
        if setting.name == "dhcp-host":
            for text in setting.fields:
                if text.startswith("["):
                    yield text.strip("[]")
                elif text.startswith("id:") or text.count(":") == 5 or text.count(".") == 3:
                    yield text


def _refuse_overlap(specs: Sequence[FragmentSpec]) -> None:
    for version, option in ((4, "address"), (6, "ipv6.address")):
        subnets = [(one, spec) for spec in specs for one in spec.addresses if one.version == version]
        ordered = sorted(subnets, key=lambda pair: (int(pair[0].network.network_address), pair[0].network.prefixlen))
        for (its, first), (mine, second) in zip(ordered, ordered[1:]):
            if its.network.overlaps(mine.network):
                raise second.error(option, f"{mine} overlaps {its.network} of network {first.name!r}; choose another")
