# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the subnets that are in use: addresses, routes, servers, and networks of others that are not started."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from ..core.command import find, ip_json, run
from ..core.connection import connection_peer
from ..core.files import read_text
from ..core.untrusted import LARGEST_RESOLV_CONF, UnusableFile, read_untrusted_text
from .subnets import DOWN, MIDDLE, UP, SubnetInUse

# A route with a shorter prefix leads to everywhere (a default route, or the two halves that a VPN sets).
SHORTEST_ROUTE = 8

_OTHER_ROUTE_TYPES = ("local", "broadcast", "multicast", "anycast")

_RESOLVERS = ("etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/resolv.conf")
_LIBVIRT = ("etc/libvirt/qemu/networks", "run/libvirt/network")
_PODMAN = ("etc/containers/networks", "etc/cni/net.d")
# containers.conf(5): default_subnet. This network exists from the first use of podman, and is in no file.
_PODMAN_DEFAULT = "10.88.0.0/16"


def read_kernel_subnets(*, ipv6: bool = False) -> list[SubnetInUse]:
    """The subnets that the kernel knows: the addresses of the host, its routes in all tables, its gateways."""
    if find("ip") is None:
        return []
    subnets: list[SubnetInUse] = []
    for family in ("-4", "-6") if ipv6 else ("-4",):
        subnets += parse_addresses(ip_json([family, "-j", "address", "show"]))
        subnets += parse_routes(ip_json([family, "-j", "route", "show", "table", "all"]))
    return subnets


def read_subnets_in_use(
    root: str, environment: Mapping[str, str], own: Iterable[str] = (), *, ipv6: bool = False
) -> list[SubnetInUse]:
    """All subnets that a new network must not overlap; ``own``: name servers that are our networks'."""
    subnets = read_kernel_subnets(ipv6=ipv6)
    subnets += _servers(root, own)
    subnets += _single(connection_peer(environment), "the other end of this SSH connection")
    for name, text in _files(root, _LIBVIRT, ".xml"):
        subnets += parse_libvirt(text, name)
    for name, text in _files(root, _PODMAN, ".json", ".conflist"):
        subnets += parse_podman(text, name)
    if find("podman") is not None:
        subnets += _cidr(_PODMAN_DEFAULT, "podman's default network")
    subnets += _cidr(str(_docker(root).get("bip", "")), "docker's default network", "docker0")
    return subnets


def read_avoided_subnets(root: str) -> list[SubnetInUse]:
    """Subnets that other programs may use later: better avoided, but not in use yet."""
    return [
        subnet
        for pool in _docker(root).get("default-address-pools") or ()
        if isinstance(pool, dict)
        for subnet in _cidr(str(pool.get("base", "")), "a pool of docker's", avoid_only=True)
    ]


def read_order() -> str:
    """Where in a pool this host starts, depending on what it runs on (systemd-detect-virt(1))."""
    if find("systemd-detect-virt") is None:
        return DOWN
    for flag, order in (("--container", MIDDLE), ("--vm", UP)):
        if run(["systemd-detect-virt", "--quiet", flag], check=False).code == 0:
            return order
    return DOWN


def parse_addresses(links: Iterable[Mapping[str, Any]]) -> Iterator[SubnetInUse]:
    """The subnets in the output of ``ip -j address show`` for one family."""
    for link in links:
        name = str(link.get("ifname", ""))
        for address in link.get("addr_info", ()):
            if "local" in address:
                cidr = ipaddress.ip_interface(f"{address['local']}/{address['prefixlen']}")
                if cidr.version == 6 and cidr.is_link_local:
                    continue
                yield SubnetInUse(cidr.network, f"the address {cidr} of {name}", name)
                # The other end of a point-to-point link (ip-address(8): peer).
                if address.get("address"):
                    peer = ipaddress.ip_interface(f"{address['address']}/{address['prefixlen']}").network
                    yield SubnetInUse(peer, f"the other end {peer} of {name}", name)


def parse_routes(routes: Iterable[Mapping[str, Any]]) -> Iterator[SubnetInUse]:
    """The subnets in the output of ``ip -j route show table all`` for one family; by a gateway: avoid_only."""
    for route in routes:
        gateways = [str(hop["gateway"]) for hop in (route, *route.get("nexthops", ())) if "gateway" in hop]
        interface = str(route.get("dev", ""))
        if route.get("type") in _OTHER_ROUTE_TYPES:
            continue
        if route.get("dst") == "default":
            for gateway in gateways:
                yield from _single(gateway, "the default gateway", interface)
            continue
        network = ipaddress.ip_network(str(route["dst"]))
        if network.version == 6 and (network.is_link_local or network.is_multicast):
            continue
        if network.prefixlen >= SHORTEST_ROUTE:
            where = f" on {interface}" if interface else ""
            avoid_only = bool(gateways) or "via" in route or not interface
            yield SubnetInUse(network, f"the route {network}{where}", interface, avoid_only)


def _single(text: str, used_by: str, interface: str = "") -> Iterator[SubnetInUse]:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(text)
        if not (address.is_loopback or address.is_unspecified or address.is_link_local):
            yield SubnetInUse(ipaddress.ip_network(address), f"{used_by} {address}", interface)


def _cidr(text: str, used_by: str, interface: str = "", avoid_only: bool = False) -> Iterator[SubnetInUse]:
    with contextlib.suppress(ValueError):
        network = ipaddress.IPv4Network(text, strict=False)
        yield SubnetInUse(network, f"{used_by} ({network})", interface, avoid_only)


def _servers(root: str, own: Iterable[str]) -> Iterator[SubnetInUse]:
    seen = set(own)
    for name in _RESOLVERS:
        text = None
        # The file of systemd-resolved is in a folder that its user can write.
        with contextlib.suppress(UnusableFile):
            text = read_untrusted_text(os.path.join(root, name), LARGEST_RESOLV_CONF)
        for line in (text or "").splitlines():
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1 and words[1] not in seen:
                seen.add(words[1])
                yield from _single(words[1], "the name server")


def _files(root: str, folders: Iterable[str], *endings: str) -> Iterator[tuple[str, str]]:
    """The files of some folders: name without ending, and content; files that cannot be read are left out."""
    for folder in folders:
        path = os.path.join(root, folder)
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(path)):
                if name.endswith(endings):
                    with contextlib.suppress(OSError):
                        yield name.rpartition(".")[0], read_text(os.path.join(path, name)) or ""


def parse_libvirt(text: str, name: str) -> Iterator[SubnetInUse]:
    """The subnets of the addresses and routes of a libvirt network (https://libvirt.org/formatnetwork.html).

    libvirt writes no document type. A file with one is not read, because entities could expand without end.
    """
    if "<!" in text.replace("<!--", ""):
        return
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return
    network = root if root.tag == "network" else root.find("network")
    if network is None:
        return
    bridge = network.find("bridge")
    interface = "" if bridge is None else bridge.get("name", "")
    for item in (*network.iterfind("ip"), *network.iterfind("route")):
        if item.get("family", "ipv4") == "ipv4" and item.get("address"):
            length = item.get("prefix") or item.get("netmask") or "32"
            avoid_only = item.tag == "route"
            yield from _cidr(f"{item.get('address')}/{length}", f"libvirt's network {name!r}", interface, avoid_only)


def parse_podman(text: str, name: str) -> Iterator[SubnetInUse]:
    """The subnets of a podman network (a file of netavark or CNI): the values of ``subnet`` at any depth."""
    try:
        data = json.loads(text)
    except ValueError:
        return
    interface = str(data.get("network_interface", "")) if isinstance(data, dict) else ""
    for subnet in _subnet_values(data):
        yield from _cidr(str(subnet), f"podman's network {name!r}", interface)


def _subnet_values(data: Any) -> Iterator[Any]:
    if isinstance(data, dict):
        for name, value in data.items():
            if name == "subnet":
                yield value
            else:
                yield from _subnet_values(value)
    elif isinstance(data, list):
        for item in data:
            yield from _subnet_values(item)


def _docker(root: str) -> Mapping[str, Any]:
    """The settings in daemon.json (dockerd(8)).

    The networks of docker are in a database, but the kernel knows the addresses of their bridges.
    """
    try:
        settings = json.loads(read_text(os.path.join(root, "etc/docker/daemon.json")) or "{}")
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}
