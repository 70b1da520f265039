# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Short spellings of a network's options that can mean one thing only, and the options that they stand for."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any


def with_prefix_length(address: Any) -> Any:
    """The address of a host with the prefix length that it can only have, such as ``192.168.30.1/24``.

    From 192.0.0.0 on libvirt and people mean /24, and /64 in IPv6 (virSocketAddrGetIPPrefix()). Below, libvirt goes by
    the classes of RFC 791, where 10.0.0.1 is in a /8: such an address is returned unchanged, as is any other value.
    """
    if not isinstance(address, str) or "/" in address or "%" in address:
        return address
    try:
        plain = ipaddress.ip_address(address)
    except ValueError:
        return address
    if plain.version == 6:
        return f"{plain}/64"
    return f"{plain}/24" if plain.packed[0] >= 192 else address


def spelled_out(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network: ``bridge`` may be a name, ``port_security`` a level, and ``address`` may lack its
    prefix length.
    """
    spelled = dict(options)
    if isinstance(spelled.get("bridge"), str) and spelled["bridge"]:
        spelled["bridge"] = {"name": spelled["bridge"]}
    if isinstance(spelled.get("port_security"), (str, bool)):
        # YAML 1.1 reads off without quotes as false.
        level = spelled["port_security"]
        spelled["port_security"] = {"level": "off" if level is False else level}
    for family in ("ipv4", "ipv6"):
        group = spelled.get(family)
        if isinstance(group, Mapping) and "address" in group:
            spelled[family] = {**group, "address": with_prefix_length(group["address"])}
    return spelled
