# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host answers to the module virt_network_info, as typed data. Pure.

The controller trusts no host: what comes from one is read here, once, and nothing else is passed on. An answer that
does not fit is an error of that host alone (BadAnswer).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .answer_policies import Policy, read_policy
from .answer_values import (
    Address,
    BadAnswer,
    Budget,
    Interface,
    Values,
    host_name_or_nothing,
    identifier_or_nothing,
    mac_or_nothing,
    plain,
    shown,
)

__all__ = ["Answer", "BadAnswer", "parse_answer"]

STATES = ("active", "inactive")
# The last two: registered with libvirt only, and libvirt's own.
MODES = ("nat", "routed", "isolated", "open", "bridged", "libvirt")
VERDICTS = ("passes", "dropped", "may be dropped", "refused")
PROTOCOLS = ("tcp", "udp", "sctp")

# Bounds, so that one host cannot exhaust the controller. A /16 has 65,536 addresses; dnsmasq gives 1,000 unless it is
# told otherwise; a bridge of Linux has 1,024 ports at most, one of Open vSwitch 65,280.
MOST_NETWORKS = 4096
MOST_LEASES = 65_536
MOST_HOSTS = 65_536
MOST_MACS = 1024
MOST_UPLINKS = 64
MOST_PORTS = 65_536
MOST_FORWARDS = 65_536
# Of each port forward two, one of each IP version.
MOST_PACKETS = 2 * MOST_FORWARDS
MOST_DROPS = 4096
MOST_CONFLICTS = 4096
MOST_ADDRESSES = 1024
# Of all these together, in one answer.
MOST_ITEMS = 500_000
LONGEST_SENTENCE = 4096

# What firewall/remedies.py proposes: one command without anything that a shell would act on outside of quotes, or a
# sentence. An administrator may paste it.
_CURE = re.compile(
    r"nft insert rule [A-Za-z0-9 _./:-]* '[^'`$\\;|<>]* accept'"
    r"|ip6?tables(?:-nft|-legacy)?(?: -t [a-z]+)? -I [A-Za-z0-9 _./:-]* -j ACCEPT"
    r"|ufw (?:route )?allow [A-Za-z0-9 _./:-]*"
    r"|firewall-cmd --panic-off"
    r"|let the playbook ask firewalld \(virtnet_firewall_integration: true(?:, without bridge\.zone)?\)"
)


@dataclass(frozen=True)
class Lease:
    """An address that dnsmasq handed out.

    What the guest chose (``hostname``, ``mac``, ``duid``, ``client_id``) is '' where it cannot be used.
    ``expires`` is in seconds since 1970, ``remaining`` in seconds; both are None for never.
    """

    ip: Address
    mac: str = ""
    duid: str = ""
    client_id: str = ""
    hostname: str = ""
    expires: int | None = None
    remaining: int | None = None


@dataclass(frozen=True)
class StaticHost:
    """A guest that the definition names. ``id``: client id or DUID. ``other_macs``: of its further interfaces."""

    mac: str = ""
    id: str = ""
    name: str = ""
    ip: Address | None = None
    other_macs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """The definition's part of one IP version. ``address``: the host's, None for none; ``auto``: it was chosen."""

    address: Interface | None = None
    auto: bool = False
    hosts: tuple[StaticHost, ...] = ()


@dataclass(frozen=True)
class Forward:
    """Ports ``first`` to ``last`` of the host lead to ``to``, an address or the name of a static host."""

    protocol: str
    first: int
    last: int
    to: str
    to_port: int | None = None
    address: Address | None = None


@dataclass(frozen=True)
class Definition:
    """What of a network's definition is used on the controller. Libvirt's own networks have the defaults."""

    ipv4: Family = Family()
    ipv6: Family = Family()
    extra_addresses: tuple[Interface, ...] = ()
    domain: str = ""
    uplinks: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()
    isolate_guests: bool = False
    policy: Policy = Policy()


@dataclass(frozen=True)
class Drop:
    """A rule, or with ``rule`` None a policy, that drops a packet; ``cure``: a command of a firewall, '' for none."""

    family: str
    table: str
    chain: str
    rule: str | None = None
    cure: str = ""


@dataclass(frozen=True)
class Packet:
    """What becomes of one kind of packets."""

    way: str
    family: str
    wanted: bool
    verdict: str
    by: tuple[Drop, ...] = ()


@dataclass(frozen=True)
class Network:
    """One network of a host. ``bridge`` is '' where libvirt chooses it."""

    name: str
    state: str
    mode: str
    definition: Definition
    uuid: str = ""
    autostart: bool = False
    persistent: bool = True
    bridge: str = ""
    addresses: tuple[Interface, ...] = ()
    ports: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    packets: tuple[Packet, ...] = ()
    leases: tuple[Lease, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The networks of one host."""

    host: str
    networks: tuple[Network, ...] = field(default=())


def parse_answer(host: str, result: Any) -> Answer:
    """The result of the module virt_network_info; ``host`` is its name in the inventory.

    Keys that are not known are ignored. Raises BadAnswer, and nothing else whatever the result is; where the module
    failed or the host was not reached, with the message of that.
    """
    if not isinstance(result, Mapping):
        raise BadAnswer(host, "", f"the answer, {shown(result)}, is not a mapping")
    values = Values(host, result, budget=Budget(MOST_ITEMS))
    if not values.given("networks"):
        raise BadAnswer(host, "", failure(result))
    networks: list[Network] = []
    names: set[str] = set()
    for one in values.each("networks", most=MOST_NETWORKS):
        network = _network(one)
        if network.name in names:
            one.refuse("name", f"{network.name!r} is given twice")
        names.add(network.name)
        networks.append(network)
    return Answer(host, tuple(networks))


def failure(result: Mapping[str, Any]) -> str:
    """Why a host did not answer, in one line."""
    message = result.get("msg")
    text = " ".join(plain(message, 1000).split()) if isinstance(message, str) else ""
    return text or "did not answer"


def _network(one: Values) -> Network:
    name = one.network_name("name")
    if not one.given("definition"):
        one.refuse("definition", "is missing")
    return Network(
        name=name,
        uuid=one.identifier("uuid", ""),
        state=one.choice("state", STATES),
        autostart=one.boolean("autostart", False),
        persistent=one.boolean("persistent", True),
        mode=one.choice("mode", MODES),
        bridge=one.interface("bridge", ""),
        addresses=one.cidrs("addresses", most=MOST_ADDRESSES),
        ports=one.interfaces("ports", most=MOST_PORTS),
        conflicts=one.texts("conflicts", most=MOST_CONFLICTS, longest=LONGEST_SENTENCE),
        packets=tuple(_packet(item) for item in one.each("packets", most=MOST_PACKETS)),
        leases=tuple(_lease(item) for item in one.each("leases", most=MOST_LEASES)),
        definition=_definition(one.group("definition")),
    )


def _definition(one: Values) -> Definition:
    return Definition(
        ipv4=_family(one.group("ipv4"), 4),
        ipv6=_family(one.group("ipv6"), 6),
        extra_addresses=one.cidrs("extra_addresses", most=MOST_ADDRESSES),
        domain=one.group("dns").domain("domain", ""),
        uplinks=_uplinks(one),
        forwards=tuple(_forward(item) for item in one.each("port_forwards", most=MOST_FORWARDS)),
        isolate_guests=one.boolean("isolate_guests", False),
        policy=read_policy(one.group("policy")),
    )


def _uplinks(one: Values) -> tuple[str, ...]:
    if one.is_list("uplink"):
        return one.interfaces("uplink", most=MOST_UPLINKS)
    uplink = one.interface("uplink", "")
    return (uplink,) if uplink else ()


def _family(one: Values, version: int) -> Family:
    word = one.text("address", "none", longest=50)
    address = None if word in ("none", "auto") else one.cidr("address")
    if address is not None and address.version != version:
        one.refuse("address", f"'{address}' is not an IPv{version} address")
    hosts = one.group("dhcp").each("hosts", most=MOST_HOSTS)
    return Family(address, one.boolean("auto", word == "auto"), tuple(_static_host(item, version) for item in hosts))


def _static_host(one: Values, version: int) -> StaticHost:
    macs = one.macs("mac", most=MOST_MACS)
    host = StaticHost(
        mac=macs[0] if macs else "",
        id=one.identifier("id", ""),
        name=one.host_name("name", ""),
        ip=one.optional_address("ip", version),
        other_macs=macs[1:],
    )
    if not (host.mac or host.id or host.name):
        one.refuse("mac", "is missing, and so are id and name")
    return host


def _forward(one: Values) -> Forward:
    ports = one.group("port_range") if one.given("port_range") else None
    first = one.integer("port", most=65535) if ports is None else ports.integer("start", most=65535)
    last = first if ports is None else ports.integer("end", most=65535)
    return Forward(
        protocol=one.choice("protocol", PROTOCOLS, "tcp"),
        first=first,
        last=last,
        to=one.identifier("to"),
        to_port=one.optional_integer("to_port", most=65535),
        address=one.optional_address("address"),
    )


def _lease(one: Values) -> Lease:
    return Lease(
        ip=one.address("ip"),
        mac=mac_or_nothing(one.chosen_by_guest("mac")),
        duid=identifier_or_nothing(one.chosen_by_guest("duid")),
        client_id=identifier_or_nothing(one.chosen_by_guest("client_id")),
        hostname=host_name_or_nothing(one.chosen_by_guest("hostname")),
        expires=one.optional_integer("expires"),
        remaining=one.optional_integer("remaining"),
    )


def _packet(one: Values) -> Packet:
    return Packet(
        way=one.text("way", longest=LONGEST_SENTENCE),
        family=one.text("family", longest=20),
        wanted=one.boolean("wanted"),
        verdict=one.choice("verdict", VERDICTS),
        by=tuple(_drop(item) for item in one.each("by", most=MOST_DROPS)),
    )


def _drop(one: Values) -> Drop:
    cure = one.text("cure", "", longest=LONGEST_SENTENCE)
    return Drop(
        family=one.text("family"),
        table=one.text("table"),
        chain=one.text("chain"),
        rule=one.text("rule", longest=LONGEST_SENTENCE) if one.given("rule") else None,
        cure=cure if _CURE.fullmatch(cure) else "",
    )
