# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""VLANs of the ports of an Open vSwitch bridge: as the user writes them, or from a portgroup of libvirt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ..core import kinds
from ..core.fields import Kind, option, read, required, write
from ..core.options import Options, repr_short

# ovs-vswitchd.conf.db(5), table Port, column vlan_mode.
_ACCESS, _TRUNK, _NATIVE = "access", "trunk", ("native-tagged", "native-untagged")
_MOST_TAG = 4094


_TRUNKS: Kind[tuple[int, ...]] = Kind(
    lambda options, name: tuple(sorted(set(options.integers(name, least=0, most=_MOST_TAG)))),
    "list",
    elements="int",
    write=list,
)


@dataclass(frozen=True)
class Vlan:
    """VLANs of one port: columns tag, trunks and vlan_mode of table Port."""

    tag: int | None = option(kinds.integer(0, _MOST_TAG), None, is_written=lambda vlan: vlan.tag is not None)
    trunks: tuple[int, ...] = option(_TRUNKS, (), is_written=attrgetter("trunks"))
    mode: str = option(kinds.choice(_ACCESS, _TRUNK, *_NATIVE), "", is_written=attrgetter("mode"))


@dataclass(frozen=True)
class PortVlan:
    """VLANs of one port, or the name of the portgroup that has them."""

    port: str
    vlan: Vlan = Vlan()  # noqa: RUF009
    portgroup: str = ""

    def as_options(self) -> dict[str, Any]:
        """As options of the user."""
        if self.portgroup:
            return {"port": self.port, "portgroup": self.portgroup}
        return {"port": self.port, **write(self.vlan)}


@dataclass(frozen=True)
class _Port:
    port: str = required(kinds.interface)


@dataclass(frozen=True)
class PortVlanOptions(Vlan, _Port):
    """An item of the option ``vlans`` of a bridge."""


@dataclass(frozen=True)
class NetworkPortVlanOptions(PortVlanOptions):
    """An item of the option ``bridge.vlans`` of a network, which may name one of its portgroups."""

    portgroup: str = option(kinds.text(), "")


def read_port_vlans(options: Options, name: str, portgroups: Sequence[str] | None = None) -> tuple[PortVlan, ...]:
    """Read a list of VLANs of ports; with ``portgroups`` an item may name one of these.

    Raises InvalidOption; a port may stand in the list only once.
    """
    vlans: dict[str, PortVlan] = {}
    for item in options.each(name):
        port = item.interface("port")
        if port in vlans:
            item.error("port", f"{repr_short(port)} is listed twice; list each port once")
        group = "" if portgroups is None else item.text("portgroup", "")
        vlan = _vlan(item)
        if group and vlan != Vlan():
            item.error("portgroup", "already has tags; leave out tag, trunks and mode")
        if group and group not in (portgroups or ()):
            known = ", ".join(portgroups or ()) or "none"
            item.error(
                "portgroup", f"libvirt.portgroups has no {repr_short(group)} with a vlan; those with one: {known}"
            )
        if not group and vlan == Vlan():
            item.error("tag", "is required, or trunks" + ("" if portgroups is None else ", or portgroup"))
        item.reject_unknown()
        vlans[port] = PortVlan(port, vlan, group)
    return tuple(vlans[port] for port in sorted(vlans))


def _vlan(item: Options) -> Vlan:
    vlan = read(Vlan, item)
    if vlan.mode in (*_NATIVE, _ACCESS) and vlan.tag is None:
        item.error("tag", f"is required with mode {vlan.mode}")
    if vlan.trunks and (vlan.mode == _ACCESS or (vlan.tag is not None and not vlan.mode)):
        item.error("trunks", f"cannot be combined with tag on an access port; use mode {_NATIVE[0]} or {_NATIVE[1]}")
    if vlan.mode == _TRUNK and vlan.tag is not None:
        item.error("tag", f"has no meaning on a trunk; use mode {_NATIVE[0]} or {_NATIVE[1]}")
    return vlan


def of_portgroup(group: Mapping[str, Any]) -> Vlan:
    """The VLANs of one item of ``libvirt.portgroups``, as libvirt interprets them.

    virNetDevOpenvswitchConstructVlans() in src/util/virnetdevopenvswitch.c.
    """
    vlan = group.get("vlan", {})
    tags = vlan.get("tags", ())
    native = next((tag for tag in tags if tag.get("native_mode")), None)
    mode = f"native-{native['native_mode']}" if native else ""
    trunks = tuple(sorted(tag["id"] for tag in tags)) if vlan.get("trunk") else ()
    if native:
        return Vlan(native["id"], trunks, mode)
    return Vlan(None if trunks or not tags else tags[0]["id"], trunks, mode)
