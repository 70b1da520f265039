# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A value and another value for each option of the tables of options, each in a network of its own.

A test brings a network from its ``base`` to ``first`` and ``second`` and back to its base. ``missing()`` names the
options of a table that have no sample: a test fails for them, so that none is forgotten.

In the texts of a sample, ``<n>`` is the number of the network, so that no two of them overlap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.core.fields import table

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """Options beside those that every network has; ``types``: of the bridges that have the option."""

    first: Values
    second: Values
    base: Values = field(default_factory=dict)
    types: tuple[str, ...] = ("linux", "openvswitch")


_V4, _V6 = "10.0.<n>.1/24", "fd00:<n>::1/64"
_LINUX, _OVS = ("linux",), ("openvswitch",)


def _values(name: str, first: Any, second: Any, **more: Any) -> Sample:
    return Sample({name: first}, {name: second}, **more)


def _items(name: str, item: Values, first: Values, second: Values, **more: Any) -> Sample:
    """A list of one item, with an option of the item that is absent, given and changed."""
    base = {**more.pop("base", {}), name: [item]}
    return Sample({name: [{**item, **first}]}, {name: [{**item, **second}]}, base, **more)


_LIMIT = {"average": 1000}
_ROUTE = {"to": "10.9.<n>.0/24", "via": "10.0.<n>.7"}
_SECURED = {"level": "gateway"}
_STP = {"stp": True, "forward_delay": 4}


def _bandwidth(direction: str, name: str, first: int, second: int) -> Sample:
    limits = [{"bandwidth": {direction: {**_LIMIT, name: value}}} for value in (first, second)]
    return Sample(*limits, base={} if name == "average" else {"bandwidth": {direction: _LIMIT}})


# Of the module bridge: every bridge has the name vn-<n>, the address 10.0.<n>.1/24, a guest's port tap-<n>, and an
# interface eth-<n> beside it.
BRIDGE: dict[str, Sample] = {
    "mac": _values("mac", "52:54:00:00:01:02", "52:54:00:00:01:03"),
    "mtu": _values("mtu", 1400, 1300),
    "mtu that IPv6 cannot have": _values("mtu", 1000, 1200, types=_LINUX),
    "mtu larger than that of the ports": _values("mtu", 9000, 4000),
    "mtu as the kernel has it": _values("mtu", 1500, 1400),
    "stp": _values("stp", True, False, types=_LINUX),
    "stp of Open vSwitch": Sample(_STP, {**_STP, "forward_delay": 5}, types=_OVS),
    "forward_delay": _values("forward_delay", 3, 7, types=_LINUX),
    "forward_delay with stp": Sample({"forward_delay": 9}, {"forward_delay": 4}, {"stp": True}),
    "rstp": Sample({"rstp": True, "forward_delay": 9}, {"rstp": True, "forward_delay": 4}, types=_OVS),
    "fail_mode": _values("fail_mode", "secure", "standalone", types=_OVS),
    "vlans": _values(
        "vlans",
        [{"port": "vn-<n>", "tag": 7}, {"port": "tap-<n>", "tag": 7}],
        [{"port": "tap-<n>", "tag": 8, "trunks": [8, 9], "mode": "native-tagged"}],
        types=_OVS,
    ),
    "ports": _values("ports", ["eth-<n>"], ["eth-<n>", "wan-<n>"]),
    "ports one after the other": _values("ports", ["eth-<n>"], ["wan-<n>"]),
    "fdb_max_learned": _values("fdb_max_learned", 100, 200),
    "fdb_max_learned without a limit": _values("fdb_max_learned", 0, 200, types=_LINUX),
    "multicast_snooping": _values("multicast_snooping", False, True, types=_LINUX),
    "hairpin": _values("hairpin", True, False, types=_LINUX),
    "addresses": _values("addresses", [_V4, "10.1.<n>.1/24"], [_V4, _V6]),
    "addresses of IPv6": _values("addresses", [_V4, _V6], [_V4, "fd00:<n>::1/96", "fd01:<n>::1/64"]),
    "addresses in one subnet": _values("addresses", ["10.0.<n>.2/24", _V4], ["10.0.<n>.1/25"]),
    "routes": _values("routes", [_ROUTE], [{**_ROUTE, "via": "10.0.<n>.8"}]),
    "routes[].to": _values("routes", [_ROUTE], [{**_ROUTE, "to": "10.8.<n>.0/24"}]),
    "routes[].via": _values("routes", [_ROUTE], [{**_ROUTE, "via": "10.0.<n>.9"}]),
    "routes[].metric": _items("routes", _ROUTE, {"metric": 3}, {"metric": 50}),
    "isolate_guests": _values("isolate_guests", True, False),
    "isolate_guests with a port of the host": Sample(
        {"isolate_guests": True, "ports": ["eth-<n>"]}, {"isolate_guests": True, "ports": ["wan-<n>"]}
    ),
    "port_security.level": Sample(
        {"port_security": {"level": "gateway"}}, {"port_security": {"level": "off"}}, types=_LINUX
    ),
    **{
        f"port_security.{name}": Sample(
            *({"port_security": {**_SECURED, name: [value]}} for value in values), {"port_security": _SECURED}, _LINUX
        )
        for name, values in {
            "trusted_ports": ("tap-<n>", "other-<n>"),
            "trusted_macs": ("52:54:00:00:00:07", "52:54:00:00:00:08"),
        }.items()
    },
    "bandwidth.inbound": _bandwidth("inbound", "average", 1000, 2000),
    "bandwidth.outbound": _bandwidth("outbound", "average", 1000, 2000),
    **{
        f"bandwidth.{direction}.{name}": _bandwidth(direction, name, 3000, 4000)
        for direction in ("inbound", "outbound")
        for name in ("peak", "burst")
    },
}  # fmt: skip
# What identifies a bridge, and what tests/kernel/test_uplink.py takes away again with a connection through it.
# "forwarding" is switched on for networks that are not isolated, and stays until the bridge goes: rules decide then.
NOT_OF_BRIDGE = {"name", "type", "state", "enslave_uplink", "confirm_within", "forwarding"}

_FORWARD = {"port": 8080, "address": "203.0.113.<n>", "to": "10.0.<n>.10", "to_port": 80}
_ENTRY = {"to": "203.0.113.0/24", "protocol": "tcp", "port": 443}
_POLICY = {"default": "deny", "deny": [{"protocol": "udp", "port": 53}]}
_ISOLATED, _ROUTED = {"mode": "isolated"}, {"mode": "routed"}

# Of the module nft_nat: every network has the name n<n>, the bridge vn-<n>, the subnet 10.0.<n>.0/24 and mode nat.
RULES: dict[str, Sample] = {
    "bridge": _values("bridge", "vn-<n>-a", "vn-<n>-b"),
    "mode": Sample(_ROUTED, _ISOLATED),
    "mode open": Sample({"mode": "open"}, _ROUTED),
    "uplink": _values("uplink", "eth-<n>", "wan-<n>"),
    "uplinks": _values("uplink", ["eth-<n>", "wan-<n>"], ["wan-<n>"]),
    "subnets": _values("subnets", ["10.0.<n>.0/24", "10.1.<n>.0/24"], ["10.0.<n>.0/24", "fd00:<n>::/64"]),
    "nat.ipv6": Sample(
        {"nat": {"ipv6": False}}, {"nat": {"ipv6": True}}, {"subnets": ["10.0.<n>.0/24", "fd00:<n>::/64"]}
    ),
    "nat.source": _values(
        "nat", {"source": {"start": "203.0.113.<n>"}}, {"source": {"start": "203.0.113.<n>", "end": "203.0.113.250"}}
    ),
    "nat.except": _values("nat", {"except": ["10.8.0.0/16"]}, {"except": ["10.8.0.0/15", "fd08::/64"]}),
    "nat.ports": _values("nat", {"ports": {"start": 2000, "end": 3000}}, {"ports": {"start": 4000, "end": 5000}}),
    "port_forwards": _values("port_forwards", [_FORWARD], [{**_FORWARD, "to_port": 81, "protocol": "udp"}]),
    "port_forwards of a range": _values(
        "port_forwards",
        [{"port_range": {"start": 8000, "end": 8010}, "address": "203.0.113.<n>", "to": "10.0.<n>.10"}],
        [{"port_range": {"start": 8005, "end": 8020}, "address": "203.0.113.<n>", "to": "10.0.<n>.11"}],
    ),
    "port_forwards of an isolated network": _values(
        "port_forwards", [_FORWARD], [{**_FORWARD, "to_port": 81}], base=_ISOLATED
    ),
    "isolate_guests": _values("isolate_guests", True, False),
    "connection_rate": _values("connection_rate", 7, 0),
    "clamp_mss": _values("clamp_mss", False, True),
    "conntrack_helpers": _values("conntrack_helpers", ["ftp"], ["tftp", "sip"]),
    "dns": Sample({"dns": False}, {"dns": True}, _ISOLATED),
    "redirect_dns": _values("redirect_dns", ["10.0.<n>.1"], ["10.0.<n>.1", "fd00:<n>::1"]),
    "redirect_dhcp": _values("redirect_dhcp", True, False),
    **{
        f"policy.{name}": Sample({"policy": {**_POLICY, name: first}}, {"policy": {**_POLICY, name: second}})
        for name, first, second in (
            ("default", "deny", "allow"), ("to_host", "services", ["dns", {"protocol": "tcp", "port": 9100}]),
            ("log", True, False), ("allow", [_ENTRY], []), ("deny", [_ENTRY], [{"protocol": "icmp"}]),
        )
    },
    **{
        f"policy.to_host.{name}": Sample(
            *({"policy": {"to_host": [{"protocol": "tcp", "port": 9100, name: value}]}} for value in values),
            {"policy": {"to_host": ["dns"]}},
        )
        for name, values in (("protocol", ("tcp", "sctp")), ("port", (9101, "9200-9210")))
    },
    **{
        f"policy.{kind}[].{name}": Sample(
            *({"policy": {**_POLICY, kind: [{**_ENTRY, name: value}]}} for value in values),
            {"policy": {**_POLICY, kind: [_ENTRY]}},
        )
        for kind in ("allow", "deny")
        for name, values in (
            ("from", ("10.0.<n>.7", "10.0.<n>.64/26")), ("to", ("203.0.113.9", "198.51.100.0/24")),
            ("protocol", ("udp", "sctp")), ("port", (80, "8000-8010")),
        )
    },
}  # fmt: skip
# An entry for another network, see tests/kernel/test_policies.py.
NOT_OF_RULES = {"name", "policy.allow[].network", "policy.deny[].network"}

_HOST = {"mac": "52:54:00:00:00:02", "ip": "10.0.<n>.10"}
_HOST6 = {"mac": "52:54:00:00:00:02", "ip": "fd00:<n>::10"}
_RANGE = {"start": "10.0.<n>.100", "end": "10.0.<n>.200"}
_RANGE6 = {"start": "fd00:<n>::100", "end": "fd00:<n>::200"}
_SRV = {"service": "ldap", "protocol": "tcp", "domain": "lab<n>.test", "target": "printer", "port": 389}


def _names(first: Values, second: Values, base: Values | None = None) -> Sample:
    return Sample({"names": first}, {"names": second}, {} if base is None else {"names": base})


def _record(name: str, item: Values, first: Values, second: Values) -> Sample:
    return _names({name: [{**item, **first}]}, {name: [{**item, **second}]}, {name: [item]})


def _ipv6(first: Values, second: Values, base: Values | None = None) -> Sample:
    address = {"address": _V6}
    return Sample(
        {"ipv6": {**address, **first}}, {"ipv6": {**address, **second}}, {"ipv6": {**address, **(base or {})}}
    )


def _of_hosts(name: str, sample: Values, ipv6: bool) -> dict[str, Sample]:
    """The options of each static host."""
    by_id = {"id": "01:52:54:00:00:00:03", "ip": sample["ip"]}
    changes: Mapping[str, tuple[Values, Values, Values]] = {
        "mac": (sample, {"mac": "52:54:00:00:00:04"}, {"mac": "52:54:00:00:00:05"}),
        "id": (by_id, {"id": "01:52:54:00:00:00:04"}, {"id": "01:52:54:00:00:00:05"}),
        "name": (sample, {"name": "web"}, {"name": "db"}),
        "ip": (sample, {"ip": sample["ip"][:-2] + "11"}, {"ip": sample["ip"][:-2] + "12"}),
        "lease_time": (sample, {"lease_time": "2h"}, {"lease_time": "3h"}),
    }
    samples = {}
    if not ipv6:
        macs = ["52:54:00:00:00:04", "52:54:00:00:00:05"]
        changes = {**changes, "mac of two interfaces": (sample, {"mac": macs}, {"mac": macs[:1]})}
    for option, (item, first, second) in changes.items():
        lists = [[{**item, **first}], [{**item, **second}], [item]]
        key = f"{name}[].{option}"
        if ipv6:
            samples[key] = _ipv6(*({"ranges": [_RANGE6], "hosts": hosts} for hosts in lists))
        else:
            samples[key] = Sample(*({"hosts": hosts} for hosts in lists))
    return samples


# Of the module dnsmasq_fragment: every network has the name n<n>, the interface vn-<n>, the address 10.0.<n>.1/24, a
# range and the domain lab<n>.test.
FRAGMENT: dict[str, Sample] = {
    "instance": _values("instance", "private", "auto"),
    "interface": _values("interface", "vn-<n>-a", "vn-<n>-b"),
    "address": _values("address", "10.0.<n>.2/24", "10.0.<n>.3/24"),
    "ranges": _values("ranges", [_RANGE], [{**_RANGE, "end": "10.0.<n>.210"}]),
    "ranges[].start": _items("ranges", _RANGE, {"start": "10.0.<n>.90"}, {"start": "10.0.<n>.91"}),
    "ranges[].end": _items("ranges", _RANGE, {"end": "10.0.<n>.220"}, {"end": "10.0.<n>.221"}),
    "ranges[].lease_time": _items("ranges", _RANGE, {"lease_time": "2h"}, {"lease_time": "3h"}),
    "hosts": _values("hosts", [_HOST], [{**_HOST, "ip": "10.0.<n>.11"}]),
    **_of_hosts("hosts", _HOST, ipv6=False),
    "ignore_client_ids": _values("ignore_client_ids", True, False),
    "options": _values("options", {"ntp-server": "10.0.<n>.1"}, {"ntp-server": "10.0.<n>.2", "224": "some text"}),
    "options of static routes": _values(
        "options", {"121": "10.9.0.0/16,10.0.<n>.9"}, {"121": "10.9.0.0/16,10.0.<n>.9", "3": ""}
    ),
    "options without a proxy": _values("options", {"252": "\n"}, {"252": "http://wpad/wpad.dat"}),
    "boot": _values("boot", {"file": "pxe.0"}, {"file": "ipxe.efi"}),
    "boot.file": _values("boot", {"file": "a.0"}, {"file": "b.0"}, base={"boot": {"file": "pxe.0"}}),
    "boot.server": Sample(
        {"boot": {"file": "pxe.0", "server": "10.0.<n>.5"}},
        {"boot": {"file": "pxe.0", "server": "10.0.<n>.6"}},
        {"boot": {"file": "pxe.0"}},
    ),
    "boot of architectures": _values(
        "boot", [{"arch": "x86_64-uefi", "file": "a.efi"}, {"file": "b.0"}], [{"ipxe": True, "file": "a.ipxe"}]
    ),
    "boot.arch": _items("boot", {"file": "a.efi"}, {"arch": "x86_64-uefi"}, {"arch": "9000"}),
    "boot.ipxe": _items("boot", {"file": "a.efi"}, {"ipxe": True}, {"ipxe": False}),
    "tftp_root": _values("tftp_root", "/srv/tftp", "/srv/other"),
    "ipv6": _values("ipv6", {"address": _V6}, {"address": "fd01:<n>::1/64"}),
    "ipv6.address": _ipv6({"address": "fd01:<n>::1/64"}, {"address": "fd02:<n>::1/64"}),
    "ipv6.ra": _ipv6({"ra": False}, {"ra": True}),
    **{
        f"ipv6.ra_param.{name}": _ipv6({"ra_param": {name: first}}, {"ra_param": {name: second}})
        for name, first, second in (
            ("preference", "high", "low"), ("interval", 60, 90), ("lifetime", 1200, 0), ("mtu", 1400, 1300)
        )
    },
    "ipv6.ra_names": _ipv6({"ra_names": False}, {"ra_names": True}),
    "ipv6.slaac": _ipv6(
        {"ranges": [_RANGE6], "slaac": False}, {"ranges": [_RANGE6], "slaac": True}, {"ranges": [_RANGE6]}
    ),
    "ipv6.deprecated": _ipv6({"deprecated": ["fd01:<n>::/64"]}, {"deprecated": ["fd02:<n>::/64"]}),
    "ipv6.stateless": _ipv6({"stateless": True}, {"stateless": False}),
    "ipv6.ranges": _ipv6({"ranges": [_RANGE6]}, {"ranges": [{**_RANGE6, "end": "fd00:<n>::210"}]}),
    **{
        f"ipv6.ranges[].{name}": _ipv6(
            {"ranges": [{**_RANGE6, name: first}]}, {"ranges": [{**_RANGE6, name: second}]}, {"ranges": [_RANGE6]}
        )
        for name, first, second in (
            ("start", "fd00:<n>::90", "fd00:<n>::91"),
            ("end", "fd00:<n>::220", "fd00:<n>::221"),
            ("lease_time", "2h", "3h"),
        )
    },
    "ipv6.hosts": _ipv6({"hosts": [_HOST6], "ranges": [_RANGE6]}, {"ranges": [_RANGE6]}),
    **_of_hosts("ipv6.hosts", _HOST6, ipv6=True),
    "ipv6.options": _ipv6(
        {"stateless": True, "options": {"dns-server": "fd00:<n>::1"}},
        {"stateless": True, "options": {"ntp-server": "fd00:<n>::1"}},
        {"stateless": True},
    ),
    "domain": _values("domain", "other<n>.test", "third<n>.test"),
    "no domain": _values("domain", "", "third<n>.test"),
    "local_only": _values("local_only", False, True),
    "router": _values("router", False, True),
    "dns": _values("dns", False, True),
    "names.hosts": _names(
        {"hosts": [{"ip": "10.0.<n>.60", "names": ["printer"]}]},
        {"hosts": [{"ip": "10.0.<n>.61", "names": ["scanner"]}]},
    ),
    **{
        f"names.hosts[].{name}": _record("hosts", {"ip": "10.0.<n>.60", "names": ["printer"]}, {name: a}, {name: b})
        for name, a, b in (("ip", "10.0.<n>.61", "10.0.<n>.62"), ("names", ["a"], ["a", "b"]))
    },
    "names.srv": _names({"srv": [_SRV]}, {"srv": [{**_SRV, "port": 636}]}),
    **{
        f"names.srv[].{name}": _record("srv", _SRV, {name: first}, {name: second})
        for name, first, second in (
            ("service", "a", "b"), ("protocol", "udp", "sctp"), ("domain", "a.lab<n>.test", "b.lab<n>.test"),
            ("target", "a", "b"), ("port", 1, 2), ("priority", 1, 2), ("weight", 1, 2),
        )
    },
    "names.txt": _names({"txt": [{"name": "note", "value": ["a"]}]}, {"txt": [{"name": "note", "value": ["b"]}]}),
    **{
        f"names.txt[].{name}": _record("txt", {"name": "note", "value": ["a"]}, {name: first}, {name: second})
        for name, first, second in (("name", "a", "b"), ("value", ["b"], ["b", "c"]))
    },
    "names.cname": _names(
        {"cname": [{"name": "alias", "target": "printer"}]}, {"cname": [{"name": "alias", "target": "web"}]}
    ),
    **{
        f"names.cname[].{name}": _record("cname", {"name": "alias", "target": "printer"}, {name: "a"}, {name: "b"})
        for name in ("name", "target")
    },
    "names.wildcards": _names(
        {"wildcards": [{"name": "*.apps", "ip": ["10.0.<n>.60"]}]},
        {"wildcards": [{"name": "*.apps", "ip": ["10.0.<n>.60", "fd00:<n>::60"]}]},
    ),
    **{
        f"names.wildcards[].{name}": _record("wildcards", {"name": "*.a", "ip": ["10.0.<n>.60"]}, {name: a}, {name: b})
        for name, a, b in (("name", "*.b", "c"), ("ip", "10.0.<n>.61", "10.0.<n>.62"))
    },
    "names.forwarders": _names(
        {"forwarders": [{"address": "203.0.113.54"}]}, {"forwarders": [{"address": "203.0.113.55"}]}
    ),
    "names.forwarders[].domain": _record(
        "forwarders", {"address": "203.0.113.54"}, {"domain": "corp<n>.test"}, {"domain": "dept<n>.test"}
    ),
    "names.forwarders[].address": _record(
        "forwarders", {"domain": "corp<n>.test"}, {"address": "203.0.113.54"}, {"address": "203.0.113.55"}
    ),
    "names.forwarders[].port": _record(
        "forwarders", {"domain": "corp<n>.test", "address": "203.0.113.54"}, {"port": 5353}, {"port": 5354}
    ),
    "names.forwarders of one domain": _names(
        {"forwarders": [{"domain": "corp<n>.test", "address": f"203.0.113.{n}"} for n in (54, 55)]},
        {"forwarders": [{"domain": "corp<n>.test", "address": f"203.0.113.{n}"} for n in (55, 54)]},
    ),
    "names.forward_plain_names": _names({"forward_plain_names": True}, {"forward_plain_names": False}),
    "names.ttl": _names({"ttl": 60}, {"ttl": 90}),
    "names.local_ptr": _names({"local_ptr": False}, {"local_ptr": True}),
    "upstream": _values("upstream", False, True),
    "raw": _values("raw", ["dhcp-ignore=tag:!known"], ["log-dhcp"]),
    "redirect": Sample({"redirect": True}, {"redirect": False}, {"instance": "private"}),
}  # fmt: skip
NOT_OF_FRAGMENT = {"name", "state"}

# Of the module resolvconf_entry: every entry has the interface vn-<n>, an address, a domain and a subnet.
ENTRY: dict[str, Sample] = {
    "addresses": _values("addresses", ["10.0.<n>.2"], ["10.0.<n>.3", "10.0.<n>.4"]),
    "domain": _values("domain", "other<n>.test", "third<n>.test"),
    "no domain": _values("domain", "", "third<n>.test"),
    "subnets": _values("subnets", ["10.1.<n>.0/24"], ["10.0.<n>.0/24", "fd00:<n>::/64"]),
    "loopback_serves": _values("loopback_serves", True, False),
    "forwards": _values("forwards", False, True),
    "asked": _values("asked", False, True),
}
NOT_OF_ENTRY = {"interface", "state", "provider"}


# Groups whose samples change several of their options at once.
_AS_A_WHOLE = ("nat.source", "nat.ports", "port_forwards", "vlans", "bridge.vlans", "bandwidth.inbound",
               "bandwidth.outbound", "libvirt.portgroups", "libvirt.virtualport", "libvirt.vlan")  # fmt: skip


def option_paths(cls: Any, path: str = "") -> Iterator[str]:
    """Every option of a table, with those of the groups in it."""
    for entry in table(cls):
        place = f"{path}{entry.name}"
        inner = None if place in _AS_A_WHOLE else entry.kind.table
        if inner is None or entry.kind.type == "list":
            yield place
        if inner is not None:
            yield from option_paths(inner, f"{place}[]." if entry.kind.type == "list" else f"{place}.")


def missing(cls: Any, samples: Mapping[str, Sample], excluded: set[str]) -> list[str]:
    """The options of a table without a sample."""
    return sorted(set(option_paths(cls)) - set(samples) - excluded)


def numbered(values: Any, number: int) -> Any:
    """Options of the network with this number."""
    return json.loads(json.dumps(values).replace("<n>", str(number)))
