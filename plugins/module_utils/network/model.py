# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of a network: what the user wrote, validated and with every default filled in."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from ..core import kinds
from ..core.fields import Documented, option, read, required, write
from ..core.identity import network_uuid
from ..core.options import Interface, Options, repr_short
from ..dhcp import ranges as dhcp
from ..dhcp.netboot import BOOT, TFTP_ROOT, Boot
from ..dhcp.ranges import DEFAULT_LEASE_TIME, Range
from ..dhcp.static_hosts import Host, read_hosts, refuse_ids
from ..dnsmasq.records import Names, read_names
from ..dnsmasq.spec import AUTO, DHCP_OPTIONS, INSTANCES, RAW
from ..kernel.bandwidth import Bandwidth, read_bandwidth
from ..kernel.routes import Route, read_route_options
from ..libvirt.bridged import MODE as BRIDGED
from ..libvirt.bridged import registration_options
from ..libvirt.managed import LIBVIRT, OURS, bridge_in, is_managed, managed_xml, name_in, uuid_in
from ..libvirt.options import Libvirt, read_libvirt
from ..libvirt_xml.spelling import spelled_out
from ..nft.elements import MODES as MODES_OF_RULES
from ..nft.elements import MOST_CONNECTIONS
from ..nft.helpers import HELPERS, has_helpers, read_helpers
from ..nft.nat import Nat, read_nat
from ..nft.policy import LIMITED, NO_POLICY, Policy, has_policy, read_policy
from ..nft.port_forwards import PORT_FORWARDS, Forward, read_forwards
from ..nft.spec import NAME, NAME_WORDS, read_clamp_mss, read_connection_rate
from ..openvswitch.port_vlans import PortVlan, of_portgroup
from .bridge import BRIDGE, NetworkBridge, read_bridge
from .combinations import validate_combinations
from .from_xml import options_from_xml
from .ipv6 import NONE, Ipv6, read_ipv6
from .port_security import PORT_SECURITY, NetworkPortSecurity, has_level, read_port_security

STATES = ("active", "inactive", "absent")
MODES = (*MODES_OF_RULES, BRIDGED)


@dataclass(frozen=True)
class Ipv4:
    """The host's address on the bridge, or None. ``auto``: it is chosen automatically."""

    address: ipaddress.IPv4Interface | None = option(kinds.ipv4_cidr, None, documented=AUTO)
    auto: bool = option(kinds.boolean, False, documented=Documented.NOWHERE)
    dhcp: bool = option(kinds.boolean, True, name="dhcp.enabled")
    lease_time: str = option(kinds.text(), DEFAULT_LEASE_TIME, name="dhcp.lease_time", documented=Documented.BY_OTHERS)
    ranges: Sequence[Range] = option(kinds.groups_by_caller(Range), (), name="dhcp.ranges")
    hosts: Sequence[Host] = option(kinds.groups_by_caller(Host), (), name="dhcp.hosts")
    ignore_client_ids: bool = option(kinds.boolean, False, name="dhcp.ignore_client_ids")
    options: Mapping[str, str] = option(DHCP_OPTIONS, {}, name="dhcp.options")
    boot: Sequence[Boot] = option(BOOT, (), name="dhcp.boot")
    tftp_root: str = option(TFTP_ROOT, "", name="dhcp.tftp_root")

    @property
    def named_hosts(self) -> dict[str, str]:
        """The fixed addresses of guests by their names."""
        return {host.name: str(host.ip) for host in self.hosts if host.name and host.ip}

    def as_options(self) -> dict[str, Any]:
        """The option ``ipv4``, with every default."""
        options = write(self)
        return {**options, "address": options["address"] or NONE}


@dataclass(frozen=True)
class Dns:
    """DNS for the guests. ``names`` has further options of the group.

    ``domain``: empty for none; None: it is not named, so one is chosen when the network is defined.
    """

    enabled: bool = option(kinds.boolean, True)
    domain: str | None = option(kinds.domain_or_empty, None)
    local_only: bool = option(kinds.boolean, True)
    host_resolver: bool = option(kinds.boolean, True)
    names: Names = field(default_factory=Names)

    def as_options(self) -> dict[str, Any]:
        """The option ``dns``, with every default."""
        return {**write(self), **self.names.as_options()}


def _managed_by_libvirt(network: Any) -> bool:
    return bool(network.managed_by == LIBVIRT)


@dataclass(frozen=True)
class Network:
    """One virtual network. ``path``: where it stands in the user's input.

    One that is ``managed_by`` libvirt has its definition in ``xml``; of the rest we know name, UUID and bridge at most.
    Of a bridge that is not ours, name and type are all we know.
    """

    name: str = required(kinds.matching(NAME, NAME_WORDS))
    uuid: str = option(kinds.text(), "")
    title: str = option(kinds.text(), "")
    description: str = option(kinds.text(4096), "")
    state: str = option(kinds.choice(*STATES), "active")
    autostart: bool = option(kinds.boolean, True)
    persistent: bool = option(kinds.boolean, True)
    mode: str = option(kinds.choice(*MODES), "nat")
    uplinks: Sequence[str] = option(kinds.interface_or_list, (), name="uplink")
    bridge: NetworkBridge = option(BRIDGE, NetworkBridge(name=""))
    ipv4: Ipv4 = option(kinds.group_by_caller(Ipv4), Ipv4())
    ipv6: Ipv6 = option(kinds.group_by_caller(Ipv6), Ipv6())
    nat: Nat = option(kinds.group_by_caller(Nat), Nat())
    forwards: Sequence[Forward] = option(PORT_FORWARDS, (), name="port_forwards")
    isolate_guests: bool = option(kinds.boolean, False)
    port_security: NetworkPortSecurity = option(PORT_SECURITY, NetworkPortSecurity(), is_written=has_level)
    connection_rate: int = option(kinds.integer(0, MOST_CONNECTIONS), 0, documented=Documented.BY_OTHERS)
    clamp_mss: bool = option(kinds.boolean, False, documented=Documented.BY_OTHERS)
    helpers: Sequence[str] = option(HELPERS, (), name="conntrack_helpers", is_written=has_helpers)
    policy: Policy = option(kinds.group_by_caller(Policy), NO_POLICY, is_written=has_policy)
    extra_addresses: Sequence[str] = option(kinds.cidrs, ())
    routes: Sequence[Route] = option(kinds.groups_by_caller(Route), ())
    bandwidth: Bandwidth = option(kinds.group(Bandwidth, read_bandwidth), Bandwidth())
    dns: Dns = option(kinds.group_by_caller(Dns), Dns())
    dnsmasq_instance: str = option(kinds.choice(*INSTANCES), AUTO, name="dnsmasq.instance")
    dnsmasq_options: Sequence[str] = option(RAW, (), name="dnsmasq.options")
    dnsmasq_redirect: bool | None = option(kinds.boolean, None, name="dnsmasq.redirect")
    libvirt: Libvirt = option(kinds.group(Libvirt, read_libvirt), Libvirt())
    managed_by: str = option(kinds.choice(OURS, LIBVIRT), OURS, is_written=_managed_by_libvirt)
    restart: bool = option(kinds.boolean, False, is_written=_managed_by_libvirt)
    xml: str = option(kinds.text(), "", is_written=_managed_by_libvirt)
    path: str = field(default="", compare=False)

    @property
    def owner(self) -> str:
        """How errors name this network."""
        return f"network {self.name!r}"

    @property
    def has_own_bridge(self) -> bool:
        """Whether we make, serve and remove its bridge."""
        return self.mode != BRIDGED and self.managed_by == OURS

    @property
    def forwards_ipv4(self) -> bool:
        """Whether the host forwards IPv4 packets of guests; a bridge with the host's uplink is the outside."""
        forwards = self.mode != "isolated" or bool(self.forwards or self.policy.opened)
        return forwards and self.ipv4.address is not None and not self.bridge.enslave_uplink

    @property
    def subnet(self) -> ipaddress.IPv4Network | None:
        """The guests' IPv4 addresses."""
        return self.ipv4.address.network if self.ipv4.address else None

    @property
    def own_addresses(self) -> list[Interface]:
        """The host's addresses on the bridge, of both families, without ``extra_addresses``."""
        return [address for address in (self.ipv4.address, self.ipv6.address) if address is not None]

    @property
    def server_addresses(self) -> list[str]:
        """The addresses at which guests find a dnsmasq: all of the host's on the bridge."""
        return [*(str(address.ip) for address in self.own_addresses), *(a.split("/")[0] for a in self.extra_addresses)]

    @property
    def subnets(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """All of the guests' addresses, of both families."""
        return [one.network for one in (*self.own_addresses, *map(ipaddress.ip_interface, self.extra_addresses))]

    @property
    def reached(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """All addresses that may be behind its bridge: those of guests, and those routed through guests."""
        return [*self.subnets, *(route.subnet for route in self.routes)]

    @property
    def has_ipv6(self) -> bool:
        """Whether any of its addresses is one of IPv6."""
        return any(subnet.version == 6 for subnet in self.subnets)

    @property
    def resolved_vlans(self) -> list[PortVlan]:
        """VLANs of ports, with those of the portgroups that they name."""
        groups = {str(group["name"]): of_portgroup(group) for group in self.libvirt.portgroups}
        return [PortVlan(vlan.port, groups[vlan.portgroup]) if vlan.portgroup else vlan for vlan in self.bridge.vlans]

    @property
    def resolved_forwards(self) -> list[Forward]:
        """The port forwards with the addresses of the guests that they name."""
        hosts = self.ipv4.named_hosts
        return [forward.at(hosts) for forward in self.forwards]

    def at(self, option: str) -> str:
        """The path of an option of this network."""
        return f"{self.path}.{option}" if self.path else option

    def with_address(self, address: ipaddress.IPv4Interface) -> Network:
        """The network with the subnet that was chosen for it, and the default ranges of that."""
        ranges = dhcp.default_ranges(address, self.ipv4.lease_time) if self.ipv4.dhcp else []
        return replace(self, ipv4=replace(self.ipv4, address=address, ranges=tuple(ranges)))

    def with_domain(self, domain: str | None) -> Network:
        """The network with the domain that was chosen for it, which plain names of its records get."""
        options = Options(self.dns.names.as_options(), self.at("dns"), self.owner)
        names = read_names(options, domain or "", local_only=self.dns.local_only)
        return replace(self, dns=replace(self.dns, domain=domain, names=names))

    def as_options(self) -> dict[str, Any]:
        """The definition: the options with every default, fit for JSON and to be read again."""
        options = write(self)
        if self.managed_by == LIBVIRT:
            return {name: options[name] for name in _MANAGED}
        return {**options, **({} if self.mode in LIMITED else dict.fromkeys(("connection_rate", "clamp_mss")))}


# What the definition of a network of libvirt's own holds.
_MANAGED = ("name", "uuid", "state", "autostart", "persistent", "managed_by", "restart", "xml")


def read_network(options: Options, identity: str) -> Network:
    """One item of the user's list, or a stored definition.

    Raises InvalidOption: the path of the value, the value, and what to do. An absent network needs its name alone.
    """
    options = Options(spelled_out(options.as_mapping()), options.path, options.owner)
    if is_managed(options):
        return _read_managed(options)
    options = options_from_xml(options)
    name = options.matching("name", NAME, NAME_WORDS)
    options.owner = f"network {name!r}"
    state = options.choice("state", STATES, "active")
    mode = options.choice("mode", MODES, "nat")
    if mode == BRIDGED:
        options = registration_options(options)
    ipv6 = read_ipv6(options.group("ipv6"))
    ipv4 = _read_ipv4(options.group("ipv4"), mode, ipv6)
    libvirt = read_libvirt(options.group("libvirt"))
    network = read(
        Network,
        options,
        name=name,
        uuid=_uuid(options, identity, name),
        state=state,
        mode=mode,
        bridge=read_bridge(options.group("bridge"), identity, name, mode, libvirt),
        nat=read_nat(options.group("nat"), mode),
        ipv4=ipv4,
        forwards=tuple(read_forwards(options, ipv4.named_hosts)),
        port_security=read_port_security(options.group("port_security"), (*ipv4.hosts, *ipv6.dhcp.hosts)),
        connection_rate=read_connection_rate(options, mode),
        clamp_mss=read_clamp_mss(options, mode),
        helpers=read_helpers(options, mode),
        policy=read_policy(options.group("policy"), name, mode),
        ipv6=ipv6,
        dns=_read_dns(options.group("dns")),
        routes=_read_routes(options, ipv4, ipv6),
        libvirt=libvirt,
        path=options.path,
    )
    _refuse_restart(options, network)
    options.reject_unknown()
    validate_combinations(options, network)
    return network


def _refuse_restart(options: Options, network: Network) -> None:
    if network.restart:
        options.error("restart", "is for networks with managed_by: libvirt; the others change while they run")


def _read_managed(options: Options) -> Network:
    """A network that is libvirt's own."""
    state = options.choice("state", STATES, "active")
    without_xml = state == "absent" and not options.given("xml")
    xml = "" if without_xml else managed_xml(options)
    named = options if options.given("name") or without_xml else Options({"name": name_in(xml)}, options.at("xml"))
    return Network(
        name=named.matching("name", NAME, NAME_WORDS),
        uuid="" if without_xml else uuid_in(xml),
        state=state,
        autostart=options.boolean("autostart", True),
        persistent=options.boolean("persistent", True),
        bridge=NetworkBridge(name="" if without_xml else bridge_in(xml)),
        mode=LIBVIRT,
        ipv4=Ipv4(dhcp=False),
        dns=Dns(enabled=False, host_resolver=False),
        managed_by=LIBVIRT,
        xml=xml,
        restart=options.boolean("restart", False),
        path=options.path,
    )


def _uuid(options: Options, identity: str, name: str) -> str:
    text = options.text("uuid", "")
    try:
        return str(UUID(text)) if text else network_uuid(identity, name)
    except ValueError:
        options.error("uuid", f"{repr_short(text)} is not a uuid; write it as 7b0cbfb2-6a3e-4d4c-9d57-3c1f5c9a6e01")


def _read_ipv4(options: Options, mode: str, ipv6: Ipv6) -> Ipv4:
    auto = options.boolean("auto", False)
    address = None
    if options.text("address", AUTO) in (AUTO, NONE):
        auto = options.text("address", AUTO) == AUTO
    else:
        address = options.ipv4_cidr("address")
        _check_host_address(options, address)
    group = options.group("dhcp")
    # Guests learn of a move to another subnet when their leases expire, if not earlier.
    lease = dhcp.lease_time(group, "lease_time", dhcp.MOVING_LEASE_TIME if auto else DEFAULT_LEASE_TIME)
    ipv4 = read(
        Ipv4,
        options,
        address=address,
        auto=auto,
        dhcp=group.boolean("enabled", True) and (auto or address is not None),
        lease_time=lease,
        ranges=tuple(dhcp.read_ranges(group, "ranges", address, lease)),
        hosts=tuple(read_hosts(group, "hosts", address)),
    )
    options.reject_unknown()
    if ipv4.ignore_client_ids:
        refuse_ids(group, ipv4.hosts)
    given_auto = options.text("address", AUTO) == AUTO
    served = ipv4.dhcp and (given_auto or address is not None)
    if served and dhcp.only_static_hosts(group, ipv4.hosts, fixed=not given_auto):
        return ipv4
    if not ipv4.ranges and ipv4.dhcp and address is not None:
        ipv4 = replace(ipv4, ranges=tuple(dhcp.default_ranges(address, lease)))
        if not ipv4.ranges:
            group.error("enabled", f"{address.network} has no address left for guests; use a larger subnet or false")
    if address is None and not auto and ipv6.address is None and not ipv6.auto and mode in ("nat", "routed"):
        options.error(
            "address", f"'none' is not possible in mode {mode} without ipv6.address; give one, or use isolated or open"
        )
    return ipv4


def _check_host_address(options: Options, address: ipaddress.IPv4Interface) -> None:
    network = address.network
    if network.prefixlen < 31 and address.ip in (network.network_address, network.broadcast_address):
        options.error(
            "address",
            f"{address} is the network or broadcast address of its subnet; the host needs one between, "
            f"such as {network.network_address + 1}/{network.prefixlen}",
        )
    if network.prefixlen < 8 or address.ip.is_multicast or address.ip.is_loopback or address.ip.is_unspecified:
        options.error("address", f"{address} cannot be the address of a network of guests; use a private subnet")


def _read_routes(options: Options, ipv4: Ipv4, ipv6: Ipv6) -> tuple[Route, ...]:
    for family, automatic in (("ipv4", ipv4.auto), ("ipv6", ipv6.auto)):
        if automatic and any(
            (":" in str(item.raw("via", ""))) == (family == "ipv6") for item in options.each("routes")
        ):
            options.error(
                "routes", f"a fixed {family}.address is required, because `via` must lie in the network's subnet"
            )
    own = [address for address in (ipv4.address, ipv6.address) if address is not None]
    return read_route_options(options, "routes", [*own, *options.cidrs("extra_addresses")])


def _read_dns(options: Options) -> Dns:
    domain = kinds.domain_or_empty.read(options, "domain") if options.given("domain") else ""
    dns = read(Dns, options, names=read_names(options, domain, local_only=options.boolean("local_only", True)))
    options.reject_unknown()
    return dns
