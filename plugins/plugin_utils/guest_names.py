# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of guests in an inventory: no guest can choose one that takes the name of another. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from ansible_collections.virtnet.linux.plugins.plugin_utils.guests import Guest

Declared = Collection[tuple[str, str, str]]
"""Host, network and name of each static host that the inventory itself defines."""


def named(guests: Iterable[Guest], taken: Iterable[str], declared: Declared = ()) -> dict[str, Guest]:
    """Each guest by the shortest of its names that no other has; a guest without one is omitted.

    Three ranks, of which a later one never changes a name of an earlier one: static hosts that the inventory defines,
    whether or not their hosts answer; those that only their host's definition names; all others. Within a rank, all
    guests with the same name get a longer one, so that no order decides. ``taken``: names of hosts and groups.
    """
    all_guests = list(guests)
    ranks = [_rank(guest, declared) for guest in all_guests]
    answered = {(guest.host, guest.network, guest.name) for guest in all_guests if guest.named}
    absent = [Guest(host, network, "", name, named=True) for host, network, name in sorted(set(declared) - answered)]
    occupied = {name.casefold() for name in taken}
    by_name: dict[str, Guest] = {}
    for rank in range(3):
        members = [guest for guest, own in zip(all_guests, ranks) if own == rank]
        names = _shortest(members + (absent if rank == 0 else []), occupied)
        occupied.update(name.casefold() for name in names)
        by_name.update((name, guest) for name, guest in zip(names, members) if name)
    return by_name


def _rank(guest: Guest, declared: Declared) -> int:
    if not guest.named:
        return 2
    return 0 if (guest.host, guest.network, guest.name) in declared else 1


def names_of(guest: Guest) -> Iterator[str]:
    """Its possible names, the shortest first.

    Only a name that the definition gives stands alone. A name that the guest chose has its network behind it.
    """
    key = guest.key.replace(":", "-")
    short = guest.name or key
    if guest.named:
        yield short
    yield f"{short}.{guest.network}"
    yield f"{short}.{guest.network}.{guest.host}"
    yield f"{short}.{key}.{guest.network}.{guest.host}"


def _shortest(guests: Sequence[Guest], occupied: Collection[str]) -> list[str]:
    """A name for each, '' for none."""
    choices = [list(names_of(guest)) for guest in guests]
    depth = [0] * len(guests)
    while True:
        names = [choice[at].casefold() for choice, at in zip(choices, depth)]
        counts = Counter(names)
        conflicting = [i for i, name in enumerate(names) if counts[name] > 1 or name in occupied or _is_address(name)]
        deeper = [i for i in conflicting if depth[i] < len(choices[i]) - 1]
        if not deeper:
            return ["" if i in set(conflicting) else choices[i][depth[i]] for i in range(len(guests))]
        for i in deeper:
            depth[i] += 1


def _is_address(name: str) -> bool:
    """Whether a name is an IP address, such as 127.0.0.1, which Ansible takes for the controller."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
