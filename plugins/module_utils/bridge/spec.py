# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired state of a bridge: its options, validated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from ..core import duplicates, kinds
from ..core.errors import InvalidOption
from ..core.fields import Kind, OptionTable, option, read, required, table
from ..core.options import Options
from ..kernel.bandwidth import Bandwidth, read_bandwidth
from ..kernel.fdb import DEFAULT as FDB_DEFAULT
from ..kernel.fdb import LEAST_OPENVSWITCH
from ..kernel.fdb import MOST as FDB_MOST
from ..kernel.links import OPENVSWITCH
from ..kernel.routes import Route, read_route_options
from ..openvswitch.port_vlans import PortVlan, PortVlanOptions, read_port_vlans
from .port_security import PortSecurity, read_port_security

TYPES = ("linux", OPENVSWITCH)
FAIL_MODES = ("standalone", "secure")

# net/bridge/br_private.h: BR_MIN_FORWARD_DELAY, BR_MAX_FORWARD_DELAY. With STP the kernel raises less to the least.
# Open vSwitch has no less than 4 either way (ovs-vswitchd.conf.db(5): stp-forward-delay, rstp-forward-delay).
_LEAST_DELAY = {"linux": 2, OPENVSWITCH: 4}
_MOST_DELAY = 30

_ENSLAVES_UPLINK = attrgetter("enslave_uplink")
_HAIRPIN = attrgetter("hairpin")
_CHECKS_FRAMES = attrgetter("port_security.enabled")


def on_openvswitch(bridge: Any) -> bool:
    return bool(bridge.type == OPENVSWITCH)


def _sets_snooping(bridge: Any) -> bool:
    return bridge.multicast_snooping is not None


VLANS: Kind[Sequence[PortVlan]] = Kind(
    read_port_vlans,
    "list",
    elements="dict",
    write=lambda vlans: [vlan.as_options() for vlan in vlans],
    table=PortVlanOptions,
)


@dataclass(frozen=True)
class BridgeOptions(OptionTable):
    """The options that a bridge has in the module ``bridge`` and in a network. ``forward_delay`` in seconds.

    None: the kernel decides on ``mtu`` and ``multicast_snooping``, and the type and ports on ``fdb_max_learned``, see
    ``fdb_limit``. An empty ``mac`` is derived from the name. ``confirm_within``: seconds within which a run has to
    connect again after the uplink moved.
    """

    name: str = required(kinds.interface)
    type: str = option(kinds.choice(*TYPES), TYPES[0])
    mac: str = option(kinds.mac, "")
    mtu: int | None = option(kinds.integer(68, 65535), None)
    stp: bool = option(kinds.boolean, False)
    forward_delay: int = option(kinds.integer(0, _MOST_DELAY), 0)
    ports: Sequence[str] = option(kinds.interfaces, ())
    fdb_max_learned: int | None = option(kinds.integer(0, FDB_MOST), None)
    multicast_snooping: bool | None = option(kinds.boolean, None, is_written=_sets_snooping)
    hairpin: bool = option(kinds.boolean, False, is_written=_HAIRPIN)
    rstp: bool = option(kinds.boolean, False, is_written=on_openvswitch)
    fail_mode: str = option(kinds.choice(*FAIL_MODES), FAIL_MODES[0], is_written=on_openvswitch)
    vlans: Sequence[PortVlan] = option(VLANS, (), is_written=on_openvswitch)
    enslave_uplink: bool = option(kinds.boolean, False, is_written=_ENSLAVES_UPLINK)
    confirm_within: int = option(kinds.integer(5, 3600), 60, is_written=_ENSLAVES_UPLINK)

    @property
    def fdb_limit(self) -> int:
        """How many MAC addresses it learns, 0 for any number: behind the host's interfaces may be a whole LAN.

        Open vSwitch has a limit of its own in any case.
        """
        if self.fdb_max_learned is not None:
            return self.fdb_max_learned
        return 0 if self.ports or self.type == OPENVSWITCH else FDB_DEFAULT


def check_bridge(options: Options, bridge: BridgeOptions) -> None:
    """Refuse options that exclude each other, or that the type of the bridge does not have; raises InvalidOption."""
    if bridge.stp and bridge.rstp:
        options.error("rstp", "cannot be combined with bridge.stp; leave one of them out")
    if bridge.type != OPENVSWITCH:
        for entry in table(BridgeOptions):
            if entry.is_written is on_openvswitch and getattr(bridge, entry.field) != entry.default:
                options.error(entry.name, "is for bridges of type openvswitch; leave it out, or use that type")
        return
    if 0 < (bridge.fdb_max_learned or 0) < LEAST_OPENVSWITCH:
        options.error(
            "fdb_max_learned",
            f"{bridge.fdb_max_learned} is too small for Open vSwitch; use 0, or {LEAST_OPENVSWITCH} or more",
        )
    of_linux = (_ENSLAVES_UPLINK, "enslave_uplink"), (_sets_snooping, "multicast_snooping"), (_HAIRPIN, "hairpin")
    for is_given, name in of_linux:
        if is_given(bridge):
            options.error(name, "is for Linux bridges; leave it out, or use bridge.type: linux")


def refuse_hairpin_of_isolated(options: Options, name: str, hairpin: bool, isolate_guests: bool) -> None:
    """Refuse what the kernel cannot do: an isolated port gets no frame of an isolated one, itself included.

    Raises InvalidOption. Source: br_skb_isolated() in net/bridge/br_private.h.
    """
    if hairpin and isolate_guests:
        options.error(
            name,
            "is not possible with isolate_guests, whose ports get no frame of an isolated port, not even their own; "
            "leave one of them out",
        )


def refuse_port_security(options: Options, bridge: BridgeOptions, security: PortSecurity) -> None:
    """Refuse port security where frames are not seen, or where the gateway is not the bridge; raises InvalidOption."""
    if security.enabled and bridge.type == OPENVSWITCH:
        options.error(
            "port_security",
            "is for Linux bridges, since nftables does not see the frames of Open vSwitch; leave it out, or use "
            "bridge.type: linux",
        )
    if security.enabled and bridge.enslave_uplink:
        options.error(
            "port_security",
            "is not possible with bridge.enslave_uplink, whose gateway is a router outside; leave one of them out",
        )


@dataclass(frozen=True)
class BridgeSpec(BridgeOptions):
    """The desired state of a bridge.

    ``forwarding``: the host forwards IPv4 packets that arrive there, whatever new interfaces get by default.
    """

    addresses: Sequence[str] = option(kinds.cidrs, ())
    routes: Sequence[Route] = option(kinds.groups_by_caller(Route), ())
    isolate_guests: bool = option(kinds.boolean, False)
    port_security: PortSecurity = option(
        kinds.group(PortSecurity, read_port_security), PortSecurity(), is_written=_CHECKS_FRAMES
    )
    forwarding: bool = option(kinds.boolean, False, is_written=attrgetter("forwarding"))
    bandwidth: Bandwidth = option(kinds.group(Bandwidth, read_bandwidth), Bandwidth())
    state: str = option(kinds.choice("present", "absent"), "present")
    path: str = field(default="", compare=False)

    @staticmethod
    def from_options(options: Options) -> BridgeSpec:
        """Validate the options of one bridge; raises InvalidOption."""
        name = options.interface("name")
        options.owner = f"bridge {name!r}"
        routes = read_route_options(options, "routes", options.cidrs("addresses"))
        spec = read(BridgeSpec, options, routes=routes, path=options.path)
        if spec.mtu is not None and spec.mtu < 1280 and any(":" in address for address in spec.addresses):
            options.error("mtu", f"{spec.mtu} is too small for IPv6, which needs 1280 (RFC 8200 section 5)")
        check_bridge(options, spec)
        refuse_hairpin_of_isolated(options, "hairpin", spec.hairpin, spec.isolate_guests)
        refuse_port_security(options, spec, spec.port_security)
        options.reject_unknown()
        least = _LEAST_DELAY[spec.type] if spec.stp or spec.rstp else 0
        return replace(spec, forward_delay=max(spec.forward_delay, least))

    def as_options(self) -> dict[str, Any]:
        """The options of the module ``bridge``."""
        if self.state == "absent":
            return {"name": self.name, "state": "absent", "type": self.type, "mac": self.mac}
        return super().as_options()

    def error(self, option: str, problem: str) -> InvalidOption:
        """The error that refuses an option of this bridge."""
        return InvalidOption(f"{self.path}.{option}" if self.path else option, problem, f"bridge {self.name!r}")


def refuse_duplicates(wanted: Sequence[BridgeSpec]) -> None:
    """Each bridge is named once, each interface is a port of one bridge; raises InvalidOption."""
    duplicates.refuse_duplicates(wanted, lambda spec: spec.name, option="name", noun="bridge")
    gateways: dict[str, BridgeSpec] = {}
    for spec in wanted:
        if spec.port_security.enabled and spec.mac:
            other = gateways.setdefault(spec.mac, spec)
            if other is not spec:
                raise spec.error("mac", f"{spec.mac} is that of {other.name} too; with port_security each has its own")
    port_of: dict[str, BridgeSpec] = {}
    for spec in wanted:
        for i, port in enumerate(spec.ports):
            if port in port_of or port == spec.name:
                taken = f"already a port of {port_of[port].name}" if port in port_of else "the bridge itself"
                raise spec.error(f"ports[{i}]", f"{port!r} is {taken}; an interface is a port of one bridge")
            port_of[port] = spec
