# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Aliases that hide guests of their network. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import InvalidOption

if TYPE_CHECKING:
    from .model import Network


def refuse_hidden_names(network: Network) -> None:
    """Raise InvalidOption for an alias with the name of a static host.

    dnsmasq answers with the alias, whatever the leases are (src/rfc1035.c, answer_request()). Names of ``dns.hosts``
    are compared where they are read.
    """
    domain = f".{(network.dns.domain or '').lower()}"
    served = (("ipv4", network.ipv4.hosts if network.ipv4.dhcp else ()), ("ipv6", network.ipv6.dhcp.hosts))
    guests = {
        host.label.lower(): f"{family}.dhcp.hosts[{i}]"
        for family, hosts in served
        for i, host in enumerate(hosts)
        if host.label
    }
    for i, alias in enumerate(network.dns.names.cname if network.dns.enabled else ()):
        label = alias.name.lower().removesuffix(domain)
        if label in guests:
            raise InvalidOption(
                network.at(f"dns.cname[{i}].name"),
                f"{alias.name} would hide {guests[label]}, which has that name; give one of them another name",
                network.owner,
            )
