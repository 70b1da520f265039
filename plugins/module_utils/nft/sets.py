# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sets and maps of the table ``inet virtnet``."""

from __future__ import annotations

from collections.abc import Mapping

FAMILY = "inet"
TABLE = "virtnet"

# Values of elements by set or map, then by key. The value is the verdict of a map, the comment in vn_bridges, the limit
# in vn_limited, else "".
Elements = Mapping[str, Mapping[tuple[str, ...], str]]
# The elements of one set or map while they are collected.
Members = dict[tuple[str, ...], str]

# Declarations by name of the set or map. The first part of every key is the bridge; in OWNED it is not a part of the
# element, but its comment.
SETS = {
    "vn_to_guest": "type ifname : verdict",
    "vn_from_guest": "type ifname : verdict",
    "vn_to_host": "type ifname : verdict",
    "vn_bridges": "type ifname",
    "vn_closed": "type ifname",
    "vn_same": "type ifname . ifname",
    "vn_apart": "type ifname . ifname",
    "vn_own4": "type ifname . ipv4_addr . ipv4_addr",
    "vn_own6": "type ifname . ipv6_addr . ipv6_addr",
    "vn_subnets4": "type ifname . ipv4_addr; flags interval",
    "vn_subnets6": "type ifname . ipv6_addr; flags interval",
    "vn_closed4": "type ipv4_addr; flags interval",
    "vn_closed6": "type ipv6_addr; flags interval",
    "vn_routed4": "type ipv4_addr; flags interval",
    "vn_routed6": "type ipv6_addr; flags interval",
    "vn_uplinked": "type ifname",
    "vn_uplinks": "type ifname . ifname",
    "vn_nat4": "type ifname : verdict",
    "vn_nat6": "type ifname : verdict",
    "vn_except4": "type ifname . ipv4_addr; flags interval",
    "vn_except6": "type ifname . ipv6_addr; flags interval",
    "vn_isolated": "type ifname",
    "vn_nameless": "type ifname",
    "vn_limited": "type ifname; flags dynamic",
    "vn_clamped": "type ifname",
    "vn_ftp": "type ifname",
    "vn_sip": "type ifname",
    "vn_tftp": "type ifname",
    "vn_untracked": "type ifname",
    "vn_redirected": "type ifname",
    "vn_redirected4": "type ipv4_addr",
    "vn_redirected6": "type ipv6_addr",
    "vn_port4": "type inet_proto . inet_service : ipv4_addr . inet_service",
    "vn_port6": "type inet_proto . inet_service : ipv6_addr . inet_service",
    "vn_port4_at": "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    "vn_port6_at": "type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service",
    "vn_ports4": "type inet_proto . inet_service : ipv4_addr; flags interval",
    "vn_ports6": "type inet_proto . inet_service : ipv6_addr; flags interval",
    "vn_ports4_at": "type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval",
    "vn_ports6_at": "type ipv6_addr . inet_proto . inet_service : ipv6_addr; flags interval",
}
# Those of policies, which exist only while they have elements; see also policy_sets.py.
OF_POLICIES = {
    "vn_policed": "type ifname : verdict",
    "vn_policed_host": "type ifname : verdict",
    "vn_opened": "type ifname . ifname",
}
# The types of the parts of an element; in OWNED the bridge is none of them.
KEY_TYPES = {
    name: declaration.split(";")[0].split(" : ")[0].removeprefix("type ").split(" . ")
    for name, declaration in {**SETS, **OF_POLICIES}.items()
}
# Maps of port forwards.
FORWARDS = tuple(name for name in SETS if name.startswith("vn_port"))
MAPS = tuple(name for name, declaration in {**SETS, **OF_POLICIES}.items() if " : " in declaration)
# Sets whose elements have a limit: a lookup of the element matches the packets that exceed it.
LIMITS = ("vn_limited",)
OWNED = (
    *("vn_closed4", "vn_closed6", "vn_routed4", "vn_routed6"),
    *("vn_redirected4", "vn_redirected6"),
    *FORWARDS,
)
