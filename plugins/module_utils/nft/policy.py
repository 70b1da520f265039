# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``policy`` of a network: what its guests may reach. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ..core import kinds
from ..core.errors import InvalidOption
from ..core.fields import Kind, OptionTable, option, read_all, required, write
from ..core.options import Options, repr_short, without_zone
from ..core.protocols import PROTOCOLS

ALLOW, DENY = "allow", "deny"
ALL, SERVICES = "all", "services"
# The services of the host for guests, and the protocol and ports of each.
WORDS: Mapping[str, Sequence[tuple[str, int]]] = {
    "dns": (("tcp", 53), ("udp", 53)),
    "dhcp": (("udp", 67), ("udp", 547)),
    "tftp": (("udp", 69),),
}
# ICMP stands for that of both families.
NAMES = (*PROTOCOLS.values(), "icmp", "gre", "esp", "ah")
# Modes in which our rules filter the packets of guests.
LIMITED = ("nat", "routed", "isolated")
_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")


def _read_ports(options: Options, name: str) -> str:
    """A port as "443", a range as "8000-8010"."""
    value = options.raw(name)
    match = _RANGE.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    if match is None:
        return str(options.integer(name, least=1, most=65535))
    first, last = map(int, match.groups())
    if not 1 <= first <= last <= 65535:
        options.error(name, f"{repr_short(value)} is not a range of ports; write the lower one first, as 8000-8010")
    return f"{first}-{last}" if first < last else str(first)


def _write_ports(ports: str) -> int | str | None:
    return int(ports) if ports.isdecimal() else ports or None


PORTS: Kind[str] = Kind(_read_ports, "str", write=_write_ports)


@dataclass(frozen=True)
class Entry(OptionTable):
    """Flows: empty fields stand for all.

    ``source``: an address or subnet of the own network, or the name of a static host. ``network``: the name of another
    network, or the bridge of it once names are resolved. ``destination``: an address or subnet, or the name of a static
    host of ``network``. ``ports``: a port or "FIRST-LAST".
    """

    source: str = option(kinds.text(), "", name="from")
    network: str = option(kinds.text(), "")
    destination: str = option(kinds.text(), "", name="to")
    protocol: str = option(kinds.choice(*NAMES), "")
    ports: str = option(PORTS, "", name="port")
    path: str = field(default="", compare=False)

    def as_options(self) -> dict[str, Any]:
        """The given options."""
        return {name: value for name, value in write(self).items() if value}

    def __str__(self) -> str:
        to = " ".join(part for part in (self.network, self.destination) if part) or "anywhere"
        return " ".join(part for part in (self.source, "->", to, self.protocol, self.ports) if part)

    def refuse(self, name: str, problem: str, owner: str) -> NoReturn:
        """Refuse one of its options; raises InvalidOption."""
        raise InvalidOption(f"{self.path}.{name}" if self.path else name, problem, owner)


def subnet_in(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The subnet that a text is; None for any other text, as the name of a static host."""
    try:
        return ipaddress.ip_network(without_zone(text))
    except ValueError:
        return None


def ports_of(service: str) -> Sequence[tuple[str, str]]:
    """Protocol and ports of a service, which is a word of WORDS or "tcp 9100"."""
    protocol, _space, ports = service.partition(" ")
    return [(protocol, ports)] if ports else [(one, str(port)) for one, port in WORDS[service]]


@dataclass(frozen=True)
class HostService:
    """Ports of the host, as an item of ``to_host``."""

    port: str = required(PORTS)
    protocol: str = option(kinds.choice(*PROTOCOLS.values()), "tcp")


def _read_host_services(options: Options, name: str) -> Sequence[str]:
    value = options.raw(name)
    if value in (ALL, [ALL]):
        return (ALL,)
    services = []
    for i, item in enumerate(options.items(name)):
        place = f"{name}[{i}]"
        if isinstance(item, Mapping):
            service = read_all(HostService, Options(item, options.at(place), options.owner))
            services.append(f"{service.protocol} {service.port}")
        else:
            services.append(Options({place: item}, options.path, options.owner).choice(place, (SERVICES, *WORDS)))
        if services[-1] in services[:-1]:
            options.error(place, f"{services[-1]} is listed twice; list each service once")
    return tuple(services)


def _write_host_services(services: Sequence[str]) -> Any:
    if len(services) == 1 and services[0] in (ALL, SERVICES):
        return services[0]
    pairs = (service.partition(" ") for service in services)
    return [{"protocol": word, "port": _write_ports(ports)} if ports else word for word, _space, ports in pairs]


_HOST_SERVICES: Kind[Sequence[str]] = Kind(_read_host_services, "raw", write=_write_host_services, table=HostService)


def _read_entries(options: Options, name: str) -> Sequence[Entry]:
    return tuple(_read_entry(item) for item in options.each(name))


def _read_entry(options: Options) -> Entry:
    entry = read_all(Entry, options, path=options.path)
    if entry == Entry():
        options.error("to", "is required, or else from, network or protocol; for all flows use default")
    if entry.ports and entry.protocol not in PROTOCOLS.values():
        options.error("protocol", f"is required with port; use one of {', '.join(PROTOCOLS.values())}")
    for place, text in (("from", entry.source), ("to", entry.destination)):
        if "/" in text and subnet_in(text) is None:
            options.error(place, f"{repr_short(text)} is not a subnet; write the first address, as 203.0.113.0/24")
        if text and subnet_in(text) is None and place == "to" and not entry.network:
            options.error(
                place, f"{repr_short(text)} is neither an address nor a subnet; for a static host add its network"
            )
    families = {subnet.version for subnet in map(subnet_in, (entry.source, entry.destination)) if subnet}
    if len(families) > 1:
        options.error("to", f"{entry.destination} is not of the same family as {entry.source}; give two entries")
    return replace(entry, source=_canonical(entry.source), destination=_canonical(entry.destination))


def _canonical(text: str) -> str:
    """A subnet of one address without its length."""
    subnet = subnet_in(text)
    if subnet is None:
        return text
    return str(subnet.network_address) if subnet.prefixlen == subnet.max_prefixlen else str(subnet)


_ENTRIES: Kind[Sequence[Entry]] = Kind(
    _read_entries,
    "list",
    elements="dict",
    write=lambda entries: [entry.as_options() for entry in entries],
    table=Entry,
)


@dataclass(frozen=True)
class Policy(OptionTable):
    """What guests of a network may reach: ``deny`` is looked up before ``allow``, and ``default`` decides the rest.

    ``to_host``: the ports of the host that guests reach, as words of WORDS or "tcp 9100"; ALL for all. ``log``: whether
    the kernel logs refused flows.
    """

    default: str = option(kinds.choice(ALLOW, DENY), ALLOW)
    to_host: Sequence[str] = option(_HOST_SERVICES, (ALL,))
    allow: Sequence[Entry] = option(_ENTRIES, ())
    deny: Sequence[Entry] = option(_ENTRIES, ())
    log: bool = option(kinds.boolean, False)

    @property
    def limits_host(self) -> bool:
        """Whether the host has ports that guests do not reach."""
        return tuple(self.to_host) != (ALL,)

    @property
    def host_services(self) -> Sequence[str]:
        """The services of the host that guests reach, each as a word of WORDS or "tcp 9100"; none where that is all."""
        listed = () if not self.limits_host else self.to_host
        return [word for one in listed for word in (("dns", "dhcp") if one == SERVICES else (one,))]

    @property
    def limits_forwarding(self) -> bool:
        """Whether forwarded flows of guests are looked up."""
        return self.default == DENY or bool(self.allow or self.deny)

    @property
    def entries(self) -> Sequence[Entry]:
        """Those of both lists."""
        return (*self.allow, *self.deny)

    @property
    def opened(self) -> set[str]:
        """The networks that guests may reach, as they are named."""
        return {entry.network for entry in self.allow if entry.network}

    def with_networks(self, bridges: Mapping[str, str]) -> Policy:
        """With the bridges of the networks that are named."""
        allow, deny = (
            tuple(replace(one, network=bridges.get(one.network, one.network)) for one in entries)
            for entries in (self.allow, self.deny)
        )
        return replace(self, allow=allow, deny=deny)


NO_POLICY = Policy()


def has_policy(spec: Any) -> bool:
    """Whether a network has the option."""
    return bool(spec.policy != NO_POLICY)


def read_policy(options: Options, name: str, mode: str) -> Policy:
    """The option ``policy`` of a network; raises InvalidOption."""
    policy = read_all(Policy, options)
    if policy == NO_POLICY:
        return policy
    if mode not in LIMITED:
        raise InvalidOption(options.path, f"has no meaning in mode {mode}; leave it out, or use nat", options.owner)
    seen: dict[Entry, str] = {}
    for entry in (*policy.deny, *policy.allow):
        if entry in seen:
            raise InvalidOption(entry.path, f"is the same as {seen[entry]}; keep one of them", options.owner)
        seen[entry] = entry.path
        if entry.network == name:
            entry.refuse("network", "is the network itself; to keep its guests apart use isolate_guests", options.owner)
    for entry in policy.allow:
        if not entry.network and (policy.default == ALLOW or mode == "isolated"):
            why = f"mode {mode}" if mode == "isolated" else "default: allow"
            raise InvalidOption(
                entry.path, f"changes nothing with {why}; name a network that guests may reach", options.owner
            )
    return policy


def check_sources(policy: Policy, subnets: Sequence[Any], owner: str) -> None:
    """Refuse an entry for guests outside the subnets of the network; raises InvalidOption."""
    for entry in policy.entries:
        source = subnet_in(entry.source)
        if source is not None and not any(
            source.version == subnet.version and source.subnet_of(subnet) for subnet in subnets
        ):
            listed = ", ".join(map(str, subnets)) or "without a subnet"
            entry.refuse("from", f"{source} is outside the network ({listed}); name a guest", owner)


def policy_lines(policy: Policy, names: Mapping[str, str]) -> list[str]:
    """A policy in words, a line for each part; ``names``: of networks by bridge."""
    if policy == NO_POLICY:
        return []
    named = policy.with_networks(names)
    lines = [f"{word} {entry}" for word, entries in ((DENY, named.deny), (ALLOW, named.allow)) for entry in entries]
    lines += [f"to host: {', '.join(policy.to_host) or 'nothing'}"] if policy.limits_host else []
    lines += [f"{policy.default} everything else"] if policy.limits_forwarding else []
    return [*lines, *(["log what is refused"] if policy.log else [])]
