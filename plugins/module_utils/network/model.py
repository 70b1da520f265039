# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of a network: what the user wrote, validated and with every default filled in."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from ..bridge.spec import FAIL_MODES, TYPES, refuse_for_linux
from ..bridge.uplink import CONFIRM_WITHIN, refuse_for_openvswitch, uplink_options
from ..core.identity import bridge_mac, bridge_name, network_uuid
from ..core.options import Options, repr_short
from ..dhcp import ranges as dhcp
from ..dhcp.netboot import Boot, read_boot, read_tftp_root
from ..dhcp.options import read_dhcp_options
from ..dhcp.ranges import DEFAULT_LEASE_TIME, Range
from ..dhcp.static_hosts import Host, read_hosts
from ..dnsmasq.records import Names, private_only, read_names, read_raw
from ..kernel.bandwidth import Bandwidth, read_bandwidth
from ..kernel.fdb import read_fdb_max_learned
from ..kernel.links import OPENVSWITCH
from ..kernel.routes import Route, read_route_options
from ..libvirt.bridged import MODE as BRIDGED
from ..libvirt.bridged import registration_options
from ..libvirt.managed import LIBVIRT, OURS, bridge_in, is_managed, managed_xml, name_in, uuid_in
from ..libvirt.options import Libvirt, read_libvirt
from ..nft.nat import Nat, read_nat
from ..nft.port_forwards import Forward, read_forwards
from ..nft.spec import LIMITED, NAME, NAME_WORDS, read_connection_rate
from ..openvswitch.port_vlans import PortVlan, of_portgroup, read_port_vlans
from .from_xml import options_from_xml
from .ipv6 import Ipv6, read_ipv6

STATES = ("active", "inactive", "absent")
MODES = ("nat", "routed", "isolated", "open", BRIDGED)

AUTO = "auto"
NONE = "none"


@dataclass(frozen=True)
class Bridge:
    """The bridge of a network; see the module ``bridge``. Of one that is not ours, name and type are all we know."""

    name: str
    mac: str
    mtu: int | None = None
    stp: bool = False
    forward_delay: int = 0
    ports: Sequence[str] = ()
    type: str = TYPES[0]
    rstp: bool = False
    fail_mode: str = FAIL_MODES[0]
    vlans: Sequence[PortVlan] = ()
    enslave_uplink: bool = False
    confirm_within: int = CONFIRM_WITHIN
    fdb_max_learned: int | None = None

    def of_openvswitch(self) -> dict[str, Any]:
        """Options that only a bridge of Open vSwitch has."""
        vlans = [one.as_options() for one in self.vlans]
        return {"rstp": self.rstp, "fail_mode": self.fail_mode, "vlans": vlans}


@dataclass(frozen=True)
class Ipv4:
    """The host's address on the bridge, None for none; ``auto``: it is for us to choose."""

    address: ipaddress.IPv4Interface | None
    auto: bool = False
    dhcp: bool = True
    lease_time: str = DEFAULT_LEASE_TIME
    ranges: Sequence[Range] = ()
    hosts: Sequence[Host] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    boot: Boot | None = None
    tftp_root: str = ""


@dataclass(frozen=True)
class Dns:
    """Names of the guests."""

    enabled: bool = True
    domain: str = ""
    local_only: bool = True
    host_resolver: bool = True
    names: Names = field(default_factory=Names)


@dataclass(frozen=True)
class Network:
    """One virtual network. ``path`` is where the user wrote it.

    One that is ``managed_by`` libvirt has its definition in ``xml``; of the rest we know name, UUID and bridge at most.
    """

    name: str
    uuid: str
    bridge: Bridge
    ipv4: Ipv4
    dns: Dns
    ipv6: Ipv6 = field(default_factory=Ipv6)
    state: str = "active"
    autostart: bool = True
    persistent: bool = True
    title: str = ""
    description: str = ""
    mode: str = "nat"
    uplink: str = ""
    nat: Nat = field(default_factory=Nat)
    forwards: Sequence[Forward] = ()
    isolate_guests: bool = False
    connection_rate: int = 0
    extra_addresses: Sequence[str] = ()
    routes: Sequence[Route] = ()
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    dnsmasq_instance: str = AUTO
    dnsmasq_options: Sequence[str] = ()
    libvirt: Libvirt = field(default_factory=Libvirt)
    managed_by: str = OURS
    xml: str = ""
    restart: bool = False
    path: str = field(default="", compare=False)

    @property
    def owner(self) -> str:
        """How errors name this network."""
        return f"network {self.name!r}"

    @property
    def has_own_bridge(self) -> bool:
        """Whether its bridge is ours to make, to serve and to remove."""
        return self.mode != BRIDGED and self.managed_by == OURS

    @property
    def subnet(self) -> ipaddress.IPv4Network | None:
        """The guests' IPv4 addresses."""
        return self.ipv4.address.network if self.ipv4.address else None

    @property
    def subnets(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """All of the guests' addresses, of both families."""
        own = (self.ipv4.address, self.ipv6.address)
        return [
            *(address.network for address in own if address is not None),
            *(ipaddress.ip_interface(cidr).network for cidr in self.extra_addresses),
        ]

    @property
    def reached(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """All addresses that may be behind its bridge: the guests', and what guests lead to."""
        return [*self.subnets, *(route.subnet for route in self.routes)]

    @property
    def has_ipv6(self) -> bool:
        """Whether any of its addresses is one of IPv6."""
        return any(subnet.version == 6 for subnet in self.subnets)

    @property
    def resolved_vlans(self) -> list[PortVlan]:
        """VLANs of ports, with those of the portgroups that they name."""
        groups = {str(group["name"]): of_portgroup(group) for group in self.libvirt.portgroups}
        return [PortVlan(one.port, groups[one.portgroup]) if one.portgroup else one for one in self.bridge.vlans]

    @property
    def resolved_forwards(self) -> list[Forward]:
        """The port forwards with the addresses of the guests that they name."""
        hosts = {host.name: str(host.ip) for host in self.ipv4.hosts if host.name and host.ip}
        return [forward.at(hosts) for forward in self.forwards]

    def at(self, option: str) -> str:
        """The path of an option of this network."""
        return f"{self.path}.{option}" if self.path else option

    def with_address(self, address: ipaddress.IPv4Interface) -> Network:
        """The network with the subnet that was chosen for it, and the default ranges of that."""
        ranges = dhcp.default_ranges(address, self.ipv4.lease_time) if self.ipv4.dhcp else []
        return replace(self, ipv4=replace(self.ipv4, address=address, ranges=tuple(ranges)))

    def as_options(self) -> dict[str, Any]:
        """The definition: the options with every default filled in, fit for JSON and to be read again."""
        if self.managed_by == LIBVIRT:
            named = ("name", "uuid", "state", "autostart", "persistent", "managed_by", "restart", "xml")
            return {name: getattr(self, name) for name in named}
        return {
            "name": self.name,
            "uuid": self.uuid,
            "title": self.title,
            "description": self.description,
            "state": self.state,
            "autostart": self.autostart,
            "persistent": self.persistent,
            "mode": self.mode,
            "uplink": self.uplink or None,
            "bridge": {
                "name": self.bridge.name,
                "type": self.bridge.type,
                "mac": self.bridge.mac or None,
                "mtu": self.bridge.mtu,
                "stp": self.bridge.stp,
                "forward_delay": self.bridge.forward_delay,
                "ports": list(self.bridge.ports),
                "fdb_max_learned": self.bridge.fdb_max_learned,
                **(self.bridge.of_openvswitch() if self.bridge.type == OPENVSWITCH else {}),
                **uplink_options(self.bridge.enslave_uplink, self.bridge.confirm_within),
            },
            "ipv4": {
                "address": str(self.ipv4.address) if self.ipv4.address else NONE,
                "auto": self.ipv4.auto,
                "dhcp": {
                    "enabled": self.ipv4.dhcp,
                    "lease_time": self.ipv4.lease_time,
                    "ranges": [one.as_options() for one in self.ipv4.ranges],
                    "hosts": [host.as_options() for host in self.ipv4.hosts],
                    "options": dict(self.ipv4.options),
                    "boot": self.ipv4.boot.as_options() if self.ipv4.boot else None,
                    "tftp_root": self.ipv4.tftp_root or None,
                },
            },
            "ipv6": self.ipv6.as_options(),
            "nat": self.nat.as_options(),
            "port_forwards": [forward.as_options() for forward in self.forwards],
            "isolate_guests": self.isolate_guests,
            "connection_rate": self.connection_rate if self.mode in LIMITED else None,
            "extra_addresses": list(self.extra_addresses),
            "routes": [route.as_options() for route in self.routes],
            "bandwidth": self.bandwidth.as_options(),
            "dns": {
                "enabled": self.dns.enabled,
                "domain": self.dns.domain or None,
                "local_only": self.dns.local_only,
                "host_resolver": self.dns.host_resolver,
                **self.dns.names.as_options(),
            },
            "dnsmasq": {"instance": self.dnsmasq_instance, "options": list(self.dnsmasq_options)},
            "libvirt": self.libvirt.as_options(),
        }


def read_network(options: Options, identity: str) -> Network:
    """One item of the user's list, or a stored definition.

    Raises InvalidOption: the path of the value, the value, and what to do. An absent network needs its name alone.
    """
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
    instance, raw = _read_instance(options.group("dnsmasq"))
    ipv4 = _read_ipv4(options.group("ipv4"), mode, ipv6)
    hosts = {host.name: str(host.ip) for host in ipv4.hosts if host.name and host.ip}
    libvirt = read_libvirt(options.group("libvirt"))
    extra = options.cidrs("extra_addresses")
    network = Network(
        name=name,
        uuid=_uuid(options, identity, name),
        title=options.text("title", ""),
        description=options.text("description", "", longest=4096),
        state=state,
        autostart=options.boolean("autostart", True),
        persistent=options.boolean("persistent", True),
        mode=mode,
        uplink=options.interface("uplink", ""),
        bridge=_read_bridge(options.group("bridge"), identity, name, mode, libvirt),
        nat=read_nat(options.group("nat"), mode),
        ipv4=ipv4,
        forwards=tuple(read_forwards(options, "port_forwards", hosts)),
        isolate_guests=options.boolean("isolate_guests", False),
        connection_rate=read_connection_rate(options, "connection_rate", mode),
        ipv6=ipv6,
        dns=_read_dns(options.group("dns")),
        extra_addresses=tuple(map(str, extra)),
        routes=_read_routes(options, ipv4, ipv6, extra),
        bandwidth=read_bandwidth(options.group("bandwidth")),
        dnsmasq_instance=instance,
        dnsmasq_options=raw,
        libvirt=libvirt,
        path=options.path,
    )
    if options.boolean("restart", False):
        options.error("restart", "is for networks with managed_by: libvirt; the others change while they run")
    options.reject_unknown()
    _check_sense(options, network)
    return network


def _read_managed(options: Options) -> Network:
    """A network that is libvirt's own."""
    state = options.choice("state", STATES, "active")
    gone = state == "absent" and not options.given("xml")
    xml = "" if gone else managed_xml(options)
    said = options if options.given("name") or gone else Options({"name": name_in(xml)}, options.at("xml"))
    name = said.matching("name", NAME, NAME_WORDS)
    return Network(
        name=name,
        uuid="" if gone else uuid_in(xml),
        state=state,
        autostart=options.boolean("autostart", True),
        persistent=options.boolean("persistent", True),
        bridge=Bridge("" if gone else bridge_in(xml), ""),
        mode=LIBVIRT,
        ipv4=Ipv4(None, dhcp=False),
        dns=Dns(enabled=False, host_resolver=False),
        managed_by=LIBVIRT,
        xml=xml,
        restart=options.boolean("restart", False),
        path=options.path,
    )


def _refuse_later(options: Options, names: Sequence[str]) -> None:
    for name in names:
        # false and empty ask for nothing, and nothing is what they get.
        if options.raw(name, None) not in (None, False, [], {}):
            options.error(name, "is not available in this version; leave it out")


def _uuid(options: Options, identity: str, name: str) -> str:
    text = options.text("uuid", "")
    try:
        return str(UUID(text)) if text else network_uuid(identity, name)
    except ValueError:
        options.error("uuid", f"{repr_short(text)} is not a uuid; write it as 7b0cbfb2-6a3e-4d4c-9d57-3c1f5c9a6e01")


def _read_bridge(options: Options, identity: str, network: str, mode: str, libvirt: Libvirt) -> Bridge:
    options.owner = f"network {network!r}"
    kind = options.choice("type", TYPES, TYPES[0])
    _refuse_later(options, ("zone",))
    stp, rstp = options.boolean("stp", False), options.boolean("rstp", False)
    if stp and rstp:
        options.error("rstp", "and stp exclude each other; choose one")
    refuse_for_linux(options, kind)
    bridge = Bridge(
        name=options.interface("name", bridge_name(network)),
        mac="" if mode == BRIDGED else options.mac("mac", bridge_mac(identity, network)),
        mtu=options.integer("mtu", None, least=68, most=65535),
        stp=stp,
        forward_delay=options.integer("forward_delay", 0, least=0, most=30),
        ports=tuple(options.interfaces("ports")),
        type=kind,
        rstp=rstp,
        fail_mode=options.choice("fail_mode", FAIL_MODES, FAIL_MODES[0]),
        vlans=read_port_vlans(options, "vlans", [str(one["name"]) for one in libvirt.portgroups if "vlan" in one]),
        enslave_uplink=options.boolean("enslave_uplink", False),
        confirm_within=options.integer("confirm_within", CONFIRM_WITHIN, least=5, most=3600),
        fdb_max_learned=read_fdb_max_learned(options, kind),
    )
    if bridge.enslave_uplink:
        refuse_for_openvswitch(options, kind)
    options.raw("mac", None)
    options.reject_unknown()
    return bridge


def _read_ipv4(options: Options, mode: str, ipv6: Ipv6) -> Ipv4:
    auto = options.boolean("auto", False)
    address = None
    if options.text("address", AUTO) in (AUTO, NONE):
        auto = options.text("address", AUTO) == AUTO
    else:
        address = options.ipv4_cidr("address")
        _check_host_address(options, address)
    group = options.group("dhcp")
    enabled = group.boolean("enabled", True)
    # A network that may be renumbered reaches guests that hear of it in no other way when their leases run out.
    lease = dhcp.lease_time(group, "lease_time", dhcp.MOVING_LEASE_TIME if auto else DEFAULT_LEASE_TIME)
    ipv4 = Ipv4(
        address=address,
        auto=auto,
        dhcp=enabled and (auto or address is not None),
        lease_time=lease,
        ranges=tuple(dhcp.read_ranges(group, "ranges", address, lease)),
        hosts=tuple(read_hosts(group, "hosts", address)),
        options=read_dhcp_options(group, "options"),
        boot=read_boot(group, "boot"),
        tftp_root=read_tftp_root(group, "tftp_root"),
    )
    group.reject_unknown()
    options.reject_unknown()
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


def _read_routes(options: Options, ipv4: Ipv4, ipv6: Ipv6, extra: Sequence[Any]) -> tuple[Route, ...]:
    for family, automatic in (("ipv4", ipv4.auto), ("ipv6", ipv6.auto)):
        if automatic and any((":" in str(one.raw("via", ""))) == (family == "ipv6") for one in options.each("routes")):
            options.error("routes", f"need {family}.address: the guest that leads there has a place in a known subnet")
    own = [address for address in (ipv4.address, ipv6.address) if address is not None]
    return read_route_options(options, "routes", [*own, *extra])


def _read_dns(options: Options) -> Dns:
    domain, local_only = str(options.domain("domain", "")), bool(options.boolean("local_only", True))
    dns = Dns(
        enabled=options.boolean("enabled", True),
        domain=domain,
        local_only=local_only,
        host_resolver=options.boolean("host_resolver", True),
        names=read_names(options, domain, local_only=local_only),
    )
    options.reject_unknown()
    return dns


def _read_instance(options: Options) -> tuple[str, tuple[str, ...]]:
    """Which dnsmasq, and raw lines for it."""
    instance = str(options.choice("instance", (AUTO, "system", "private"), AUTO))
    raw = tuple(read_raw(options, "options"))
    if raw and instance == "system":
        options.error("options", "are lines for a whole dnsmasq; use instance: private, or auto")
    options.reject_unknown()
    return instance, raw


def _check_sense(options: Options, network: Network) -> None:
    if network.dnsmasq_instance == "system":
        _refuse_private_only(options, network)
    virtualport = network.libvirt.virtualport.get("type", OPENVSWITCH)
    if network.bridge.type == OPENVSWITCH and virtualport != OPENVSWITCH:
        options.error("libvirt.virtualport.type", f"{virtualport!r} is not for a bridge of Open vSwitch; leave it out")
    if network.uplink and network.mode in ("isolated", "open"):
        options.error("uplink", f"has no meaning in mode {network.mode}; leave it out, or use nat or routed")
    if network.uplink == network.bridge.name:
        options.error("uplink", f"{network.uplink!r} is the network's own bridge; name the host's way out")
    addressed = network.ipv4.address or network.ipv4.auto or network.ipv6.address or network.ipv6.auto
    if network.bridge.enslave_uplink and (network.mode != "open" or addressed or not network.bridge.ports):
        options.error(
            "bridge.enslave_uplink",
            "is for mode open, without addresses of its own; write mode: open, ipv4.address: none, and bridge.ports",
        )
    if network.bridge.enslave_uplink and network.forwards:
        options.error("port_forwards", "have no meaning with bridge.enslave_uplink, guests are outside; leave them out")
    for i, port in enumerate(network.bridge.ports):
        if port == network.bridge.name:
            options.error(f"bridge.ports[{i}]", f"{port!r} is the bridge itself; name interfaces to enslave")


def _refuse_private_only(options: Options, network: Network) -> None:
    """Raise InvalidOption for what the system's dnsmasq cannot do for one network alone."""
    for option, problem in private_only(network.dns.names, network.dns.domain):
        options.error(f"dns.{option}", f"{problem}; use dnsmasq.instance: private, or auto")
    if network.mode == "isolated" and network.dns.enabled:
        options.error(
            "dnsmasq.instance",
            "'system' would answer guests of an isolated network names of others; use private, or auto, "
            "or dns.enabled: false",
        )
