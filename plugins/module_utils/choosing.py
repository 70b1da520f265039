# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which subnet a network with ``address: auto`` gets. Pure."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import InvalidOption, VirtnetError
from .files import read_note
from .network import Network
from .options import Options
from .paths import Paths
from .subnets import DEFAULT_POOLS, UP, Free, Occupied, Pool, Share, Subnet, read_pools

# So many occupants an error lists.
_LISTED = 12


@dataclass(frozen=True)
class Fleet:
    """What other hosts of the play hold; ``first``: those of it to which this host's networks give way.

    ``share`` None: that of the last run.
    """

    share: Share | None = None
    others: Sequence[Occupied] = ()
    first: Sequence[Occupied] = ()


def read_fleet(options: Options, name: str) -> Fleet:
    """``position`` of this host ``of`` so many, and ``held`` by the others; raises InvalidOption."""
    if not options.given(name):
        return Fleet()
    group = options.group(name)
    share = None
    if group.given("of") or group.given("position"):
        share = _read_share(group)
    others, first = [], []
    for item in group.each("held"):
        what = f"network {item.text('network')!r} of host {item.text('host')}"
        cidr = item.cidr("subnet", version=4)
        one = Occupied(cidr.network, f"{what} ({cidr.network})")
        others.append(one)
        if item.boolean("first", False):
            first.append(one)
        item.close()
    group.close()
    return Fleet(share, tuple(others), tuple(first))


def _read_share(group: Options) -> Share:
    of = group.integer("of", 1, least=1, most=65536)
    return Share(group.integer("position", 0, least=0, most=of - 1), of)


@dataclass(frozen=True)
class Settings:
    """From what to choose; kept on the host, for the guard chooses too."""

    pools: Sequence[Pool] = DEFAULT_POOLS
    share: Share = Share()

    def as_options(self) -> dict[str, Any]:
        """Fit for JSON, and to be read again."""
        return {
            "pools": [{"subnet": str(pool.network), "prefix": pool.length} for pool in self.pools],
            "share": {"position": self.share.position, "of": self.share.of},
        }


def settings_path(paths: Paths) -> str:
    """Where the settings are."""
    return os.path.join(paths.state, "choosing.json")


def read_settings(paths: Paths) -> Settings:
    """The settings of the last run; raises VirtnetError where they cannot be read."""
    try:
        note = read_note(settings_path(paths))
        if note is None:
            return Settings()
        options = Options(note)
        return Settings(read_pools(options, "pools"), read_fleet(options, "share").share or Share())
    except (ValueError, InvalidOption) as error:
        raise VirtnetError(f"{settings_path(paths)} cannot be read: {error}; move it away, and run again") from None


@dataclass(frozen=True)
class Chooser:
    """Chooses; ``occupied`` is all that is taken, ``avoided`` what had better be left alone."""

    occupied: Sequence[Occupied]
    avoided: Sequence[Occupied] = ()
    pools: Sequence[Pool] = DEFAULT_POOLS
    order: str = UP
    fleet: Fleet = Fleet()

    def choose(self, network: Network, before: str, met: Iterable[str] = ()) -> ipaddress.IPv4Interface:
        """The address of the host on a free subnet; ``before`` is the one it had, ``met`` what drove it away before.

        The one that it had is tried first. Routes to elsewhere are overlapped only where there is no choice.
        Raises InvalidOption with a list of what occupies the pools.
        """
        hard = [one.network for one in self.occupied if not one.soft and one.network.version == 4]
        others = [one.network for one in self.fleet.others]
        soft = [one.network for one in (*self.occupied, *self.avoided) if one.soft and one.network.version == 4]
        soft += [ipaddress.IPv4Network(one) for one in met]
        for taken in ([*hard, *soft], hard):
            if before:
                address = ipaddress.IPv4Interface(before)
                if not self.gives_way(address.network) and not any(address.network.overlaps(one) for one in taken):
                    return address
            # Where the hosts' shares of the pool are used up, any subnet that nobody is known to hold will do.
            for share in dict.fromkeys((self.fleet.share or Share(), Share())):
                subnet = Free([*taken, *others], self.order, share).first(self.pools)
                if subnet is not None:
                    return ipaddress.IPv4Interface((subnet.network_address + 1, subnet.prefixlen))
        raise InvalidOption(network.at("ipv4.address"), self._exhausted(), network.owner)

    def choose_prefix(
        self, prefix: ipaddress.IPv6Network, taken: Iterable[Subnet], before: str
    ) -> ipaddress.IPv6Interface | None:
        """The host's address on a free /64 of its prefix, the one ``before`` if it may be; None where none is left."""
        used = [one for one in taken if one.version == 6]
        used += [one.network for one in self.occupied if one.network.version == 6]
        if before:
            address = ipaddress.IPv6Interface(before)
            if address.network.subnet_of(prefix) and not any(address.network.overlaps(one) for one in used):
                return address
        subnet = Free(used).first_of(prefix)
        return None if subnet is None else ipaddress.IPv6Interface((subnet.network_address + 1, subnet.prefixlen))

    def gives_way(self, subnet: ipaddress.IPv4Network) -> bool:
        """Whether another host of the fleet has the better claim."""
        return any(one.network.overlaps(subnet) for one in self.fleet.first)

    def _exhausted(self) -> str:
        inside = [
            one.what
            for one in sorted((*self.occupied, *self.fleet.others), key=lambda one: int(one.network.network_address))
            if not one.soft and any(one.network.overlaps(pool.network) for pool in self.pools)
        ]
        listed = list(dict.fromkeys(inside))
        more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
        pools = ", ".join(f"{pool.network} (cut into /{pool.length})" for pool in self.pools)
        return (
            f"no free subnet is left in {pools}; it is occupied by {'; '.join(listed[:_LISTED])}{more}; "
            "give an address, or another pool"
        )
