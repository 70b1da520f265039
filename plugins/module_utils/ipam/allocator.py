# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Allocates subnets to networks with ``address: auto``. Pure, except for the settings of the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core import kinds
from ..core.errors import InvalidOption, VirtnetError
from ..core.fields import option, read_all, required
from ..core.notes import read_note
from ..core.options import Options
from ..core.paths import Paths
from .subnets import DEFAULT_POOLS, UP, FreeSubnets, Pool, Share, Subnet, SubnetInUse, read_pools

# How many subnets an error message lists.
_LISTED = 12
MOST_HOSTS = 65536


@dataclass(frozen=True)
class Claim:
    """A subnet of another host; ``fixed``: the administrator set it, so the networks of this host must yield."""

    host: str
    network: ipaddress.IPv4Network
    description: str
    fixed: bool = False


@dataclass(frozen=True)
class Fleet:
    """The subnets of the other hosts in the play; ``share`` None: the share of the last run."""

    share: Share | None = None
    claims: Sequence[Claim] = ()


@dataclass(frozen=True)
class HeldOptions:
    """A subnet of another host as it is given; ``first``: it is fixed, so that networks of this host yield."""

    host: str = required(kinds.text())
    network: str = required(kinds.text())
    subnet: ipaddress.IPv4Interface = required(kinds.ipv4_cidr)
    first: bool = option(kinds.boolean, False)


@dataclass(frozen=True)
class FleetOptions:
    """The option ``fleet``."""

    position: int = option(kinds.integer(0, MOST_HOSTS - 1), 0)
    of: int = option(kinds.integer(1, MOST_HOSTS), 1)
    held: Sequence[HeldOptions] = option(kinds.groups_by_caller(HeldOptions), ())


def read_fleet(options: Options, name: str) -> Fleet:
    """Read ``position`` and ``of`` (the share of this host), and ``held`` (by the others); raises InvalidOption."""
    if not options.given(name):
        return Fleet()
    group = options.group(name)
    held = tuple(read_all(HeldOptions, item) for item in group.each("held"))
    of = group.integer("of", 1, least=1, most=MOST_HOSTS)
    given = read_all(FleetOptions, group, held=held, position=group.integer("position", 0, least=0, most=of - 1))
    share = Share(given.position, given.of) if group.given("of") or group.given("position") else None
    return Fleet(share, tuple(_claim(one) for one in given.held))


def _claim(held: HeldOptions) -> Claim:
    subnet = held.subnet.network
    return Claim(held.host, subnet, f"network {held.network!r} of host {held.host} ({subnet})", fixed=held.first)


@dataclass(frozen=True)
class AllocationSettings:
    """The pools and the share of this host; stored on the host, because the guard allocates subnets too."""

    pools: Sequence[Pool] = DEFAULT_POOLS
    share: Share = Share()

    def as_options(self) -> dict[str, Any]:
        """As options, for JSON; read_allocation_settings() reads them."""
        return {
            "pools": [{"subnet": str(pool.network), "prefix": pool.length} for pool in self.pools],
            "share": {"position": self.share.position, "of": self.share.of},
        }


def read_allocation_settings(paths: Paths) -> AllocationSettings:
    """Read the settings of the last run; raises VirtnetError if they cannot be read."""
    try:
        note = read_note(paths.allocation_settings)
        if note is None:
            return AllocationSettings()
        options = Options(note)
        return AllocationSettings(read_pools(options), read_fleet(options, "share").share or Share())
    except (ValueError, InvalidOption) as error:
        raise VirtnetError(
            f"{paths.allocation_settings} cannot be read: {error}; move it away, and run again"
        ) from None


@dataclass(frozen=True)
class SubnetAllocator:
    """Allocates subnets; ``in_use`` must not be overlapped, ``avoided`` only if no other subnet is free."""

    in_use: Sequence[SubnetInUse]
    avoided: Sequence[SubnetInUse] = ()
    pools: Sequence[Pool] = DEFAULT_POOLS
    order: str = UP
    fleet: Fleet = Fleet()

    def allocate(
        self,
        previous: str,
        rejected: Iterable[str] = (),
        *,
        established: bool = False,
        option: str = "ipv4.address",
        owner: str = "",
    ) -> ipaddress.IPv4Interface:
        """The address of the host on a free subnet.

        The ``previous`` address is tried first. ``established``: the network has it still, so the claims of other hosts
        do not count against it. ``rejected``: subnets that the network had to leave before. These, and routes to
        other networks, are overlapped only if no other subnet is free.
        Raises InvalidOption for ``option`` of ``owner``, with a list of what uses the pools.
        """
        blocked = [subnet.network for subnet in self.in_use if not subnet.avoid_only and subnet.network.version == 4]
        known = (*self.in_use, *self.avoided)
        avoided = [subnet.network for subnet in known if subnet.avoid_only and subnet.network.version == 4]
        for unavailable in ([*blocked, *avoided, *map(ipaddress.IPv4Network, rejected)], blocked):
            if previous:
                address = ipaddress.IPv4Interface(previous)
                claims = () if established else (claim.network for claim in self.fleet.claims)
                if not self.must_yield(address.network) and not any(
                    address.network.overlaps(network) for network in (*unavailable, *claims)
                ):
                    return address
            subnet = self._first_free(unavailable)
            if subnet is not None:
                return ipaddress.IPv4Interface((subnet.network_address + 1, subnet.prefixlen))
        raise InvalidOption(option, self._exhausted_message(), owner)

    def _first_free(self, unavailable: Sequence[Subnet]) -> ipaddress.IPv4Network | None:
        """The first subnet that no host claims.

        A host reports its claims itself, so they must not exhaust the pools. Where no subnet is free, the claims of the
        hosts that claim more than their share are ignored, beginning with the host that claims most.
        """
        ignored: list[str] = []
        for host in ("", *self._beyond_share()):
            ignored.append(host)
            claims = [claim.network for claim in self.fleet.claims if claim.fixed or claim.host not in ignored]
            # If the host's own share of the pools is used up, it takes any subnet that no other host claims.
            for share in dict.fromkeys((self.fleet.share or Share(), Share())):
                subnet = FreeSubnets([*unavailable, *claims], self.order, share).first(self.pools)
                if subnet is not None:
                    return subnet
        return None

    def _beyond_share(self) -> list[str]:
        """Hosts that claim more subnets of the pools than each host could have, the host with most claims first."""
        amounts: dict[str, int] = {}
        for host, subnet in {(claim.host, claim.network) for claim in self.fleet.claims if not claim.fixed}:
            amounts[host] = amounts.get(host, 0) + sum(_covered(subnet, pool) for pool in self.pools)
        hosts = max((self.fleet.share or Share()).of, len(amounts) + 1)
        fair = -(-sum(_covered(pool.network, pool) for pool in self.pools) // hosts)
        beyond = [host for host, amount in amounts.items() if amount > fair]
        return sorted(beyond, key=lambda host: (-amounts[host], host))

    def ignored_claims(self, subnet: ipaddress.IPv4Network) -> list[str]:
        """The claims of other hosts that an allocated subnet overlaps, as phrases."""
        claims = self.fleet.claims
        return [claim.description for claim in claims if not claim.fixed and claim.network.overlaps(subnet)]

    def allocate_prefix(
        self, prefix: ipaddress.IPv6Network, unavailable: Iterable[Subnet], previous: str
    ) -> ipaddress.IPv6Interface | None:
        """The address of the host on a free /64 of its prefix, the ``previous`` one if it is free; None if none is."""
        used = [network for network in unavailable if network.version == 6]
        used += [subnet.network for subnet in self.in_use if subnet.network.version == 6]
        if previous:
            address = ipaddress.IPv6Interface(previous)
            if address.network.subnet_of(prefix) and not any(address.network.overlaps(network) for network in used):
                return address
        subnet = FreeSubnets(used).first_of(prefix)
        return None if subnet is None else ipaddress.IPv6Interface((subnet.network_address + 1, subnet.prefixlen))

    def must_yield(self, subnet: ipaddress.IPv4Network) -> bool:
        """Whether the administrator set a subnet of another host that overlaps this one."""
        return any(claim.fixed and claim.network.overlaps(subnet) for claim in self.fleet.claims)

    def _exhausted_message(self) -> str:
        known = [(subnet.network, subnet.used_by) for subnet in self.in_use if not subnet.avoid_only]
        known += [(claim.network, claim.description) for claim in self.fleet.claims]
        inside = [
            used_by
            for subnet, used_by in sorted(known, key=lambda pair: int(pair[0].network_address))
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
