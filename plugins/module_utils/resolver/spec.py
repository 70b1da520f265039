# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The specification of one resolver entry, and its options."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core import kinds
from ..core.fields import Kind, option, read, required, write
from ..core.options import Options
from .provider import AUTO, PROVIDER_NAMES, reverse_zones

_SUBNETS: Kind[Sequence[str]] = Kind(
    lambda options, name: tuple(str(cidr.network) for cidr in options.cidrs(name)), "list", elements="str", write=list
)


@dataclass(frozen=True)
class EntrySpec:
    """The desired state of one entry, which is one network for the resolver.

    - ``forwards``: its server also resolves other names, by the host's servers.
    - ``serves_all_networks``: its server is the system's dnsmasq, which answers on a loopback address too and knows the
      names of the other networks.
    - ``queried_by_host``: the host queries its server.
    - ``owner``: how errors name it.
    """

    interface: str = required(kinds.interface)
    addresses: Sequence[str] = option(kinds.addresses, ())
    domain: str = option(kinds.domain, "")
    subnets: Sequence[str] = option(_SUBNETS, ())
    provider: str = option(kinds.choice(AUTO, *PROVIDER_NAMES), AUTO)
    state: str = option(kinds.choice("present", "absent"), "present")
    serves_all_networks: bool = option(kinds.boolean, False, name="loopback_serves")
    forwards: bool = option(kinds.boolean, True)
    queried_by_host: bool = option(kinds.boolean, True, name="asked", is_written=lambda spec: not spec.queried_by_host)
    path: str = field(default="", compare=False)
    owner: str = field(default="", compare=False)

    @property
    def zones(self) -> list[str]:
        """The reverse zones of its subnets."""
        return [zone for subnet in self.subnets for zone in reverse_zones(ipaddress.ip_network(subnet))]

    @staticmethod
    def from_options(options: Options) -> EntrySpec:
        """Validate the options of one entry; raises InvalidOption."""
        interface = options.interface("interface")
        options.owner = f"resolver entry of {interface!r}"
        for i, address in enumerate(options.addresses("addresses")):
            if address.is_unspecified or address.is_multicast or address.is_loopback:
                options.error(f"addresses[{i}]", f"{str(address)!r} is not the address of a network's name server")
        spec = read(EntrySpec, options, path=options.path, owner=options.owner)
        if spec.state == "present" and not spec.addresses:
            options.error("addresses", "is required; name the address at which the network's name server answers")
        options.reject_unknown()
        return spec

    def as_options(self) -> dict[str, Any]:
        """The options of the module ``resolvconf_entry``."""
        if self.state == "absent":
            return {"interface": self.interface, "state": "absent"}
        return write(self)
