# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Port security: which frames of guests a bridge does not take. Pure.

At the level ``gateway`` no guest answers as the gateway, as a router, or as a DHCP server. A guest that is one on
purpose is trusted: by its port, or by its MAC address, which another guest could forge.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core import kinds
from ..core.fields import OptionTable, option, read_all
from ..core.options import Options
from ..kernel.frame_filter import FrameFilter, FrameFilters, Rule, can_be_filtered

OFF, GATEWAY = "off", "gateway"
LEVELS = (OFF, GATEWAY)


@dataclass(frozen=True)
class PortSecurity(OptionTable):
    """The option ``port_security`` of a bridge."""

    level: str = option(kinds.choice(*LEVELS), OFF)
    trusted_ports: Sequence[str] = option(kinds.interfaces, ())
    trusted_macs: Sequence[str] = option(kinds.macs, ())

    @property
    def enabled(self) -> bool:
        """Whether frames are checked at all."""
        return self.level != OFF

    def checks(self, port: str, host_ports: Collection[str]) -> bool:
        """Whether the frames of this port are checked; ``host_ports`` are interfaces of the host itself."""
        return self.enabled and port not in self.trusted_ports and port not in host_ports


def read_port_security(options: Options) -> PortSecurity:
    """The options of a bridge; raises InvalidOption."""
    return read_all(PortSecurity, options)


def link_local(mac: str) -> str:
    """The IPv6 address that the kernel gives an interface with this MAC address (RFC 4291, appendix A)."""
    octets = [int(octet, 16) for octet in mac.split(":")]
    octets = [octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes(octets)))


def frame_filter(
    mac: str, addresses: Iterable[str], security: PortSecurity, ports: Iterable[str], host_ports: Collection[str]
) -> FrameFilter | None:
    """The filter of a bridge with this MAC address, these addresses of the host in CIDR notation, and these ports."""
    if not security.enabled:
        return None
    checked = {port for port in ports if security.checks(port, host_ports) and can_be_filtered(port)}
    own = sorted({address.partition("/")[0] for address in addresses})
    return FrameFilter(mac, tuple(_rules(mac, own, security.trusted_macs)), frozenset(checked))


def unfiltered_note(
    bridge: str, security: PortSecurity, ports: Iterable[str], host_ports: Collection[str]
) -> str | None:
    """The note on ports that are not checked although they should be, since nft cannot name them."""
    names = [repr(port) for port in sorted(ports) if security.checks(port, host_ports) and not can_be_filtered(port)]
    if not names:
        return None
    return f"bridge {bridge!r}: the frames of {', '.join(names)} are not checked, since nft cannot name it; rename it"


def _rules(mac: str, addresses: Sequence[str], trusted: Sequence[str]) -> Iterable[Rule]:
    """The rules of the level ``gateway``.

    They match ``meta protocol``, which the kernel takes from behind a tag for VLAN 0: guests accept such frames as if
    they had no tag. Clients of DHCP take an answer from any port of the sender. ``@th,64,128`` is the target of a
    neighbour advertisement (RFC 4861, section 4.4), for which nft 1.0 has no name.
    """
    ipv4 = [address for address in addresses if ":" not in address]
    ipv6 = [*(address for address in addresses if ":" in address), link_local(mac)]
    targets = [f"0x{ipaddress.IPv6Address(address).packed.hex()}" for address in ipv6]
    if trusted:
        yield f"ether saddr {{ {', '.join(sorted(trusted))} }} accept", "trusted hosts"
    yield f"ether saddr {mac} drop", "the MAC address of the gateway"
    yield "meta protocol { 8021q, 8021ad } @nh,4,12 0 drop", "a tag for VLAN 0 within a tag"
    yield f"meta protocol arp arp saddr ether {mac} drop", "ARP with the MAC address of the gateway"
    if ipv4:
        listed = f"{{ {', '.join(ipv4)} }}"
        yield f"meta protocol arp arp saddr ip {listed} drop", "ARP with an address of the gateway"
        yield f"meta protocol ip ip saddr {listed} drop", "the address of the gateway"
    yield "meta protocol ip udp dport 68 drop", "answers of DHCP servers"
    yield "meta protocol ip icmp type redirect drop", "redirects of routers"
    yield f"meta protocol ip6 ip6 saddr {{ {', '.join(ipv6)} }} drop", "the IPv6 address of the gateway"
    yield "meta protocol ip6 udp dport 546 drop", "answers of DHCPv6 servers"
    yield "meta protocol ip6 icmpv6 type { nd-router-advert, nd-redirect } drop", "router advertisements and redirects"
    yield (
        f"meta protocol ip6 icmpv6 type nd-neighbor-advert @th,64,128 {{ {', '.join(targets)} }} drop",
        "neighbour advertisements for the gateway",
    )


def filter_change(bridge: str, desired: FrameFilter | None, loaded: FrameFilters) -> Mapping[str, FrameFilter | None]:
    """The filter to load for a bridge, None to delete it; empty where it is as desired."""
    current = loaded.bridges.get(bridge)
    if desired is None:
        return {} if current is None else {bridge: None}
    same = loaded.intact and current is not None and current.equals(desired)
    return {} if same else {bridge: desired}


def current_values(bridge: str, desired: FrameFilter | None, loaded: FrameFilters) -> dict[str, Any]:
    """For the diff: the filter as it is; nothing where there is and shall be none."""
    current = loaded.bridges.get(bridge)
    if current is None:
        return {} if desired is None else {"port_security": OFF, "checked_ports": []}
    known = desired is not None and current.version == desired.version and loaded.intact
    rules = desired_values(desired)["port_security"] if known and desired is not None else "other rules"
    return {"port_security": rules, "checked_ports": sorted(current.ports)}


def desired_values(desired: FrameFilter | None) -> dict[str, Any]:
    """For the diff: the filter as it is to be."""
    if desired is None:
        return {"port_security": OFF, "checked_ports": []}
    return {"port_security": GATEWAY, "checked_ports": sorted(desired.ports)}
