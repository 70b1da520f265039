# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's links as ``ip`` tells them.

Reading goes through iproute2's JSON, since importing pyroute2 costs more than a whole run that changes nothing;
changing goes through pyroute2 (kernel/link_changes.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.command import run
from ..core.errors import CommandFailed
from ..core.files import read_text

# Kernel: USER_HZ, in which bridge timers are exchanged.
CENTISECONDS = 100

# Of a bridge, as libvirt's <virtualport type=> has it.
OPENVSWITCH = "openvswitch"

IPV6_SYSCTLS = ("disable_ipv6", "accept_ra", "autoconf")


@dataclass(frozen=True)
class Link:
    """One network interface. ``forward_delay`` in seconds; ``addresses`` without IPv6 link-local ones.

    ``isolated``: as a port of a bridge it reaches no other such port; ``filters``: of a bridge, whose rules its frames
    meet whatever the sysctls of br_netfilter say (``nf_call_iptables`` and its like), where the kernel has that.
    """

    name: str
    index: int
    kind: str = ""
    mac: str = ""
    mtu: int = 0
    up: bool = False
    master: str = ""
    alias: str = ""
    stp: bool = False
    multicast_snooping: bool = False
    forward_delay: float = 0
    isolated: bool = False
    filters: Mapping[str, int] = field(default_factory=dict)
    addresses: Sequence[str] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)


def parse_links(text: str) -> dict[str, Link]:
    """``ip -d -j address show`` as links by name.

    ``ip`` asks for the name of a port's bridge when it prints: one that was deleted meanwhile is told as if7 or so.
    """
    found = {item["ifname"]: _link(item) for item in json.loads(text or "[]") if "ifname" in item}
    return {name: link if link.master in found else replace(link, master="") for name, link in found.items()}


def _link(item: Mapping[str, Any]) -> Link:
    info = item.get("linkinfo", {})
    data = info.get("info_data", {}) if info.get("info_kind") == "bridge" else {}
    return Link(
        name=item["ifname"],
        index=item["ifindex"],
        kind=info.get("info_kind", ""),
        mac=item.get("address", ""),
        mtu=item.get("mtu", 0),
        up="UP" in item.get("flags", ()),
        master=item.get("master", ""),
        alias=item.get("ifalias", ""),
        stp=bool(data.get("stp_state")),
        multicast_snooping=bool(data.get("mcast_snooping")),
        forward_delay=data.get("forward_delay", 0) / CENTISECONDS,
        isolated=bool(info.get("info_slave_data", {}).get("isolated")),
        filters={key: value for key, value in data.items() if key.startswith("nf_call_")},
        addresses=tuple(
            f"{address['local']}/{address['prefixlen']}"
            for address in item.get("addr_info", ())
            if "local" in address and not (address.get("family") == "inet6" and address.get("scope") == "link")
        ),
    )


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


def sysctl_path(proc_sys: str, interface: str, key: str) -> str:
    """The file of an IPv6 setting of one interface (Documentation/networking/ip-sysctl.rst)."""
    return os.path.join(proc_sys, "net/ipv6/conf", interface, key)


def read_sysctls(proc_sys: str, interface: str) -> dict[str, str]:
    """The IPv6 settings of an interface; empty on a kernel without IPv6."""
    values = {key: read_text(sysctl_path(proc_sys, interface, key)) for key in IPV6_SYSCTLS}
    return {key: value.strip() for key, value in values.items() if value is not None}


def has_ipv6(proc_sys: str) -> bool:
    """Whether the kernel has IPv6."""
    return os.path.isdir(os.path.join(proc_sys, "net/ipv6/conf"))
