# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Static hosts of one subnet: guests whose name, address or lease time is fixed. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core import kinds
from ..core.fields import Kind, option, write
from ..core.options import Address, Interface, Options, repr_short
from .ranges import ADDRESS, lease_time, refuse_outside

# Words that dnsmasq takes for something else in dhcp-host= (src/option.c, case LOPT_BANK ... 'G').
_KEYWORDS = re.compile(r"\d+[smhdw]?|infinite|ignore|deprecated|static", re.IGNORECASE)

# dnsmasq takes what has a colon for bytes in hexadecimal, and else the text itself; "*" would mean any.
_BYTES = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2})+")
_TEXT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# RFC 8415 section 11.1: a DUID has at most 128 bytes and two of its type; RFC 2132 section 9.14: 255.
_LONGEST_ID = {4: 255, 6: 130}


def _read_macs(options: Options, name: str) -> tuple[str, ...]:
    value = options.raw(name)
    # Without quotes YAML reads some addresses as a number, which is no list.
    parts = {f"{name}[{i}]": one for i, one in enumerate(value)} if isinstance(value, (list, tuple)) else {name: value}
    given = Options(parts, options.path, options.owner)
    return tuple(given.mac(part) for part in parts if not given.has_default(part, ""))


_MACS: Kind[Sequence[str]] = Kind(
    _read_macs, "list", elements="str", write=lambda macs: macs[0] if len(macs) == 1 else list(macs)
)


@dataclass(frozen=True)
class Host:
    """A guest, known by its MAC addresses, its client id (with IPv6, DUID), or the name that it requests."""

    macs: Sequence[str] = option(_MACS, (), name="mac")
    id: str = option(kinds.text(1024), "")
    name: str = option(kinds.text(), "")
    ip: Address | None = option(ADDRESS, None)
    lease_time: str = option(kinds.text(), "")
    path: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """The name without its domain, in place of which guests have that of the network.

        dnsmasq splits the name so too, and only logs a domain that is another one (strip_hostname() in its src/util.c,
        lease_set_hostname() in src/lease.c).
        """
        return self.name.partition(".")[0]

    def as_options(self) -> dict[str, Any]:
        """The given options of the host."""
        return {key: value for key, value in write(self).items() if value}


def refuse_ids(options: Options, hosts: Sequence[Host]) -> None:
    """Raise InvalidOption for a host that is known by a client id, where these are ignored."""
    for i, host in enumerate(hosts):
        if host.id:
            options.error(f"hosts[{i}].id", "cannot be combined with ignore_client_ids; give the mac in its place")


def read_hosts(options: Options, name: str, address: Interface | None, version: int = 4) -> list[Host]:
    """Static hosts, each MAC, id, address and name once, none with the host's own address; raises InvalidOption."""
    hosts: list[Host] = []
    taken: dict[tuple[str, Any], str] = {}
    for item in options.each(name):
        host = Host(
            macs=_read_macs(item, "mac") if item.given("mac") else (),
            id=_client_id(item, version),
            name=host_name(item, "name"),
            ip=item.address("ip", None, version=version),
            lease_time=lease_time(item, "lease_time", ""),
            path=item.path,
        )
        item.raw("mac", None)
        item.reject_unknown()
        if len(host.macs) > 1 and version == 6:
            item.error("mac", "is a list, which dnsmasq has for IPv4 alone; give each of them a host of its own")
        _refuse_pointless(item, host)
        if host.ip is not None:
            if address is None:
                item.error("ip", f"a fixed address needs a fixed ipv{version}.address; with auto, leave ip out")
            refuse_outside(item, "ip", host.ip, address)
            if host.ip == address.ip:
                item.error("ip", f"{host.ip} is the address of the host itself; use another one")
        _refuse_twice(item, host, taken)
        hosts.append(host)
    return hosts


def _client_id(item: Options, version: int) -> str:
    text = item.text("id", "", longest=1024)
    if not text:
        return ""
    if _BYTES.fullmatch(text.lower()):
        if len(text.split(":")) > _LONGEST_ID[version]:
            item.error("id", f"{repr_short(text)} has more than {_LONGEST_ID[version]} bytes")
        return text.lower()
    if version == 6:
        item.error("id", f"{repr_short(text)} is not a DUID; write its bytes as 00:03:00:01:52:54:00:12:34:56")
    if not _TEXT.fullmatch(text):
        item.error("id", f"{repr_short(text)} is not a client id; write its bytes as 01:52:54:00:12:34:56, or a word")
    return text


def _refuse_pointless(item: Options, host: Host) -> None:
    if not (host.macs or host.id or host.name):
        item.error("mac", "is required, or else an id or a name by which the guest is known")
    if host.macs and host.id:
        item.error("id", "a static host is known by its mac or by its id; give one of them")
    known_by = "mac" if host.macs else "id" if host.id else ""
    if host.ip is None and not host.lease_time and not (known_by and host.name):
        item.error(
            known_by or "name", f"a static host needs an ip, a name or a lease_time beside its {known_by or 'name'}"
        )


def _refuse_twice(item: Options, host: Host, taken: dict[tuple[str, Any], str]) -> None:
    """``taken``: the paths of hosts by what they are known by or have; this host is added."""
    given = (*(("mac", mac) for mac in host.macs), ("id", host.id), ("ip", host.ip), ("name", host.label))
    for key, value in given:
        if value and taken.setdefault((key, value), host.path) != host.path:
            # Two interfaces of one guest are served by one line alone.
            remedy = ", which can have several mac" if key == "ip" and host.macs else ""
            item.error(key, f"{value} is already given to {taken[key, value]}; each is for one host{remedy}")
    if len(set(host.macs)) < len(host.macs):
        item.error("mac", "names an address twice; each is for one interface")


def host_name(item: Options, name: str) -> str:
    """A guest's name that dnsmasq takes for a name; raises InvalidOption."""
    text = item.host_name(name, "")
    label = text.partition(".")[0]
    if _KEYWORDS.fullmatch(label):
        item.error(
            name, f"{repr_short(label)} means something else to dnsmasq; choose a name that is no number or keyword"
        )
    return text


# In dhcp-host=: "ignore any client-id and use MAC addresses only" (dnsmasq.8), for DHCPv4.
ANY_ID = "id:*"


def host_words(tags: Sequence[str], host: Host, *, by_mac: bool = False) -> str:
    """A static host as dnsmasq reads it after ``dhcp-host=``; ``tags`` restrict it to an interface.

    ``by_mac``: the client id of one with MAC addresses does not count. Clones of a machine have the same one, and the
    lease of one would be that of the other.
    """
    ip = "" if host.ip is None else str(host.ip) if host.ip.version == 4 else f"[{host.ip}]"
    known_by = f"id:{host.id}" if host.id else ANY_ID if by_mac and host.macs else ""
    words = [*tags, *host.macs, known_by, ip, host.label, host.lease_time]
    return ",".join(word for word in words if word)
