# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a network as plain data, each in one spelling, so that they can be compared.

Flat: ``{"bridge.stp": False}``. What the options are is said by the design's table; one that is unknown here passes
through as it is, and it is for the model of a network to refuse it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from ..core.options import Options
from ..dhcp import ranges as dhcp

Flat = dict[str, Any]

# Said beside the XML, as libvirt does: virsh net-autostart and net-start are no part of it either.
BESIDE = ("name", "state", "autostart", "persistent")

_GROUPS = {
    "": ("bridge", "ipv4", "ipv6", "nat", "dns", "dnsmasq", "bandwidth", "libvirt"),
    "ipv4": ("dhcp",),
    "ipv6": ("dhcp",),
}

# What an option is when it is not given; None for what has no value then, or one that depends on the host.
DEFAULTS: Mapping[str, Any] = {
    "mode": "nat",
    "bridge.type": "linux",
    "bridge.stp": False,
    "bridge.forward_delay": 0,
    "ipv4.address": "auto",
    "ipv4.auto": False,
    "ipv4.dhcp.enabled": True,
    "ipv6.address": "none",
    "ipv6.auto": False,
    "ipv6.ra": True,
    "ipv6.ra_names": True,
    "ipv6.dhcp.enabled": False,
    "ipv6.dhcp.stateless": False,
    "nat.ipv6": True,
    "nat.ports": {"start": 1024, "end": 65535},
    "dns.enabled": True,
    "dns.local_only": True,
    "dns.host_resolver": True,
    "dnsmasq.instance": "auto",
    "isolate_guests": False,
    "connection_rate": 2000,
    "libvirt.register": "auto",
    "libvirt.trust_guest_rx_filters": False,
}

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LEASE_TIME = re.compile(r"(\d{1,12})([smhdw]?)")


def lease_seconds(text: str) -> int | None:
    """A lease time of ours in seconds, 0 for infinite; None for what is none."""
    if text == "infinite":
        return 0
    match = _LEASE_TIME.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def lease_text(seconds: int) -> str:
    """The shortest spelling of a lease time."""
    if seconds == 0:
        return "infinite"
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


def _lease(value: Any) -> Any:
    seconds = lease_seconds(str(value))
    return value if seconds is None else lease_text(seconds)


def _plain(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Another spelling of the same, or what was there: to refuse it is for the model, which knows the path."""

    def spell(value: Any) -> Any:
        try:
            return convert(value)
        except (ValueError, TypeError):
            return value

    return spell


# A number is a port: that there are addresses of its value means nothing.
_address = _plain(lambda value: str(ipaddress.ip_address(value)) if isinstance(value, str) else value)
_cidr = _plain(lambda value: str(ipaddress.ip_interface(value)))
_subnet = _plain(lambda value: str(ipaddress.ip_network(value)) if "/" in value else value)
_number = _plain(lambda value: value if isinstance(value, bool) else int(value))
_address_or_port = _plain(lambda value: int(value) if str(value).isdecimal() else _address(value))
_uuid = _plain(lambda value: str(UUID(value)))


def _domain(value: Any) -> Any:
    return value.rstrip(".").lower() if isinstance(value, str) else value


def _mac(value: Any) -> Any:
    return value.lower().replace("-", ":") if isinstance(value, str) else value


_WITHIN: Mapping[str, Callable[[Any], Any]] = {
    "lease_time": _lease,
    "mac": _mac,
    "ip": _address,
    "start": _address_or_port,
    "end": _address_or_port,
    "to": _subnet,
    "via": _address,
    "metric": _number,
    "address": _address,
    # A text, or several of one name.
    "value": lambda value: value[0] if isinstance(value, list) and len(value) == 1 else value,
    **dict.fromkeys(("port", "priority", "weight", "average", "peak", "burst", "floor"), _number),
}
_LEAVES: Mapping[str, Callable[[Any], Any]] = {
    "uuid": _uuid,
    "bridge.mac": _mac,
    "bridge.mtu": _number,
    "bridge.forward_delay": _number,
    "ipv4.address": _cidr,
    "ipv6.address": _cidr,
    "ipv4.dhcp.lease_time": _lease,
    "ipv6.dhcp.lease_time": _lease,
    "dns.domain": _domain,
    "connection_rate": _number,
    "bridge.fdb_max_learned": _number,
}
_PORTS = {"start": _number, "end": _number}


def flat(options: Mapping[str, Any]) -> Flat:
    """Options in one spelling, without those that are null, empty, or said beside."""
    found = leaves(options)
    spelled = {path: _spell(path, value) for path, value in found.items() if path not in BESIDE[1:]}
    return {path: value for path, value in spelled.items() if value not in (None, "", [], {})}


def leaves(options: Mapping[str, Any], group: str = "") -> Flat:
    """Options by their paths, as they are."""
    found: Flat = {}
    for key, value in options.items():
        path = f"{group}.{key}" if group else str(key)
        if key in _GROUPS.get(group, ()) and isinstance(value, Mapping):
            found.update(leaves(value, path))
        else:
            found[path] = value
    return found


def _spell(path: str, value: Any) -> Any:
    default = DEFAULTS.get(path)
    if isinstance(default, bool) and value is not None:
        return Options({path: value}).boolean(path)
    if path == "extra_addresses" and isinstance(value, Sequence) and not isinstance(value, str):
        return [_cidr(item) for item in value]
    if path.endswith(".dhcp.options") and isinstance(value, Mapping):
        return {str(key): _joined(item) for key, item in value.items()}
    if path in _LEAVES:
        return _LEAVES[path](value)
    if path == "libvirt.metadata":
        return [value] if isinstance(value, str) else value
    return _inside(value, _PORTS if path == "nat.ports" else {})


def _joined(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _inside(value: Any, first: Mapping[str, Callable[[Any], Any]]) -> Any:
    """Mappings and lists, with the spelling of what they contain, and without what is null."""
    if isinstance(value, Mapping):
        spelled = {
            str(key): {**_WITHIN, **first}.get(str(key), lambda item: _inside(item, first))(item)
            for key, item in value.items()
        }
        return {key: item for key, item in spelled.items() if item not in (None, "", [], {})}
    if isinstance(value, (list, tuple)):
        return [_inside(item, first) for item in value]
    return value


def usual_lease(found: Flat, family: str) -> str:
    """The lease time of ranges that name none."""
    return str(found.get(f"{family}.dhcp.lease_time", _default_lease(found, family)))


def _default_lease(found: Flat, family: str) -> str:
    address = found.get(f"{family}.address", DEFAULTS[f"{family}.address"])
    return dhcp.MOVING_LEASE_TIME if address == "auto" else dhcp.DEFAULT_LEASE_TIME


def brief(found: Flat) -> Flat:
    """Without what is so by default."""
    left = {path: value for path, value in found.items() if path not in DEFAULTS or DEFAULTS[path] != value}
    for family in ("ipv4", "ipv6"):
        usual, ranges = usual_lease(found, family), left.get(f"{family}.dhcp.ranges")
        if usual == _default_lease(found, family):
            left.pop(f"{family}.dhcp.lease_time", None)
        if isinstance(ranges, list):
            left[f"{family}.dhcp.ranges"] = [_without_lease(one, usual) for one in ranges]
    if left.get("ipv4.dhcp.ranges") == (default_ranges(found.get("ipv4.address")) or None):
        left.pop("ipv4.dhcp.ranges", None)
    return left


def _without_lease(one: Any, usual: str) -> Any:
    same = isinstance(one, Mapping) and one.get("lease_time") == usual
    return {key: value for key, value in one.items() if key != "lease_time"} if same else one


def default_ranges(address: Any) -> list[dict[str, Any]]:
    """What DHCP hands out on a subnet when no ranges are given, as options."""
    try:
        found = dhcp.default_ranges(ipaddress.IPv4Interface(str(address)))
    except ValueError:
        return []
    return [{"start": str(one.start), "end": str(one.end)} for one in found]


def nested(found: Flat) -> dict[str, Any]:
    """The way back from flat options."""
    options: dict[str, Any] = {}
    for path, value in found.items():
        into, group, rest = options, "", path
        while "." in rest and rest.split(".", 1)[0] in _GROUPS.get(group, ()):
            word, rest = rest.split(".", 1)
            into = into.setdefault(word, {})
            group = f"{group}.{word}" if group else word
        into[rest] = value
    return options
