# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which subnet a network with ``address: auto`` gets. Pure."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidOption, VirtnetError
from ..core.files import read_note
from ..core.options import Options
from ..core.paths import Paths
from .subnets import DEFAULT_POOLS, UP, Free, Occupied, Pool, Share, Subnet, read_pools

# So many occupants an error lists.
_LISTED = 12


@dataclass(frozen=True)
class Claim:
    """A subnet that another host holds; ``first``: the administrator fixed it, so this host's networks move away."""

    host: str
    network: ipaddress.IPv4Network
    what: str
    first: bool = False


@dataclass(frozen=True)
class Fleet:
    """What other hosts of the play hold; ``share`` None: that of the last run."""

    share: Share | None = None
    claims: Sequence[Claim] = ()


def read_fleet(options: Options, name: str) -> Fleet:
    """``position`` of this host ``of`` so many, and ``held`` by the others; raises InvalidOption."""
    if not options.given(name):
        return Fleet()
    group = options.group(name)
    share = None
    if group.given("of") or group.given("position"):
        share = _read_share(group)
    claims = []
    for item in group.each("held"):
        host = str(item.text("host"))
        subnet = item.ipv4_cidr("subnet").network
        what = f"network {item.text('network')!r} of host {host}"
        claims.append(Claim(host, subnet, f"{what} ({subnet})", bool(item.boolean("first", False))))
        item.reject_unknown()
    group.reject_unknown()
    return Fleet(share, tuple(claims))


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

    def choose(
        self,
        before: str,
        met: Iterable[str] = (),
        *,
        holds: bool = False,
        option: str = "ipv4.address",
        owner: str = "",
    ) -> ipaddress.IPv4Interface:
        """The address of the host on a free subnet; ``before`` is the one it had, ``met`` what drove it away before.

        The one that it had is tried first; where it ``result`` that still, other hosts' claims do not count against it.
        Routes to elsewhere are overlapped only where there is no choice.
        Raises InvalidOption for ``option`` of ``owner`` with a list of what occupies the pools.
        """
        hard = [one.network for one in self.occupied if not one.soft and one.network.version == 4]
        soft = [one.network for one in (*self.occupied, *self.avoided) if one.soft and one.network.version == 4]
        soft += [ipaddress.IPv4Network(one) for one in met]
        for taken in ([*hard, *soft], hard):
            if before:
                address = ipaddress.IPv4Interface(before)
                blocked = taken if holds else [*taken, *(one.network for one in self.fleet.claims)]
                if not self.gives_way(address.network) and not any(address.network.overlaps(one) for one in blocked):
                    return address
            subnet = self._first_free(taken)
            if subnet is not None:
                return ipaddress.IPv4Interface((subnet.network_address + 1, subnet.prefixlen))
        raise InvalidOption(option, self._exhausted(), owner)

    def _first_free(self, taken: Sequence[Subnet]) -> ipaddress.IPv4Network | None:
        """The first subnet that nobody holds.

        A host answers for itself, so its claims must not exhaust the pools: where nothing is free, those of the hosts
        that claim more than their share are ignored, the one that claims most first.
        """
        ignored: list[str] = []
        for host in ("", *self._beyond_share()):
            ignored.append(host)
            claims = [one.network for one in self.fleet.claims if one.first or one.host not in ignored]
            # Where the host's own share of the pools is used up, any subnet that nobody is known to hold will do.
            for share in dict.fromkeys((self.fleet.share or Share(), Share())):
                subnet = Free([*taken, *claims], self.order, share).first(self.pools)
                if subnet is not None:
                    return subnet
        return None

    def _beyond_share(self) -> list[str]:
        """Hosts that claim more subnets of the pools than there are for each host, the one with most first."""
        amounts: dict[str, int] = {}
        for host, subnet in {(one.host, one.network) for one in self.fleet.claims if not one.first}:
            amounts[host] = amounts.get(host, 0) + sum(_covered(subnet, pool) for pool in self.pools)
        hosts = max((self.fleet.share or Share()).of, len(amounts) + 1)
        fair = -(-sum(_covered(pool.network, pool) for pool in self.pools) // hosts)
        beyond = [host for host, amount in amounts.items() if amount > fair]
        return sorted(beyond, key=lambda host: (-amounts[host], host))

    def ignored_claims(self, subnet: ipaddress.IPv4Network) -> list[str]:
        """What other hosts hold of a subnet that was chosen all the same, a phrase each."""
        return [one.what for one in self.fleet.claims if not one.first and one.network.overlaps(subnet)]

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
        """Whether the administrator fixed a subnet of another host that overlaps this one."""
        return any(one.first and one.network.overlaps(subnet) for one in self.fleet.claims)

    def _exhausted(self) -> str:
        known = [(one.network, one.what) for one in self.occupied if not one.soft]
        known += [(one.network, one.what) for one in self.fleet.claims]
        inside = [
            what
            for subnet, what in sorted(known, key=lambda pair: int(pair[0].network_address))
            if any(subnet.overlaps(pool.network) for pool in self.pools)
        ]
        listed = list(dict.fromkeys(inside))
        more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
        pools = ", ".join(f"{pool.network} (cut into /{pool.length})" for pool in self.pools)
        return (
            f"no free subnet is left in {pools}; it is occupied by {'; '.join(listed[:_LISTED])}{more}; "
            "give an address, or another pool"
        )


def _covered(subnet: ipaddress.IPv4Network, pool: Pool) -> int:
    """How many subnets of a pool overlap this one."""
    if not subnet.overlaps(pool.network):
        return 0
    inside = max(subnet.prefixlen, pool.network.prefixlen)
    return 1 << max(0, pool.length - inside)
