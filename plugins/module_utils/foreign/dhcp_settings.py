# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of dnsmasq about DHCP, as data: ranges, static hosts, options, boot (dnsmasq.8). Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..core.errors import printable
from ..core.options import Address, shorten
from ..dhcp.dhcpv6 import RaParam, ra_param_of
from ..dhcp.dnsmasq_syntax import Setting, address_in
from ..dhcp.options import DNS_SERVER, NO_PROXY, ROUTER, WPAD
from ..dnsmasq.system_config import Config

_TAG = re.compile(r"(?:tag|net|set):(.*)")
_LEASE = re.compile(r"\d{1,9}[smhdw]?|infinite")
_MAC = re.compile(r"(?:[0-9A-Fa-f]{1,2}[:-]){5}[0-9A-Fa-f]{1,2}")
_NUMBER = re.compile(r"\d{1,5}")
# An option that Jinja or a shell could read is none that is copied into a file of variables.
_VALUE = re.compile(r"[A-Za-z0-9_.:/@+=,?&%\[\]\\ -]*")
# dnsmasq.8, --dhcp-range: "The default lease time is one hour for IPv4 and one day for IPv6."
_DEFAULT_LEASE = {4: "1h", 6: "1d"}
_MODES = ("static", "proxy", "ra-only", "slaac", "ra-names", "ra-stateless", "ra-advrouter", "off-link")
_LONGEST_PREFIX = 128


@dataclass(frozen=True)
class DhcpRange:
    """One dhcp-range. ``end`` is None for a subnet alone; ``mode``: static or proxy; ``sets``: tags that it sets."""

    start: Address | None = None
    end: Address | None = None
    mode: str = ""
    modes: tuple[str, ...] = ()
    constructor: str = ""
    lease_time: str = ""
    sets: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """The IP version; 0 where it has no address."""
        return 0 if self.start is None else self.start.version

    def as_options(self, base: int = 0) -> dict[str, Any]:
        """As an item of ``ranges``; ``base`` is added to addresses without their prefix (``constructor:``)."""
        lease = {} if self.lease_time in ("", "1h") else {"lease_time": self.lease_time}
        ends = [ipaddress.ip_address(str(one)) for one in (self.start, self.end)]
        if base:
            mask = (1 << 64) - 1
            ends = [ipaddress.IPv6Address(base | (int(one) & mask)) for one in ends]
        return {"start": str(ends[0]), "end": str(ends[1]), **lease}


def shown(setting: Setting) -> str:
    """A setting in a note."""
    return printable(shorten(str(setting), 150))


def without_tags(fields: Sequence[str]) -> tuple[list[str], list[str]]:
    """The fields of a setting without those that name tags at its begin, and the tags that are required."""
    rest = list(fields)
    tags = []
    while rest and (_TAG.fullmatch(rest[0]) or rest[0].startswith("interface:")):
        tags.append(rest.pop(0).partition(":")[2])
    return rest, tags


def range_of(fields: Sequence[str]) -> DhcpRange:
    """A dhcp-range; without ``start`` where it has no address."""
    rest, _tags = without_tags(fields)
    sets = [field[4:] for field in fields if field.startswith("set:")]
    # The old form: a name in front of the addresses is a tag that the range sets.
    if rest and address_in(rest[0]) is None and rest[0] not in ("", "::"):
        sets.append(rest.pop(0))
    start = address_in(rest[0]) if rest else None
    if start is None:
        return DhcpRange(sets=tuple(sets))
    rest = rest[1:]
    end = next((one for one in map(address_in, rest[:1]) if one is not None and one.version == start.version), None)
    modes = tuple(field for field in rest if field in _MODES)
    if start.version == 4 and end is None and not modes:
        # A range of one address.
        end = start
    # A prefix length is a number too, and stands before the lease time.
    leases = [field for field in rest if _LEASE.fullmatch(field)]
    if start.version == 6 and leases and leases[0].isdecimal() and int(leases[0]) <= _LONGEST_PREFIX:
        leases = leases[1:]
    return DhcpRange(
        start=start,
        end=end,
        mode=next((mode for mode in modes if mode in ("static", "proxy")), ""),
        modes=modes,
        constructor=next((field.partition(":")[2] for field in rest if field.startswith("constructor:")), ""),
        lease_time=leases[0] if leases else _DEFAULT_LEASE[start.version],
        sets=tuple(sets),
    )


def host_of(fields: Sequence[str], version: int) -> dict[str, Any] | None:
    """A static host as an item of ``hosts``; None for one that no item can mean, {} for one of the other version."""
    macs = [field for field in fields if _MAC.fullmatch(field)]
    host: dict[str, Any] = {}
    is_other = False
    for field in (field for field in fields if field not in macs):
        address = address_in(field)
        if field.startswith(("set:", "net:")) or field in ("", "id:*"):
            # What a tag means is in other settings; that client ids do not count is our default.
            continue
        if field == "ignore" or "*" in field or field.startswith("tag:"):
            return None
        if field.startswith("id:"):
            host["id"] = field[3:]
        elif address is not None:
            is_other = is_other or address.version != version
            if address.version == version:
                host["ip"] = str(address)
        elif _LEASE.fullmatch(field):
            host["lease_time"] = field
        else:
            # dnsmasq takes the first label of a name with a domain.
            host["name"] = field.partition(".")[0]
    if is_other and "ip" not in host:
        return {}
    if len(macs) > 1 and version == 6:
        return None
    known_by = [":".join(part.zfill(2) for part in re.split("[:-]", mac.lower())) for mac in macs]
    mac = {"mac": known_by if len(known_by) > 1 else known_by[0]} if known_by else {}
    return {**mac, **host} or None


def dhcp_options(
    config: Config, version: int, tags: set[str], own: str, notes: list[str]
) -> dict[str, Mapping[str, str]]:
    """The option ``options``: what is sent to all guests of a link with these tags; ``own``: the host's address."""
    options: dict[str, str] = {}
    for setting in config.named("dhcp-option", "dhcp-option-force"):
        rest, required = without_tags(setting.fields)
        key = rest[0] if rest else ""
        is_version6 = key.startswith("option6:")
        name = key.partition(":")[2] if key.startswith(("option:", "option6:")) else key
        if is_version6 != (version == 6) or any(tag.startswith("!") for tag in required) or set(required) - tags:
            continue
        values = ",".join(field.strip("[]") if version == 6 else field for field in rest[1:])
        plain = _NUMBER.fullmatch(name) or (name and key != name)
        is_safe = _VALUE.fullmatch(values) or (name, values) == (WPAD, NO_PROXY)
        if not plain or not is_safe:
            notes.append(f"a DHCP option is left out: {shown(setting)}")
            continue
        defaults = (*(ROUTER if version == 4 else ()), *DNS_SERVER[version])
        if name in defaults and values in (own, "0.0.0.0", "::"):
            continue
        options[name] = values
    return {"options": options} if options else {}


def ra_param_option(config: Config, bridge: str, notes: list[str]) -> dict[str, Any]:
    """The option ``ra_param``: of several lines for a link, dnsmasq takes the last one (option.c, radv.c)."""
    lines = [one for one in config.named("ra-param") if fnmatchcase(bridge, one.fields[0] if one.fields else "")]
    for setting in lines[-1:]:
        try:
            given = ra_param_of(setting.fields[1:]).as_options()
        except ValueError:
            notes.append(f"a setting of router advertisements is left out: {shown(setting)}")
            continue
        default = RaParam().as_options()
        options = {name: value for name, value in given.items() if value != default[name]}
        return {"ra_param": options} if options else {}
    return {}


def boot_options(config: Config, tags: set[str], notes: list[str]) -> dict[str, Any]:
    """The options ``boot`` and ``tftp_root``."""
    options: dict[str, Any] = {}
    for setting in config.named("dhcp-boot"):
        rest, required = without_tags(setting.fields)
        if set(required) - tags:
            notes.append(f"boot by tags is left out: {shown(setting)}")
        elif rest:
            server = next((field for field in reversed(rest[1:3]) if field), "")
            options["boot"] = {"file": rest[0], **({"server": server} if server else {})}
    root = next((setting.fields[0] for setting in config.named("tftp-root") if setting.fields), "")
    if config.named("enable-tftp") and root:
        options["tftp_root"] = root
    return options
