# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases of networks that another dnsmasq serves from now on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..core.errors import VirtnetError
from ..core.untrusted import UnusableFile, set_aside
from .lease_file import Leases, lease_file_fault, lease_limit, read_leases, write_leases
from .placement import Placement
from .private_files import Layout, Member
from .render_context import membership
from .spec import FragmentSpec
from .state import State, is_forward
from .system_config import Config, fragment_file
from .target import Target


@dataclass(frozen=True)
class LeaseTransfer:
    """The leases of a network in the lease files ``sources`` have to be in the lease file ``destination`` too."""

    spec: FragmentSpec
    sources: Sequence[str]
    destination: str


def find_transfers(
    current: State, target: Target, layout: Layout, files: Mapping[str, str], adopted: Sequence[str]
) -> list[LeaseTransfer]:
    """The transfers for networks that come to another instance, and of which some instance has leases.

    ``files`` are the lease files by instance; ``adopted`` are files of leases that were taken over from libvirt.
    """
    members = membership(current, layout)
    transfers = []
    for placement in target.placements:
        if _is_served_already(placement, current, members):
            continue
        destination = files[placement.instance]
        sources = [path for path in (*files.values(), *adopted) if path != destination]
        subnets = placement.spec.subnets
        if any(lease.within(subnets) for path in sources for lease in _usable_leases(path).leases):
            transfers.append(LeaseTransfer(placement.spec, sources, destination))
    return transfers


def _is_served_already(placement: Placement, current: State, members: Mapping[str, Sequence[Member]]) -> bool:
    """Whether the instance serves the network now."""
    name = placement.spec.name
    if placement.is_private:
        return any(member.network == name for member in members.get(placement.instance, ()))
    fragment = current.fragments.get(fragment_file(name), "")
    return bool(fragment) and not is_forward(fragment)


def copy_leases(transfers: Sequence[LeaseTransfer], files: Iterable[str]) -> dict[str, Leases | None]:
    """Carry out the transfers; returns the previous content of the destinations, None for a file that did not exist.

    Leases are copied, never removed, so an interruption or a rollback loses none. A dnsmasq ignores leases of subnets
    that it does not serve, and they expire. ``files`` are the lease files of all instances. A file that cannot be read
    counts as empty: the plan has warned of it (Fragments.plan).
    """
    existing = [path for path in files if os.path.isfile(path) and not os.path.islink(path)]
    originals: dict[str, Leases | None] = {}
    for transfer in transfers:
        destination = transfer.destination
        rename_unusable(destination)
        leases = before = _usable_leases(destination)
        originals.setdefault(destination, before if os.path.lexists(destination) else None)
        for source in transfer.sources:
            leases = leases.joined_by(_usable_leases(source), transfer.spec.subnets)
        # A new file gets the owner of a file that dnsmasq wrote; if there is none, that of its folder.
        owner_like = destination if destination in existing else next(iter(existing), os.path.dirname(destination))
        write_leases(destination, leases, owner_like)
    return originals


def refuse_overfull(transfers: Sequence[LeaseTransfer], path: str, config: Config) -> None:
    """Raise VirtnetError if the system's dnsmasq, whose lease file is ``path``, would not start with all leases.

    It has one limit for all networks together (src/lease.c, read_leases(): "too many stored leases"), and counts those
    that have expired, and those of networks that it does not serve. It reads the file only if it serves DHCP.
    """
    leases = _usable_leases(path)
    for transfer in transfers:
        for source in transfer.sources if transfer.destination == path else ():
            leases = leases.joined_by(_usable_leases(source), transfer.spec.subnets)
    limit, count = lease_limit(config), len(leases.leases)
    if count > limit:
        raise VirtnetError(
            f"the system's dnsmasq would not start with {count} leases, since it takes {limit} (dhcp-lease-max); "
            f"write dhcp-lease-max={count} or more into {config.main_file}, or use dnsmasq.instance: private"
        )


def rename_unusable(path: str) -> None:
    """Rename what is in place of a lease file and is none, so that dnsmasq can start; raises VirtnetError.

    dnsmasq would open a named pipe and wait for ever, and systemd with it until the start times out.
    """
    if lease_file_fault(path):
        set_aside(path)


def _usable_leases(path: str) -> Leases:
    try:
        return read_leases(path)
    except UnusableFile:
        return Leases()
