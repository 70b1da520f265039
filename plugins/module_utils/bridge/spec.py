# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge as it shall be: the options of one, validated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import InvalidOption
from ..core.options import Options
from ..kernel.bandwidth import Bandwidth, read_bandwidth
from ..kernel.fdb import DEFAULT as FDB_DEFAULT
from ..kernel.fdb import read_fdb_max_learned
from ..kernel.links import OPENVSWITCH
from ..kernel.routes import Route, read_route_options
from ..openvswitch.port_vlans import PortVlan, read_port_vlans
from .uplink import CONFIRM_WITHIN, refuse_for_openvswitch, uplink_options

TYPES = ("linux", OPENVSWITCH)
FAIL_MODES = ("standalone", "secure")

# net/bridge/br_private.h: BR_MIN_FORWARD_DELAY, BR_MAX_FORWARD_DELAY. With STP the kernel raises less to the least.
# Open vSwitch has no less than 4 either way (ovs-vswitchd.conf.db(5): stp-forward-delay, rstp-forward-delay).
_LEAST_DELAY = {"linux": 2, OPENVSWITCH: 4}
_MOST_DELAY = 30


@dataclass(frozen=True)
class BridgeSpec:
    """A bridge as it shall be. ``forward_delay`` in seconds; ``mtu`` and ``mac`` None: left to the kernel, derived.

    ``fdb_max_learned``: None where the user leaves it to us, see ``fdb_limit``.
    """

    name: str
    state: str = "present"
    type: str = "linux"
    mac: str = ""
    mtu: int | None = None
    stp: bool = False
    forward_delay: int = 0
    ports: Sequence[str] = ()
    addresses: Sequence[str] = ()
    routes: Sequence[Route] = ()
    isolate_guests: bool = False
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    rstp: bool = False
    fail_mode: str = "standalone"
    vlans: Sequence[PortVlan] = ()
    enslave_uplink: bool = False
    confirm_within: int = CONFIRM_WITHIN
    fdb_max_learned: int | None = None
    path: str = field(default="", compare=False)

    @staticmethod
    def from_options(options: Options) -> BridgeSpec:
        """Validate the options of one bridge; raises InvalidOption."""
        name = options.interface("name")
        options.owner = f"bridge {name!r}"
        kind = options.choice("type", TYPES, TYPES[0])
        stp, rstp = options.boolean("stp", False), options.boolean("rstp", False)
        least = _LEAST_DELAY[kind] if stp or rstp else 0
        delay = options.integer("forward_delay", 0, least=0, most=_MOST_DELAY)
        mtu = options.integer("mtu", None, least=68, most=65535)
        interfaces = options.cidrs("addresses")
        addresses = tuple(map(str, interfaces))
        if mtu is not None and mtu < 1280 and any(":" in address for address in addresses):
            options.error("mtu", f"{mtu} is too small for IPv6, which needs 1280 (RFC 8200 section 5)")
        spec = BridgeSpec(
            name=name,
            state=options.choice("state", ("present", "absent"), "present"),
            type=kind,
            mac=options.mac("mac", ""),
            mtu=mtu,
            stp=stp,
            forward_delay=max(delay, least),
            ports=tuple(options.interfaces("ports")),
            addresses=addresses,
            routes=read_route_options(options, "routes", interfaces),
            isolate_guests=options.boolean("isolate_guests", False),
            bandwidth=read_bandwidth(options.group("bandwidth")),
            rstp=rstp,
            fail_mode=options.choice("fail_mode", FAIL_MODES, FAIL_MODES[0]),
            vlans=read_port_vlans(options, "vlans"),
            enslave_uplink=options.boolean("enslave_uplink", False),
            confirm_within=options.integer("confirm_within", CONFIRM_WITHIN, least=5, most=3600),
            fdb_max_learned=read_fdb_max_learned(options, kind),
            path=options.path,
        )
        if spec.enslave_uplink:
            refuse_for_openvswitch(options, kind)
        refuse_for_linux(options, kind)
        if stp and rstp:
            options.error("rstp", "and stp exclude each other; choose one")
        options.reject_unknown()
        return spec

    @property
    def fdb_limit(self) -> int:
        """How many MAC addresses it learns, 0 for any number: behind the host's interfaces may be a whole LAN.

        Open vSwitch has a limit of its own in any case.
        """
        if self.fdb_max_learned is not None:
            return self.fdb_max_learned
        return 0 if self.ports or self.type == OPENVSWITCH else FDB_DEFAULT

    def as_options(self) -> dict[str, Any]:
        """The way back to the module's options."""
        if self.state == "absent":
            return {"name": self.name, "state": "absent", "type": self.type, "mac": self.mac}
        only_openvswitch = {
            "rstp": self.rstp,
            "fail_mode": self.fail_mode,
            "vlans": [one.as_options() for one in self.vlans],
        }
        return {
            "name": self.name,
            "state": self.state,
            "type": self.type,
            "mac": self.mac,
            "mtu": self.mtu,
            "stp": self.stp,
            "forward_delay": self.forward_delay,
            "ports": list(self.ports),
            "addresses": list(self.addresses),
            "routes": [route.as_options() for route in self.routes],
            "isolate_guests": self.isolate_guests,
            "bandwidth": self.bandwidth.as_options(),
            "fdb_max_learned": self.fdb_max_learned,
            **(only_openvswitch if self.type == OPENVSWITCH else {}),
            **uplink_options(self.enslave_uplink, self.confirm_within),
        }


# Options that only Open vSwitch carries out, and what they are where nothing is asked for.
_ONLY_OPENVSWITCH = {"rstp": False, "fail_mode": FAIL_MODES[0], "vlans": []}


def refuse_for_linux(options: Options, kind: str) -> None:
    """Options that only a bridge of Open vSwitch has; raises InvalidOption."""
    for name, nothing in _ONLY_OPENVSWITCH.items():
        if kind != OPENVSWITCH and options.raw(name, None) not in (None, nothing):
            options.error(name, "is for bridges of type openvswitch; leave it out, or use that type")


def refuse_duplicates(wanted: Sequence[BridgeSpec]) -> None:
    """Each bridge once, each interface a port of one; raises InvalidOption."""
    seen: dict[str, BridgeSpec] = {}
    for spec in wanted:
        if spec.name in seen:
            raise InvalidOption(
                f"{spec.path}.name" if spec.path else "name",
                f"{spec.name!r} is named twice, also by {seen[spec.name].path}; name each bridge once",
            )
        seen[spec.name] = spec
    port_of: dict[str, BridgeSpec] = {}
    for spec in wanted:
        for i, port in enumerate(spec.ports):
            if port in port_of or port == spec.name:
                taken = f"already a port of {port_of[port].name}" if port in port_of else "the bridge itself"
                raise InvalidOption(
                    f"{spec.path}.ports[{i}]" if spec.path else f"ports[{i}]",
                    f"{port!r} is {taken}; an interface is a port of one bridge",
                    f"bridge {spec.name!r}",
                )
            port_of[port] = spec
