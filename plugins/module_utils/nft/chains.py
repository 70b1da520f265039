# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chains of the table ``inet virtnet``: the only place with rules in the syntax of nft.

The chains do not depend on the number of networks: networks are elements of sets and maps keyed on interface names. So
the cost of a packet does not depend on that number either, and a rule can be loaded before the bridge exists. Packets
of established connections are accepted first. Then the chain for packets *to* a guest is looked up before the chain for
packets *from* a guest: an accept of outgoing traffic would let one network reach another. Chains that few hosts need
exist only where an element refers to them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..core.ports import REDIRECTED_DHCP, REDIRECTED_DNS
from .helpers import PORTS, helper_rules, helper_set
from .nat import Nat
from .policies import chain_rules
from .sets import FORWARDS, Elements

# The text of a rule, and its comment in the kernel.
Rule = tuple[str, str]


class Chain(NamedTuple):
    """``hook``: the declaration of a base chain, else ""."""

    hook: str
    rules: Sequence[Rule]


def _chain(*rules: Rule) -> Chain:
    return Chain("", rules)


def _base_chain(hook: str, *rules: Rule) -> Chain:
    return Chain(hook, rules)


# The mark of connections that our rules accept. Our accept does not override a drop of other firewalls, but their rules
# can accept this mark. It is one bit of the connection's mark; the mark of packets would affect routing. Who copies the
# connection's mark to packets without a mask routes by ours: it is set only where another firewall needs it.
MARK = 0x00100000
_MARK = f"ct mark set ct mark | 0x{MARK:08x}"
_MARK_COMMENT = "mark for other firewalls"
_REFUSE = "reject with icmpx admin-prohibited"

# The keyword of each family, and its number in the names of our sets.
_FAMILIES = (("ip", 4), ("ip6", 6))

_WITHIN_NETWORK = ("iifname . oifname @vn_same goto vn_pass", "frames within one network (br_netfilter)")
_ISOLATED_GUESTS = (f"iifname . oifname @vn_apart {_REFUSE}", "guests that are kept from each other")
_SPOOFED = (
    ("iifname . ip saddr != @vn_subnets4 drop", "spoofed source"),
    ("iifname . ip6 saddr != @vn_subnets6 drop", "spoofed IPv6 source"),
)
_ONLY_UPLINK = (f"iifname @vn_uplinked iifname . oifname != @vn_uplinks {_REFUSE}", "only to the uplink")
# Before NAT of the source: only a connection that has a helper then gets what its packets need to change in length
# (nf_nat_setup_info()). For the same reason none for port forwards, whose destination is translated already.
_HELPERS = tuple((rule, f"conntrack helper {helper}") for rule, helper in helper_rules())
_FROM_CLOSED = (f"iifname @vn_closed {_REFUSE}", "nat and isolated networks reach no other network")
# Chains of type nat see neither. Not in mode routed, where replies may take another route.
_WITHOUT_NAT = ("ct state invalid,untracked drop", "what NAT would let out with the guest's own address")
_NO_CONNECTION = ("ct state invalid drop", "no connection")
_OUT = ("goto vn_pass", "out")
# Other name servers of the host know names of other networks, and forward queries out of an isolated network.
_DNS = f"meta l4proto {{ tcp, udp }} th dport {{ 53, {REDIRECTED_DNS} }}"
_OWN_NAME_SERVER = (
    (f"{_DNS} iifname @vn_nameless {_REFUSE}", "isolated network without a name server"),
    (f"{_DNS} iifname @vn_isolated fib daddr . iif type != local {_REFUSE}", "isolated: no other name server"),
)
# All packets of a connection without a reply are "new"; only the first has no confirmed entry (nf_conntrack_confirm()).
_LIMIT = (
    "ct state new ct status ! confirmed iifname @vn_limited drop",
    "new connections beyond the network's rate",
)
_SERVED = (
    (f"{_DNS} {_MARK}", f"{_MARK_COMMENT}: DNS"),
    (f"udp dport {{ 67, 547, {REDIRECTED_DHCP} }} {_MARK}", f"{_MARK_COMMENT}: DHCP"),
)
# A dnsmasq with bind-interfaces answers queries to a bridge's address that arrive on any interface.
_FROM_OUTSIDE = (
    "ct state new,untracked meta l4proto { tcp, udp } "
    f"th dport {{ 53, 67, 69, 547, {REDIRECTED_DNS}, {REDIRECTED_DHCP} }} "
    'iifname != @vn_bridges iifname != "lo" jump vn_host_outside',
    "DNS, DHCP and TFTP of networks are for their guests",
)


def _not_at(subnets: str) -> Sequence[Rule]:
    comment = f"no address of the host on {subnets} networks"
    return [
        (f"{ip} daddr @vn_{subnets}{n} iifname . {ip} daddr != @vn_subnets{n} {_REFUSE}", comment)
        for ip, n in _FAMILIES
    ]


_CHAINS: Mapping[str, Chain] = {
    # Mark and accept are two rules: neighbour discovery is untracked, and a rule stops at a ct mark that is absent.
    "vn_pass": _chain(_LIMIT, (_MARK, _MARK_COMMENT), ("accept", "pass")),
    "vn_to_closed": _chain(_WITHIN_NETWORK, (_REFUSE, "nobody reaches guests of nat and isolated networks")),
    "vn_to_open": _chain(_ISOLATED_GUESTS, _FROM_CLOSED),
    "vn_to_routed": _chain(
        _WITHIN_NETWORK,
        _ISOLATED_GUESTS,
        _FROM_CLOSED,
        (f"oifname @vn_uplinked oifname . iifname != @vn_uplinks {_REFUSE}", "only from the uplink"),
        (f"oifname . ip daddr != @vn_subnets4 {_REFUSE}", "only to the network's own addresses"),
        (f"oifname . ip6 daddr != @vn_subnets6 {_REFUSE}", "only to the network's own IPv6 addresses"),
        (_MARK, _MARK_COMMENT),
    ),
    "vn_from_nat": _chain(_WITHOUT_NAT, *_SPOOFED, _ONLY_UPLINK, *_HELPERS, _OUT),
    "vn_from_routed": _chain(*_SPOOFED, _ONLY_UPLINK, *_HELPERS, _OUT),
    "vn_from_isolated": _chain((_REFUSE, "isolated")),
    # A guest can forge an ICMP error about a connection of others.
    "vn_related": _chain(
        _WITHIN_NETWORK,
        ("ct status dnat accept", "port forwards"),
        ("iifname @vn_closed oifname @vn_bridges drop", "no network has a connection with a nat or isolated one"),
        ("oifname @vn_closed iifname @vn_bridges drop", "no network has a connection with a nat or isolated one"),
        ("iifname vmap @vn_from_guest", "from a guest"),
        ("accept", "from outside"),
    ),
    "vn_forward": _base_chain(
        # Before the chains of other firewalls, at the usual priority: they may match our mark.
        "type filter hook forward priority filter - 10; policy accept;",
        ("ct state established accept", "established flows first"),
        ("ct state related jump vn_related", "errors about connections"),
        ("oifname vmap @vn_to_guest", "to a guest"),
        ("iifname vmap @vn_from_guest", "from a guest"),
    ),
    "vn_host_closed": _chain(
        _NO_CONNECTION, *_not_at("closed"), *_not_at("routed"), *_OWN_NAME_SERVER, _LIMIT, *_SERVED
    ),
    "vn_host_outside": _chain(
        *(
            (f"{ip} daddr @vn_{subnets}{n} {_REFUSE}", f"no service of {subnets} networks")
            for subnets in ("closed", "routed")
            for ip, n in _FAMILIES
        )
    ),
    "vn_host_routed": _chain(*_not_at("closed"), _LIMIT, *_SERVED),
    "vn_input": _base_chain(
        "type filter hook input priority filter - 10; policy accept;",
        ("ct state new,invalid,untracked iifname vmap @vn_to_host", "from a guest to the host"),
        _FROM_OUTSIDE,
    ),
    "vn_output": _base_chain(
        "type filter hook output priority filter; policy accept;",
        # When a network becomes isolated, its connections end. An answer after that would start one, in which the next
        # queries of the guest are replies.
        (
            f"meta l4proto {{ tcp, udp }} th sport {{ 53, {REDIRECTED_DNS} }} ct state new oifname @vn_isolated drop",
            "late answers of other name servers",
        ),
        (f"udp dport {REDIRECTED_DHCP} oifname @vn_redirected udp dport set 67", "answer to a DHCP relay"),
        (f"udp sport {REDIRECTED_DHCP} oifname @vn_redirected udp sport set 67", "DHCP server with a port of its own"),
        # Packets from host to guest have no computed checksum, and old DHCP clients verify it on a raw socket.
        ("udp sport 67 oifname @vn_bridges udp checksum set 0", "DHCP without a checksum rather than a wrong one"),
    ),
    "vn_postrouting": _base_chain(
        "type nat hook postrouting priority srcnat; policy accept;",
        *(
            (f"iifname . {ip} daddr @vn_except{n} accept", "subnets that guests reach without NAT")
            for ip, n in _FAMILIES
        ),
        ("meta nfproto ipv4 iifname vmap @vn_nat4", "networks in mode nat"),
        ("meta nfproto ipv6 iifname vmap @vn_nat6", "networks in mode nat with IPv6"),
    ),
}

# Loaded only where another server holds the usual ports: who asks at a bridge's address gets the network's own. Before
# chains of others at the usual priority, in which Docker redirects the published port of a name server.
_REDIRECT = tuple(
    (
        f"meta l4proto {{ tcp, udp }} th dport 53 {ip} daddr @vn_redirected{n} fib daddr type local "
        f"dnat to :{REDIRECTED_DNS}",
        "name server",
    )
    for ip, n in _FAMILIES
)
_REDIRECT_CHAINS: Mapping[str, Chain] = {
    "vn_redirect": _base_chain("type nat hook prerouting priority dstnat - 1; policy accept;", *_REDIRECT),
    "vn_redirect_host": _base_chain("type nat hook output priority -101; policy accept;", *_REDIRECT),
}

# A guest whose packets come back to it is no other guest. Bridge, source, and the destination after its translation.
_TO_ITSELF = tuple(f"iifname . {ip} saddr . {ip} daddr @vn_own{n}" for ip, n in _FAMILIES)

_FORWARDED = ("ct status dnat goto vn_to_forwarded", "port forwards")

# Loaded only with port forwards: these chains cost time for every new connection to the host.
_FORWARD_CHAINS: Mapping[str, Chain] = {
    "vn_to_forwarded": _chain(
        _WITHIN_NETWORK,
        *((f"{own} goto vn_pass", "a guest's own port forwards") for own in _TO_ITSELF),
        _ISOLATED_GUESTS,
        (f"oifname @vn_uplinked oifname . iifname != @vn_uplinks {_REFUSE}", "only from the uplink"),
        (f"iifname @vn_isolated {_REFUSE}", "isolated"),
        ("goto vn_pass", "port forwards"),
    ),
    "vn_to_closed": _chain(_FORWARDED, *_CHAINS["vn_to_closed"].rules),
    "vn_to_routed": _chain(_FORWARDED, *_CHAINS["vn_to_routed"].rules),
    "vn_to_open": _chain(
        *((f"{own} ct status dnat return", "a guest's own port forwards") for own in _TO_ITSELF),
        _ISOLATED_GUESTS,
        ("ct status dnat return", "port forwards"),
        _FROM_CLOSED,
    ),
    "vn_dnat": _chain(
        ("ip daddr 127.0.0.0/8 return", "not on loopback"),
        ("ip6 daddr ::1 return", "not on loopback"),
        *(
            (f"dnat {ip} to {at}meta l4proto . th dport map @vn_{ports}{n}{suffix}", f"{ports} of {where}")
            for ip, n in _FAMILIES
            for ports in ("port", "ports")
            for at, suffix, where in ((f"{ip} daddr . ", "_at", "one address"), ("", "", "any address"))
        ),
    ),
    "vn_prerouting": _base_chain(
        "type nat hook prerouting priority dstnat; policy accept;",
        ("fib daddr type local goto vn_dnat", "port forwards, from outside and from guests"),
    ),
    "vn_from_host": _base_chain(
        "type nat hook output priority -100; policy accept;",
        ("fib daddr type local goto vn_dnat", "port forwards, from the host itself"),
    ),
    "vn_hairpin": _chain(
        ("oifname . ip saddr @vn_subnets4 masquerade", "else the answer would go past the host"),
        ("oifname . ip6 saddr @vn_subnets6 masquerade", "else the answer would go past the host"),
        ("oifname @vn_isolated masquerade", "its guests have no other way than their own link"),
    ),
    "vn_postrouting": _base_chain(
        _CHAINS["vn_postrouting"].hook,
        ("ct status dnat jump vn_hairpin", "port forwards"),
        *_CHAINS["vn_postrouting"].rules,
    ),
}

# Loaded only where a network has it: the first rule costs each forwarded packet a look at the flags of TCP. Both
# directions, since the answer to the first packet, of an established connection, has an MSS too. The kernel takes the
# smaller MTU of the routes to both ends, and never raises an MSS (nft_rt_get_eval(), nft_exthdr_tcp_set_eval()).
_CLAMP_CHAINS: Mapping[str, Chain] = {
    "vn_mss": _chain(
        ("iifname @vn_clamped tcp option maxseg size set rt mtu", "no more than the route takes, from a guest"),
        ("oifname @vn_clamped tcp option maxseg size set rt mtu", "no more than the route takes, to a guest"),
    ),
    "vn_forward": _base_chain(
        _CHAINS["vn_forward"].hook,
        ("tcp flags syn jump vn_mss", "the first packets of TCP connections"),
        *_CHAINS["vn_forward"].rules,
    ),
}

# The gateway of guests on a bridge without addresses may be a veth in it. With br_netfilter conntrack would track the
# connection as the frame passes the bridge; when it is routed later it would not be new, and skip NAT. The port of DHCP
# is changed outside of conntrack, for which the answer to a client without an address is no reply.
_RAW = _base_chain(
    "type filter hook prerouting priority raw; policy accept;",
    ("iifname @vn_untracked notrack", "frames within a bridge that is no gateway (br_netfilter)"),
    (
        f"udp dport 67 iifname @vn_redirected fib daddr type {{ local, broadcast }} udp dport set {REDIRECTED_DHCP}",
        "DHCP server with a port of its own",
    ),
)


def _nat_chain(nat: Nat) -> Chain:
    ports = f":{nat.ports[0]}-{nat.ports[1]}"
    protocols = ("meta l4proto tcp", "meta l4proto udp")
    rules = [
        ("oifname @vn_bridges return", "not between networks of ours"),
        # With the comparison first, nearly all packets skip the lookup.
        (
            "ip daddr >= 224.0.0.0 ip daddr { 224.0.0.0/24, 255.255.255.255 } return",
            "neither multicast nor broadcast of the link",
        ),
        ("ip6 daddr ff02::/16 return", "no multicast of the link"),
    ]
    if nat.source:
        source = "-".join(dict.fromkeys(nat.source))
        rules += [(f"{protocol} snat ip to {source}{ports}", "out with this source") for protocol in protocols]
        rules.append((f"snat ip to {source}", "everything else"))
    rules += [(f"{protocol} masquerade to {ports}", "out of the privileged ports") for protocol in protocols]
    return _chain(*rules, ("masquerade", "everything else"))


# Sets that are empty on most hosts: a rule that uses one costs each new flow a lookup.
_USUALLY_EMPTY = (
    *("vn_uplinked", "vn_apart", "vn_limited", "vn_nameless", "vn_untracked"),
    *("vn_redirected", "vn_redirected4", "vn_redirected6"),
    *("vn_except4", "vn_except6", "vn_own4", "vn_own6"),
    *map(helper_set, PORTS),
)


def _without_empty_sets(chain: Chain, elements: Elements) -> Chain:
    """The chain without the rules that use one of these sets while it is empty."""
    empty = [f"@{name} " for name in _USUALLY_EMPTY if not elements.get(name)]
    return chain._replace(rules=tuple(rule for rule in chain.rules if not any(name in rule[0] for name in empty)))


def _without_mark(chain: Chain) -> Chain:
    return chain._replace(rules=tuple(rule for rule in chain.rules if not sets_mark(rule[1])))


def sets_mark(comment: str) -> bool:
    """Whether a rule of ours with this comment sets the mark."""
    return comment.startswith(_MARK_COMMENT)


# The chains of policies refer to those of modes, and base chains by a map to those of policies.
_LEVELS = ("vn_opened", "vn_allowed_", "vn_refused_", "vn_policy_")


def _before(chain: Chain, text: str, *rules: Rule) -> Chain:
    """The chain with rules before the first one that has this text."""
    at = next(i for i, rule in enumerate(chain.rules) if text in rule[0])
    return chain._replace(rules=(*chain.rules[:at], *rules, *chain.rules[at:]))


def _level(name: str, referred_to: Collection[str]) -> int:
    """Chains of a lower level precede: nft knows a chain only once it is declared."""
    if name in referred_to:
        return 0
    return next((i for i, start in enumerate(_LEVELS, 2) if name.startswith(start)), 1)


def _add_policies(fixed: dict[str, Chain], elements: Elements) -> None:
    if elements.get("vn_policed"):
        fixed["vn_forward"] = _before(
            fixed["vn_forward"], "@vn_to_guest", ("iifname vmap @vn_policed", "policies of networks")
        )
    if elements.get("vn_policed_host"):
        to_host = ("ct state new,invalid,untracked iifname vmap @vn_policed_host", "policies of networks")
        fixed["vn_input"] = _before(fixed["vn_input"], "jump vn_host_outside", to_host)
    if elements.get("vn_opened"):
        both = ("iifname . oifname", "oifname . iifname")
        fixed["vn_related"] = _before(
            fixed["vn_related"], "@vn_closed", *((f"{way} @vn_opened accept", "networks of a policy") for way in both)
        )
        to_isolated = "iifname . oifname @vn_opened oifname @vn_isolated masquerade"
        fixed["vn_postrouting"] = _before(
            fixed["vn_postrouting"],
            "",
            (to_isolated, "its guests have no other way than their own link"),
        )
    rules = chain_rules(elements, _SPOOFED, _HELPERS)
    fixed.update({name: _chain(*of_chain) for name, of_chain in rules.items()})


def chains(elements: Elements, *, marks: bool = False) -> dict[str, Chain]:
    """The chains of a table with these elements; a chain precedes the chains that refer to it.

    ``marks``: connections get the mark for other firewalls.
    """
    names = {Nat().chain}
    for name in ("vn_nat4", "vn_nat6"):
        names |= {verdict.split()[-1] for verdict in elements.get(name, {}).values()}
    nat = {name: Nat.of_chain(name) for name in sorted(names)}
    # An element that was altered by hand may refer to any name: that is no chain of ours.
    own = {name: _nat_chain(settings) for name, settings in nat.items() if settings.chain == name}
    raw = _without_empty_sets(_RAW, elements)
    if raw.rules:
        own["vn_raw"] = raw
    fixed = dict(_CHAINS)
    if elements.get("vn_redirected4") or elements.get("vn_redirected6"):
        fixed.update(_REDIRECT_CHAINS)
    if any(elements.get(name) for name in FORWARDS):
        fixed.update(_FORWARD_CHAINS)
    if elements.get("vn_clamped"):
        fixed.update(_CLAMP_CHAINS)
    _add_policies(fixed, elements)
    if not marks:
        fixed = {name: _without_mark(chain) for name, chain in fixed.items()}
    referred_to = ("vn_pass", "vn_mss", "vn_to_forwarded", "vn_dnat", "vn_hairpin")
    in_order = sorted(fixed, key=lambda name: _level(name, referred_to))
    return {**own, **{name: _without_empty_sets(fixed[name], elements) for name in in_order}}
