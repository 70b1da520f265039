# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chains and the sets of the table ``inet virtnet``: the only place with rules in nft's words.

The chains do not depend on how many networks there are; networks are elements of sets and maps keyed on interface
names, so the cost of a packet does not depend on it either, and rules can stand before a bridge does. Established flows
pass first; then the way *to* a guest is looked up before the way *from* one, or an accept of outgoing traffic would let
one network into another. Chains that few hosts need are there only where an element asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .nat import Nat

FAMILY = "inet"
TABLE = "virtnet"

# Set or map -> element's key -> value: the verdict of a map, the comment in vn_bridges, the limit in vn_limited, or "".
Elements = Mapping[str, Mapping[tuple[str, ...], str]]

# A chain: its hook, and its rules with the comment that each carries in the kernel.
Chain = tuple[str, Sequence[tuple[str, str]]]

# Name of a set or map, and its declaration. All keys begin with the bridge; in OWNED it is the element's comment.
SETS = {
    "vn_to_guest": "type ifname : verdict",
    "vn_from_guest": "type ifname : verdict",
    "vn_to_host": "type ifname : verdict",
    "vn_bridges": "type ifname",
    "vn_closed": "type ifname",
    "vn_same": "type ifname . ifname",
    "vn_apart": "type ifname . ifname",
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
    "vn_isolated": "type ifname",
    "vn_nameless": "type ifname",
    "vn_limited": "type ifname; flags dynamic",
    "vn_untracked": "type ifname",
    "vn_port4": "type inet_proto . inet_service : ipv4_addr . inet_service",
    "vn_port6": "type inet_proto . inet_service : ipv6_addr . inet_service",
    "vn_port4_at": "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    "vn_port6_at": "type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service",
    "vn_ports4": "type inet_proto . inet_service : ipv4_addr; flags interval",
    "vn_ports6": "type inet_proto . inet_service : ipv6_addr; flags interval",
    "vn_ports4_at": "type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval",
    "vn_ports6_at": "type ipv6_addr . inet_proto . inet_service : ipv6_addr; flags interval",
}
VERDICTS = ("vn_to_guest", "vn_from_guest", "vn_to_host", "vn_nat4", "vn_nat6")
FORWARDS = tuple(name for name in SETS if name.startswith("vn_port"))
MAPS = (*VERDICTS, *FORWARDS)
# Each element carries a limit, which is asked when the element is looked up, and matches what is over it.
LIMITS = ("vn_limited",)
OWNED = ("vn_closed4", "vn_closed6", "vn_routed4", "vn_routed6", *FORWARDS)

# On the connections that pass by our rules, so that the chains of others can let them pass too: an accept of ours
# does not outweigh a drop of theirs. One bit, and only of the connection's mark, since that of packets steers routing.
MARK = 0x00100000
_MARK = f"ct mark set ct mark | 0x{MARK:08x}"
_REFUSE = "reject with icmpx admin-prohibited"

_TO_ANY = (("iifname . oifname @vn_same goto vn_pass", "frames within one network (br_netfilter)"),)
_APART = (f"iifname . oifname @vn_apart {_REFUSE}", "guests that are kept from each other")
_SPOOFED = (
    ("iifname . ip saddr != @vn_subnets4 drop", "spoofed source"),
    ("iifname . ip6 saddr != @vn_subnets6 drop", "spoofed IPv6 source"),
)
_ONLY_UPLINK = (f"iifname @vn_uplinked iifname . oifname != @vn_uplinks {_REFUSE}", "only to the uplink")
_FROM_CLOSED = (f"iifname @vn_closed {_REFUSE}", "nat and isolated networks reach no other network")
# Chains of NAT see neither. Not in mode routed, where the other half of a connection may go another way.
_UNNATTED = ("ct state invalid,untracked drop", "what NAT would let out with the guest's own address")
_NO_CONNECTION = ("ct state invalid drop", "no connection")
_OUT = ("goto vn_pass", "out")
# Other name servers of the host know names of others, and that would be a way out of an isolated network.
_DNS = "meta l4proto { tcp, udp } th dport 53"
_OWN_NAME_SERVER = (
    (f"{_DNS} iifname @vn_nameless {_REFUSE}", "isolated network without a name server"),
    (f"{_DNS} iifname @vn_isolated fib daddr . iif type != local {_REFUSE}", "isolated: no other name server"),
)
# All packets of one that nobody answers are "new"; only its first has no confirmed entry (nf_conntrack_confirm()).
_LIMIT = (
    "ct state new ct status ! confirmed iifname @vn_limited drop",
    "new connections beyond the network's rate",
)
_SERVED = (
    (f"meta l4proto {{ tcp, udp }} th dport 53 {_MARK}", "mark for other firewalls: DNS"),
    (f"udp dport {{ 67, 547 }} {_MARK}", "mark for other firewalls: DHCP"),
)
# A dnsmasq with bind-interfaces answers at the address of a bridge whatever interface a query comes by.
_FROM_OUTSIDE = (
    "ct state new,untracked meta l4proto { tcp, udp } th dport { 53, 67, 69, 547 } "
    'iifname != @vn_bridges iifname != "lo" jump vn_host_outside',
    "DNS, DHCP and TFTP of networks are for their guests",
)


def _not_at(subnets: str) -> Sequence[tuple[str, str]]:
    refuse = f"iifname . {{ip}} daddr != @vn_subnets{{n}} {_REFUSE}"
    return [
        (f"{ip} daddr @vn_{subnets}{n} {refuse.format(ip=ip, n=n)}", f"no address of the host on {subnets} networks")
        for ip, n in (("ip", 4), ("ip6", 6))
    ]


_CHAINS: Mapping[str, Chain] = {
    # Two rules: neighbour discovery is not tracked, and a rule ends at the mark that its packets do not have.
    "vn_pass": ("", (_LIMIT, (_MARK, "mark for other firewalls"), ("accept", "pass"))),
    "vn_to_closed": ("", (*_TO_ANY, (_REFUSE, "nobody reaches guests of nat and isolated networks"))),
    "vn_to_open": ("", (_APART, _FROM_CLOSED)),
    "vn_to_routed": (
        "",
        (
            *_TO_ANY,
            _APART,
            _FROM_CLOSED,
            (f"oifname @vn_uplinked oifname . iifname != @vn_uplinks {_REFUSE}", "only from the uplink"),
            (f"oifname . ip daddr != @vn_subnets4 {_REFUSE}", "only to the network's own addresses"),
            (f"oifname . ip6 daddr != @vn_subnets6 {_REFUSE}", "only to the network's own IPv6 addresses"),
            (_MARK, "mark for other firewalls"),
        ),
    ),
    "vn_from_nat": ("", (_UNNATTED, *_SPOOFED, _ONLY_UPLINK, _OUT)),
    "vn_from_routed": ("", (*_SPOOFED, _ONLY_UPLINK, _OUT)),
    "vn_from_isolated": ("", ((_REFUSE, "isolated"),)),
    # A guest can make up an error about a connection that it has no part in.
    "vn_related": (
        "",
        (
            *_TO_ANY,
            ("ct status dnat accept", "port forwards"),
            ("iifname @vn_closed oifname @vn_bridges drop", "no network has a connection with a nat or isolated one"),
            ("oifname @vn_closed iifname @vn_bridges drop", "no network has a connection with a nat or isolated one"),
            ("iifname vmap @vn_from_guest", "from a guest"),
            ("accept", "from outside"),
        ),
    ),
    "vn_forward": (
        # Before the chains of others at the usual priority, which may look at our mark.
        "type filter hook forward priority filter - 10; policy accept;",
        (
            ("ct state established accept", "established flows first"),
            ("ct state related jump vn_related", "errors about connections"),
            ("oifname vmap @vn_to_guest", "to a guest"),
            ("iifname vmap @vn_from_guest", "from a guest"),
        ),
    ),
    "vn_host_closed": (
        "",
        (_NO_CONNECTION, *_not_at("closed"), *_not_at("routed"), *_OWN_NAME_SERVER, _LIMIT, *_SERVED),
    ),
    "vn_host_outside": (
        "",
        tuple(
            (f"{ip} daddr @vn_{subnets}{n} {_REFUSE}", f"no service of {subnets} networks")
            for subnets in ("closed", "routed")
            for ip, n in (("ip", 4), ("ip6", 6))
        ),
    ),
    "vn_host_routed": ("", (*_not_at("closed"), _LIMIT, *_SERVED)),
    "vn_input": (
        "type filter hook input priority filter - 10; policy accept;",
        (("ct state new,invalid,untracked iifname vmap @vn_to_host", "from a guest to the host"), _FROM_OUTSIDE),
    ),
    "vn_output": (
        "type filter hook output priority filter; policy accept;",
        (
            # Between host and guest nobody computes checksums, and old DHCP clients, reading packets raw, check them.
            ("udp sport 67 oifname @vn_bridges udp checksum set 0", "DHCP without a checksum rather than a wrong one"),
        ),
    ),
    "vn_postrouting": (
        "type nat hook postrouting priority srcnat; policy accept;",
        (
            ("meta nfproto ipv4 iifname vmap @vn_nat4", "networks in mode nat"),
            ("meta nfproto ipv6 iifname vmap @vn_nat6", "networks in mode nat with IPv6"),
        ),
    ),
}


_FORWARDED = ("ct status dnat goto vn_to_forwarded", "port forwards")

# Only where there are port forwards: they cost every new connection to the host.
_FORWARD_CHAINS: Mapping[str, Chain] = {
    "vn_to_forwarded": (
        "",
        (
            *_TO_ANY,
            _APART,
            (f"oifname @vn_uplinked oifname . iifname != @vn_uplinks {_REFUSE}", "only from the uplink"),
            (f"iifname @vn_isolated {_REFUSE}", "isolated"),
            ("goto vn_pass", "port forwards"),
        ),
    ),
    **{
        chain: (rules[0], (_FORWARDED, *rules[1]))
        for chain, rules in _CHAINS.items()
        if chain in ("vn_to_closed", "vn_to_routed")
    },
    "vn_to_open": ("", (_APART, ("ct status dnat return", "port forwards"), _FROM_CLOSED)),
    "vn_dnat": (
        "",
        (
            ("ip daddr 127.0.0.0/8 return", "not on loopback"),
            ("ip6 daddr ::1 return", "not on loopback"),
            *(
                (f"dnat {ip} to {at}meta l4proto . th dport map @vn_{ports}{n}{suffix}", f"{ports} of {where}")
                for ip, n in (("ip", 4), ("ip6", 6))
                for ports in ("port", "ports")
                for at, suffix, where in ((f"{ip} daddr . ", "_at", "one address"), ("", "", "any address"))
            ),
        ),
    ),
    "vn_prerouting": (
        "type nat hook prerouting priority dstnat; policy accept;",
        (("fib daddr type local goto vn_dnat", "port forwards, from outside and from guests"),),
    ),
    "vn_from_host": (
        "type nat hook output priority -100; policy accept;",
        (("fib daddr type local goto vn_dnat", "port forwards, from the host itself"),),
    ),
    "vn_hairpin": (
        "",
        (
            ("oifname . ip saddr @vn_subnets4 masquerade", "else the answer would go past the host"),
            ("oifname . ip6 saddr @vn_subnets6 masquerade", "else the answer would go past the host"),
            ("oifname @vn_isolated masquerade", "its guests have no other way than their own link"),
        ),
    ),
    "vn_postrouting": (
        _CHAINS["vn_postrouting"][0],
        (("ct status dnat jump vn_hairpin", "port forwards"), *_CHAINS["vn_postrouting"][1]),
    ),
}


# Only where a bridge has no address: its guests' gateway may be a veth in it. With br_netfilter the connection would be
# tracked as the frame crosses the bridge, and be taken for an old one, past all NAT, when it is routed.
_RAW: Chain = (
    "type filter hook prerouting priority raw; policy accept;",
    (("iifname @vn_untracked notrack", "frames within a bridge that is no gateway (br_netfilter)"),),
)


def _nat_chain(nat: Nat) -> Chain:
    ports = f":{nat.ports[0]}-{nat.ports[1]}"
    rules = [
        ("oifname @vn_bridges return", "not between networks of ours"),
        # The comparison spares nearly all packets the lookup.
        (
            "ip daddr >= 224.0.0.0 ip daddr { 224.0.0.0/24, 255.255.255.255 } return",
            "neither multicast nor broadcast of the link",
        ),
        ("ip6 daddr ff02::/16 return", "no multicast of the link"),
    ]
    if nat.source:
        source = "-".join(sorted(set(nat.source), key=nat.source.index))
        rules += [
            *((f"meta l4proto {one} snat ip to {source}{ports}", "out with this source") for one in ("tcp", "udp")),
            (f"snat ip to {source}", "everything else"),
        ]
    return "", (
        *rules,
        *((f"meta l4proto {one} masquerade to {ports}", "out of the privileged ports") for one in ("tcp", "udp")),
        ("masquerade", "everything else"),
    )


# Sets that few hosts have elements of; a rule that asks for one costs each new flow a lookup.
_RARE = ("vn_uplinked", "vn_apart", "vn_limited", "vn_nameless")


def _asked(chain: Chain, elements: Elements) -> Chain:
    """The chain without rules that ask for an empty set."""
    empty = [f"@{name} " for name in _RARE if not elements.get(name)]
    return chain[0], tuple(rule for rule in chain[1] if not any(name in rule[0] for name in empty))


def chains(elements: Elements) -> dict[str, Chain]:
    """The chains that a table with these elements has, in an order in which each is there before it is named."""
    ways = {Nat().chain}
    for name in ("vn_nat4", "vn_nat6"):
        ways |= {verdict.split()[-1] for verdict in elements.get(name, {}).values()}
    # By whatever else an element may have been altered by hand, no chain is made.
    found = {way: Nat.of_chain(way) for way in sorted(ways)}
    nat = {way: _nat_chain(nat) for way, nat in found.items() if nat.chain == way}
    if elements.get("vn_untracked"):
        nat["vn_raw"] = _RAW
    mine = dict(_CHAINS)
    if any(elements.get(name) for name in FORWARDS):
        mine.update(_FORWARD_CHAINS)
    first = ("vn_pass", "vn_to_forwarded", "vn_dnat", "vn_hairpin")
    in_order = sorted(mine, key=lambda chain: chain not in first)
    return {**nat, **{chain: _asked(mine[chain], elements) for chain in in_order}}
