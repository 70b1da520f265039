# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""VLANs of the ports of a bridge of Open vSwitch: as the user writes them, or as a portgroup of libvirt's has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.options import Options, repr_short
from .bridges import Vlan

# ovs-vswitchd.conf.db(5), table Port, column vlan_mode.
_ACCESS, _TRUNK, _NATIVE = "access", "trunk", ("native-tagged", "native-untagged")
_MODES = (_ACCESS, _TRUNK, *_NATIVE)
_MOST_TAG = 4094


@dataclass(frozen=True)
class PortVlan:
    """VLANs of one port: given themselves, or the name of the portgroup that has them."""

    port: str
    vlan: Vlan = Vlan()  # noqa: RUF009
    portgroup: str = ""

    def as_options(self) -> dict[str, Any]:
        """The way back to the user's options."""
        if self.portgroup:
            return {"port": self.port, "portgroup": self.portgroup}
        given = {"tag": self.vlan.tag, "trunks": list(self.vlan.trunks), "mode": self.vlan.mode}
        return {"port": self.port, **{name: value for name, value in given.items() if value not in (None, [], "")}}


def read_port_vlans(options: Options, name: str, portgroups: Sequence[str] | None = None) -> tuple[PortVlan, ...]:
    """A list of them, each port once; with ``portgroups`` an item may name one of these.

    Raises InvalidOption.
    """
    found: dict[str, PortVlan] = {}
    for item in options.each(name):
        port = item.interface("port")
        if port in found:
            item.error("port", f"{repr_short(port)} is there already; each port once")
        group = "" if portgroups is None else item.text("portgroup", "")
        vlan = _vlan(item)
        if group and vlan != Vlan():
            item.error("portgroup", "has tags of its own; leave out tag, trunks and mode")
        if group and group not in (portgroups or ()):
            known = ", ".join(portgroups or ()) or "none"
            item.error(
                "portgroup", f"libvirt.portgroups has no {repr_short(group)} with a vlan; those with one: {known}"
            )
        if not group and vlan == Vlan():
            item.error("tag", "is required, or trunks" + ("" if portgroups is None else ", or portgroup"))
        item.reject_unknown()
        found[port] = PortVlan(port, vlan, group)
    return tuple(found[port] for port in sorted(found))


def _vlan(item: Options) -> Vlan:
    tag = item.integer("tag", None, least=0, most=_MOST_TAG)
    trunks = set(item.integers("trunks", least=0, most=_MOST_TAG))
    mode = item.choice("mode", _MODES, "")
    if mode in (*_NATIVE, _ACCESS) and tag is None:
        item.error("tag", f"is required with mode {mode}")
    if trunks and (mode == _ACCESS or (tag is not None and not mode)):
        item.error("trunks", f"cannot stand beside tag on an access port; use mode {_NATIVE[0]} or {_NATIVE[1]}")
    if mode == _TRUNK and tag is not None:
        item.error("tag", f"has no meaning on a trunk; use mode {_NATIVE[0]} or {_NATIVE[1]}")
    return Vlan(tag, tuple(sorted(trunks)), mode)


def of_portgroup(group: Mapping[str, Any]) -> Vlan:
    """The VLANs of one item of ``libvirt.portgroups``, in libvirt's own reading.

    virNetDevOpenvswitchConstructVlans() in src/util/virnetdevopenvswitch.c.
    """
    vlan = group.get("vlan", {})
    tags = vlan.get("tags", ())
    native = next((one for one in tags if one.get("native_mode")), None)
    mode = f"native-{native['native_mode']}" if native else ""
    trunks = tuple(sorted(one["id"] for one in tags)) if vlan.get("trunk") else ()
    if native:
        return Vlan(native["id"], trunks, mode)
    return Vlan(None if trunks or not tags else tags[0]["id"], trunks, mode)
