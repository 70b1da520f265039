# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a network as flat data in one spelling, so that they can be compared.

Flat: ``{"bridge.stp": False}``. An option that is unknown here passes through unchanged; network/model.py refuses it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from ..core.errors import InvalidOption
from ..core.options import Options, plain_mac
from ..dhcp import ranges as dhcp
from .spelling import spelled_out
from .values import without_empty

FlatOptions = dict[str, Any]

# Options that are given with the XML and not in it, as in libvirt, where net-autostart and net-start are commands.
NOT_IN_XML = ("name", "state", "autostart", "persistent")

# Options whose empty list has a meaning: nobody but static hosts gets an address.
DHCP_RANGES = ("ipv4.dhcp.ranges", "ipv6.dhcp.ranges")

_GROUPS = {
    "": ("bridge", "ipv4", "ipv6", "nat", "dns", "dnsmasq", "bandwidth", "port_security", "libvirt"),
    "ipv4": ("dhcp",),
    "ipv6": ("dhcp",),
}

# Options with a fixed default. All others have no value by default, or one that depends on the host.
DEFAULTS: Mapping[str, Any] = {
    "mode": "nat",
    "bridge.type": "linux",
    "bridge.stp": False,
    "bridge.forward_delay": 0,
    "ipv4.address": "auto",
    "ipv4.auto": False,
    "ipv4.dhcp.enabled": True,
    "ipv4.dhcp.ignore_client_ids": False,
    "ipv6.address": "none",
    "ipv6.auto": False,
    "ipv6.ra": True,
    "ipv6.ra_names": True,
    "ipv6.slaac": True,
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
    "clamp_mss": True,
    "libvirt.register": "auto",
    "libvirt.trust_guest_rx_filters": False,
}

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LEASE_TIME = re.compile(r"(\d{1,12})([smhdw]?)")


def parse_lease_time(text: str) -> int | None:
    """A lease time in seconds, 0 for infinite; None if the text is not a lease time."""
    if text == "infinite":
        return 0
    match = _LEASE_TIME.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def format_lease_time(seconds: int) -> str:
    """The shortest spelling of a lease time in seconds."""
    if seconds == 0:
        return "infinite"
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


def _lease_time(value: Any) -> Any:
    seconds = parse_lease_time(str(value))
    return value if seconds is None else format_lease_time(seconds)


def _or_unchanged(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A conversion that returns a bad value unchanged: the model refuses it, since it knows the path."""

    def normalize(value: Any) -> Any:
        try:
            return convert(value)
        except (ValueError, TypeError, InvalidOption):
            return value

    return normalize


# A number is a port, although ipaddress would take it for an address.
_address = _or_unchanged(lambda value: str(ipaddress.ip_address(value)) if isinstance(value, str) else value)
_cidr = _or_unchanged(lambda value: str(ipaddress.ip_interface(value)))
_subnet = _or_unchanged(lambda value: str(ipaddress.ip_network(value)) if "/" in value else value)
_prefix = _or_unchanged(lambda value: str(ipaddress.ip_interface(value).network))
_number = _or_unchanged(lambda value: value if isinstance(value, bool) else int(value))
_address_or_port = _or_unchanged(lambda value: int(value) if str(value).isdecimal() else _address(value))
_boolean = _or_unchanged(lambda value: Options({"value": value}).boolean("value"))
_uuid = _or_unchanged(lambda value: str(UUID(value)))


def _domain(value: Any) -> Any:
    return value.rstrip(".").lower() if isinstance(value, str) else value


def _mac(value: Any) -> Any:
    if isinstance(value, list):
        return _mac(value[0]) if len(value) == 1 else [_mac(one) for one in value]
    return plain_mac(value) if isinstance(value, str) else value


def _one_or_list(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


_BY_KEY: Mapping[str, Callable[[Any], Any]] = {
    "lease_time": _lease_time,
    "mac": _mac,
    "ip": _address,
    "start": _address_or_port,
    "end": _address_or_port,
    "to": _subnet,
    "via": _address,
    "metric": _number,
    "address": _address,
    "ipxe": _boolean,
    # Of a TXT record: a text, or a list of texts.
    "value": _one_or_list,
    **dict.fromkeys(
        ("port", "priority", "weight", "interval", "lifetime", "mtu", "average", "peak", "burst", "floor"), _number
    ),
}
_BY_PATH: Mapping[str, Callable[[Any], Any]] = {
    "uuid": _uuid,
    "uplink": _one_or_list,
    "bridge.mac": _mac,
    "bridge.mtu": _number,
    "bridge.forward_delay": _number,
    "ipv4.address": _cidr,
    "ipv6.address": _cidr,
    "ipv4.dhcp.lease_time": _lease_time,
    "ipv6.dhcp.lease_time": _lease_time,
    "dns.domain": _domain,
    "connection_rate": _number,
    "bridge.fdb_max_learned": _number,
    "dns.ttl": _number,
    "bridge.multicast_snooping": _boolean,
    "bridge.hairpin": _boolean,
    "ipv6.ndp_proxy": _boolean,
    "dnsmasq.redirect": _boolean,
}
# Of nat.ports, whose ends are no addresses.
_BY_KEY_OF_PORTS = {**_BY_KEY, "start": _number, "end": _number}


def flatten(options: Mapping[str, Any]) -> FlatOptions:
    """Options in one spelling, without those that are null or empty, and without state, autostart and persistent."""
    values = values_by_path(spelled_out(options))
    flat = without_empty(
        {path: _normalize(path, value) for path, value in values.items() if path not in NOT_IN_XML[1:]}
    )
    return {
        **flat,
        **{path: [] for path in DHCP_RANGES if _is_static_only(values, flat, path.partition(".")[0])},
    }


def _is_static_only(values: FlatOptions, flat: FlatOptions, family: str) -> bool:
    """Whether an empty list of ranges has a meaning: nobody but static hosts gets an address."""
    known = {**DEFAULTS, **flat}
    serves = known[f"{family}.dhcp.enabled"] and not known.get(f"{family}.dhcp.stateless")
    fixed = known[f"{family}.address"] not in ("auto", "none")
    return values.get(f"{family}.dhcp.ranges") == [] and bool(serves and fixed)


def values_by_path(options: Mapping[str, Any], group: str = "") -> FlatOptions:
    """Options by their paths, with unchanged values."""
    values: FlatOptions = {}
    for key, value in options.items():
        path = f"{group}.{key}" if group else str(key)
        if key in _GROUPS.get(group, ()) and isinstance(value, Mapping):
            values.update(values_by_path(value, path))
        else:
            values[path] = value
    return values


def _normalize(path: str, value: Any) -> Any:
    default = DEFAULTS.get(path)
    if isinstance(default, bool) and value is not None:
        return Options({path: value}).boolean(path)
    if path == "nat.except" and isinstance(value, Sequence) and not isinstance(value, str):
        return [_subnet(item) for item in value]
    if path == "ipv6.deprecated" and isinstance(value, Sequence) and not isinstance(value, str):
        return [_prefix(item) for item in value]
    if path == "extra_addresses" and isinstance(value, Sequence) and not isinstance(value, str):
        return [_cidr(item) for item in value]
    if path.endswith(".dhcp.options") and isinstance(value, Mapping):
        return {str(key): _comma_separated(item) for key, item in value.items()}
    if path in _BY_PATH:
        return _BY_PATH[path](value)
    if path == "libvirt.metadata":
        return [value] if isinstance(value, str) else value
    return _normalize_nested(value, _BY_KEY_OF_PORTS if path == "nat.ports" else _BY_KEY)


def _comma_separated(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _normalize_nested(value: Any, by_key: Mapping[str, Callable[[Any], Any]]) -> Any:
    """Mappings and lists with normalized values, without nulls."""
    if isinstance(value, Mapping):
        texts = ((str(key), item) for key, item in value.items())
        return without_empty(
            {key: by_key[key](item) if key in by_key else _normalize_nested(item, by_key) for key, item in texts}
        )
    if isinstance(value, (list, tuple)):
        return [_normalize_nested(item, by_key) for item in value]
    return value


def lease_time_for(options: FlatOptions, family: str) -> str:
    """The lease time of DHCP ranges that have none of their own."""
    return str(options.get(f"{family}.dhcp.lease_time", _default_lease_time(options, family)))


def _default_lease_time(options: FlatOptions, family: str) -> str:
    address = options.get(f"{family}.address", DEFAULTS[f"{family}.address"])
    return dhcp.MOVING_LEASE_TIME if address == "auto" else dhcp.DEFAULT_LEASE_TIME


def without_defaults(options: FlatOptions) -> FlatOptions:
    """The options without those that have their default."""
    rest = {path: value for path, value in options.items() if path not in DEFAULTS or DEFAULTS[path] != value}
    for family in ("ipv4", "ipv6"):
        lease_time, ranges = lease_time_for(options, family), rest.get(f"{family}.dhcp.ranges")
        if lease_time == _default_lease_time(options, family):
            rest.pop(f"{family}.dhcp.lease_time", None)
        if isinstance(ranges, list):
            rest[f"{family}.dhcp.ranges"] = [_without_lease_time(item, lease_time) for item in ranges]
    if rest.get("ipv4.dhcp.ranges") == (default_ranges(options.get("ipv4.address")) or None):
        rest.pop("ipv4.dhcp.ranges", None)
    return rest


def _without_lease_time(dhcp_range: Any, lease_time: str) -> Any:
    """A DHCP range without its lease time, if it is this one."""
    if not isinstance(dhcp_range, Mapping) or dhcp_range.get("lease_time") != lease_time:
        return dhcp_range
    return {key: value for key, value in dhcp_range.items() if key != "lease_time"}


def default_ranges(address: Any) -> list[dict[str, Any]]:
    """The DHCP ranges of a subnet for which none are given, as options."""
    try:
        ranges = dhcp.default_ranges(ipaddress.IPv4Interface(str(address)))
    except ValueError:
        return []
    return [{"start": str(dhcp_range.start), "end": str(dhcp_range.end)} for dhcp_range in ranges]


def unflatten(flat: FlatOptions) -> dict[str, Any]:
    """The nested options of flat ones."""
    options: dict[str, Any] = {}
    for path, value in flat.items():
        mapping, group, rest = options, "", path
        while "." in rest and rest.split(".", 1)[0] in _GROUPS.get(group, ()):
            key, rest = rest.split(".", 1)
            mapping = mapping.setdefault(key, {})
            group = f"{group}.{key}" if group else key
        mapping[rest] = value
    return options
