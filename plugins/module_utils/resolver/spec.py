# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The specification of one resolver entry, and its options."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.options import Options
from .provider import AUTO, PROVIDER_NAMES, Entry, reverse_zones


@dataclass(frozen=True)
class EntrySpec:
    """The desired state of one entry."""

    interface: str
    addresses: Sequence[str] = ()
    domain: str = ""
    subnets: Sequence[str] = ()
    provider: str = AUTO
    state: str = "present"
    loopback_serves: bool = False
    forwards: bool = True
    asked: bool = True
    path: str = field(default="", compare=False)

    @staticmethod
    def from_options(options: Options) -> EntrySpec:
        """Validate the options of one entry; raises InvalidOption."""
        interface = options.interface("interface")
        options.owner = f"resolver entry of {interface!r}"
        state = options.choice("state", ("present", "absent"), "present")
        addresses = options.addresses("addresses")
        for i, address in enumerate(addresses):
            if address.is_unspecified or address.is_multicast or address.is_loopback:
                options.error(f"addresses[{i}]", f"{str(address)!r} is not the address of a network's name server")
        if state == "present" and not addresses:
            options.error("addresses", "is required; name the address at which the network's name server answers")
        spec = EntrySpec(
            interface=interface,
            addresses=tuple(str(address) for address in addresses),
            domain=options.domain("domain", ""),
            subnets=tuple(str(subnet.network) for subnet in options.cidrs("subnets")),
            provider=options.choice("provider", (AUTO, *PROVIDER_NAMES), AUTO),
            state=state,
            loopback_serves=options.boolean("loopback_serves", False),
            forwards=options.boolean("forwards", True),
            asked=options.boolean("asked", True),
            path=options.path,
        )
        options.reject_unknown()
        return spec

    def as_options(self) -> dict[str, Any]:
        """The way back to the module's options."""
        if self.state == "absent":
            return {"interface": self.interface, "state": "absent"}
        return {
            "interface": self.interface,
            "addresses": list(self.addresses),
            "domain": self.domain or None,
            "subnets": list(self.subnets),
            "provider": self.provider,
            "state": self.state,
            "loopback_serves": self.loopback_serves,
            "forwards": self.forwards,
            **({} if self.asked else {"asked": False}),
        }

    def as_entry(self) -> Entry:
        """The entry for the providers."""
        zones = [zone for subnet in self.subnets for zone in reverse_zones(ipaddress.ip_network(subnet))]
        return Entry(
            interface=self.interface,
            addresses=self.addresses,
            domain=self.domain,
            zones=zones,
            forwards=self.forwards,
            serves_all_networks=self.loopback_serves,
            queried_by_host=self.asked,
        )
