# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A value and another value for each option of a network.

Most are those of the parts of a network, see option_samples.py, at their places in an item of ``virtnet_networks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .option_samples import BRIDGE, FRAGMENT, NOT_OF_RULES, RULES, Sample, Values, numbered

ADDRESS = {"address": "10.0.1.1/24"}
_ADDRESS6 = {"address": "fd00:1::1/64"}
_TAG, _PORTGROUP = {"tags": [{"id": 5}]}, {"name": "dmz", "vlan": {"tags": [{"id": 7}]}}

# Options of a part that a network has at another place, or that follow from its other options.
_OF_NETWORK = {"routes", "isolate_guests", "bandwidth", "port_security"}
_DERIVED = {
    "bridge": {"addresses", "port_security.trusted_macs"},
    "rules": {"bridge", "subnets", "dns", "redirect_dns", "redirect_dhcp"},
    "fragment": {"interface", "address", "router", "dns", "upstream"},
}
_OF_DHCP = {"ranges", "hosts", "options", "boot", "tftp_root", "ignore_client_ids"}
_OF_DNSMASQ = {"instance": "instance", "redirect": "redirect", "raw": "options"}
_OF_IPV6 = {"address", "ra", "ra_names", "ra_param", "slaac", "deprecated"}


def _top(option: str) -> str:
    """The first name of an option's path, or of the label of a sample."""
    return option.split(".")[0].split("[")[0].split(" ")[0]


def _place(part: str, option: str) -> str:
    """The place of a part's option in a network."""
    top, _dot, inside = option.partition(".")
    name = _top(option)
    if part == "rules" or name in _OF_NETWORK:
        return option
    if part == "bridge":
        return f"bridge.{option}"
    if top == "names":
        return f"dns.{inside}"
    if name == "ipv6":
        return option if not inside or _top(inside) in _OF_IPV6 else f"ipv6.dhcp.{inside}"
    if name in _OF_DHCP:
        return f"ipv4.dhcp.{option}"
    return f"dnsmasq.{_OF_DNSMASQ[name]}" if name in _OF_DNSMASQ else f"dns.{option}"


def _at_their_places(part: str, values: Values) -> dict[str, Any]:
    """The options of a part as options of a network."""
    options: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("ipv6", "names"):
            places = {_place(part, f"{name}.{inner}"): item for inner, item in value.items()}
        else:
            places = {_place(part, name): value}
        for place, item in places.items():
            *groups, last = place.split(".")
            group = options
            for inner in groups:
                group = group.setdefault(inner, {})
            group[last] = item
    if "dhcp" in options.get("ipv6", {}):
        options["ipv6"]["dhcp"]["enabled"] = True
    return options


def _of_part(part: str, samples: Mapping[str, Sample]) -> dict[str, Sample]:
    def sample(one: Sample) -> Sample:
        return Sample(*(_at_their_places(part, values) for values in (one.first, one.second, one.base)), one.types)

    return {
        _place(part, label): sample(one) for label, one in samples.items() if not {_top(label), label} & _DERIVED[part]
    }


def _values(option: str, first: Any, second: Any, base: Values | None = None) -> Sample:
    def at(value: Any) -> Any:
        for name in reversed(option.split(".")):
            value = {name: value}
        return value

    return Sample(at(first), at(second), base or {})


NETWORK: dict[str, Sample] = {
    **_of_part("bridge", BRIDGE),
    **_of_part("rules", RULES),
    **_of_part("fragment", FRAGMENT),
    "uuid": _values("uuid", "7b0cbfb2-6a3e-4d4c-9d57-3c1f5c9a6e01", "7b0cbfb2-6a3e-4d4c-9d57-3c1f5c9a6e02"),
    **{name: _values(name, "one", "two") for name in ("title", "description")},
    "state": _values("state", "inactive", "active"),
    **{name: _values(name, False, True) for name in ("autostart", "persistent")},
    "bridge.name": _values("bridge.name", "br-a", "br-b"),
    "bridge.type": _values("bridge.type", "openvswitch", "linux"),
    "bridge.zone": _values("bridge.zone", "dmz", "work"),
    "bridge.enslave_uplink": Sample(
        {"bridge": {"ports": ["eth1"], "enslave_uplink": True}},
        {"bridge": {"ports": ["eth1"], "enslave_uplink": False}},
        {"mode": "open", "ipv4": {"address": "none"}, "bridge": {"ports": ["eth1"]}},
    ),
    "bridge.confirm_within": Sample(
        *({"bridge": {"ports": ["eth1"], "enslave_uplink": True, "confirm_within": time}} for time in (7, 8)),
        {"mode": "open", "ipv4": {"address": "none"}, "bridge": {"ports": ["eth1"], "enslave_uplink": True}},
    ),
    "ipv4.address": _values("ipv4.address", "10.0.2.1/24", "10.0.3.1/24"),
    "ipv4.dhcp.enabled": _values("ipv4.dhcp.enabled", False, True, {"ipv4": {**ADDRESS, "dhcp": {}}}),
    "ipv4.dhcp.lease_time": _values("ipv4.dhcp.lease_time", "2h", "3h"),
    "ipv6.address": _values("ipv6.address", "fd00:1::1/64", "fd00:2::1/64"),
    "ipv6.dhcp.enabled": _values("ipv6.dhcp.enabled", True, False, {"ipv6": _ADDRESS6}),
    "ipv6.deprecated": _values(
        "ipv6.deprecated",
        ["fd01:1::/64"],
        ["fd02:1::/64"],
        {"ipv6": _ADDRESS6, "extra_addresses": ["fd01:1::1/64", "fd02:1::1/64"]},
    ),
    "port_security.trusted_hosts": Sample(
        *({"port_security": {"level": "gateway", "trusted_hosts": [f"52:54:00:00:00:0{i}"]}} for i in (7, 8)),
        {"port_security": {"level": "gateway"}},
    ),
    "extra_addresses": _values("extra_addresses", ["10.1.0.1/24"], ["10.2.0.1/24"]),
    "nat.ipv6": _values("nat.ipv6", False, True, {"ipv6": _ADDRESS6}),
    "dns.enabled": _values("dns.enabled", False, True),
    "dns.no domain": _values("dns.domain", "", "third.test", {"dns": {"domain": "lab.test"}}),
    "dns.host_resolver": _values("dns.host_resolver", False, True, {"mode": "isolated"}),
    "libvirt.register": _values("libvirt.register", False, "auto"),
    "libvirt.portgroups": _values("libvirt.portgroups", [{"name": "a"}], [{"name": "b"}]),
    "libvirt.metadata": _values("libvirt.metadata", '<a xmlns="urn:x"/>', '<a xmlns="urn:y"/>'),
    "libvirt.virtualport": Sample(
        *({"libvirt": {"virtualport": {"type": "openvswitch", "parameters": {"profileid": name}}}} for name in "ab"),
        {"bridge": {"type": "openvswitch"}},
    ),
    "libvirt.vlan": _values("libvirt.vlan", _TAG, {"tags": [{"id": 6}]}, {"bridge": {"type": "openvswitch"}}),
    "libvirt.trust_guest_rx_filters": _values("libvirt.trust_guest_rx_filters", True, False),
}
# What names a network; what a definition has after a free subnet was chosen; and networks of libvirt's own, which have
# none of the parts (tests/unit/libvirt/test_managed.py); and what the guard does (tests/kernel/test_ndp_proxy.py).
NOT_OF_NETWORK = {"name", "ipv4.auto", "ipv6.auto", "ipv6.ndp_proxy", "managed_by", "restart", "xml"} | NOT_OF_RULES


def options_of(label: str, stage: str) -> dict[str, Any]:
    """The options of the network of a sample at a stage: ``base``, ``first`` or ``second``."""
    sample = NETWORK[label]
    options: dict[str, Any] = {"name": "n1", "bridge": {"name": "vn-1"}, "ipv4": ADDRESS}
    kind = sample.types[0]
    if kind != "linux":
        options["bridge"] = {**options["bridge"], "type": kind}
    for values in (sample.base, {} if stage == "base" else getattr(sample, stage)):
        options = _merged(options, numbered(values, 1))
    return options


def _merged(options: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**options}
    for name, value in more.items():
        before = merged.get(name)
        merged[name] = _merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged
