# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The links of the host, read by ``ip``.

They are read as JSON from iproute2, since the import of pyroute2 takes longer than a whole run that changes nothing.
pyroute2 changes them (kernel/link_changes.py).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.command import run
from ..core.errors import CommandFailed
from ..core.files import read_text

# USER_HZ of the kernel, the unit of bridge timers.
CENTISECONDS = 100

# Of a bridge, as libvirt's <virtualport type=> has it.
OPENVSWITCH = "openvswitch"

IPV6_SYSCTLS = ("disable_ipv6", "accept_ra", "autoconf")


@dataclass(frozen=True)
class Link:
    """A network interface. ``forward_delay`` is in seconds; ``addresses`` has no IPv6 link-local ones.

    ``isolated``: as a port of a bridge it cannot reach other such ports. ``hairpin``: a bridge may send frames back
    through this port (bridge(8)). ``filters``: the attributes of a bridge that send its frames through iptables
    whatever the sysctls of br_netfilter are (``nf_call_iptables`` and others), if the kernel has them.
    """

    name: str
    index: int
    kind: str = ""
    mac: str = ""
    mtu: int = 0
    up: bool = False
    master: str = ""
    alias: str = ""
    alternative_names: Sequence[str] = ()
    stp: bool = False
    multicast_snooping: bool | None = None
    forward_delay: float = 0
    isolated: bool = False
    hairpin: bool = False
    filters: Mapping[str, int] = field(default_factory=dict)
    addresses: Sequence[str] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)


def parse_links(text: str) -> dict[str, Link]:
    """The links by name, from the output of ``ip -d -j address show``.

    ``ip`` looks up the bridge of a port while it prints, and prints if7 or the like for a bridge deleted meanwhile.
    """
    links = {item["ifname"]: _link(item) for item in json.loads(text or "[]") if "ifname" in item}
    return {name: link if link.master in links else replace(link, master="") for name, link in links.items()}


def _link(item: Mapping[str, Any]) -> Link:
    info = item.get("linkinfo", {})
    data = info.get("info_data", {}) if info.get("info_kind") == "bridge" else {}
    port = info.get("info_slave_data", {})
    return Link(
        name=item["ifname"],
        index=item["ifindex"],
        kind=info.get("info_kind", ""),
        mac=item.get("address", ""),
        mtu=item.get("mtu", 0),
        up="UP" in item.get("flags", ()),
        master=item.get("master", ""),
        alias=item.get("ifalias", ""),
        alternative_names=tuple(item.get("altnames", ())),
        stp=bool(data.get("stp_state")),
        multicast_snooping=bool(data["mcast_snooping"]) if "mcast_snooping" in data else None,
        forward_delay=data.get("forward_delay", 0) / CENTISECONDS,
        isolated=bool(port.get("isolated")),
        hairpin=bool(port.get("hairpin")),
        filters={key: value for key, value in data.items() if key.startswith("nf_call_")},
        addresses=tuple(
            f"{address['local']}/{address['prefixlen']}"
            for address in item.get("addr_info", ())
            if "local" in address and not (address.get("family") == "inet6" and address.get("scope") == "link")
        ),
    )


def links_named(links: Mapping[str, Link], names: Iterable[str]) -> list[Link]:
    """The links that have one of these names, or have it as an alternative name (altname in ip-link(8))."""
    wanted = set(names)
    return [link for link in links.values() if wanted & {link.name, *link.alternative_names}]


def read_links() -> dict[str, Link]:
    """All links of this network namespace.

    Raises MissingTool, CommandFailed.
    """
    text = run(["ip", "-d", "-j", "address", "show"]).stdout
    try:
        return parse_links(text)
    except ValueError as error:
        raise CommandFailed(
            f"ip -d -j address show printed no JSON ({error}); iproute2 5.0 or newer is needed"
        ) from None


def index_of(name: str) -> int:
    """The index of a link; raises CommandFailed."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise CommandFailed(f"there is no interface {name}") from None


def sysctl_path(proc_sys: str, interface: str, setting: str) -> str:
    """The file of a setting of one interface, such as ipv6/accept_ra (Documentation/networking/ip-sysctl.rst)."""
    family, name = setting.split("/")
    return os.path.join(proc_sys, "net", family, "conf", interface, name)


def read_forwarding(proc_sys: str, interface: str) -> str:
    """Whether the host forwards IPv4 packets that arrive on an interface: '1', '0', or '' where there is none such."""
    return (read_text(sysctl_path(proc_sys, interface, "ipv4/forwarding")) or "").strip()


def read_sysctls(proc_sys: str, interface: str) -> dict[str, str]:
    """The IPv6 settings of an interface; empty on a kernel without IPv6."""
    values = {key: read_text(sysctl_path(proc_sys, interface, f"ipv6/{key}")) for key in IPV6_SYSCTLS}
    return {key: value.strip() for key, value in values.items() if value is not None}


def has_ipv6(proc_sys: str) -> bool:
    """Whether the kernel has IPv6."""
    return os.path.isdir(os.path.join(proc_sys, "net/ipv6/conf"))


def interface_named(name: str) -> str:
    """The interface with this name or alternative name (altname in ip-link(8)); '' for none."""
    try:
        return socket.if_indextoname(socket.if_nametoindex(name))
    except OSError:
        return ""


def has_address(address: str) -> bool:
    """Whether an address is one of this host's, on any interface."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((address, 0))
    except OSError:
        return False
    return True
