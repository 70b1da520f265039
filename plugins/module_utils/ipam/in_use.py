# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host's subnets already are: addresses, routes, servers, and what others have defined but not started."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from ..core.command import find, run
from ..core.connection import connection_peer
from ..core.files import read_text
from ..core.untrusted import LARGEST_RESOLV_CONF, UnusableFile, read_untrusted_text
from .subnets import DOWN, MIDDLE, UP, Occupied

# A shorter route than this is a way to everywhere (default routes, the halves that VPNs set), not a network one is in.
SHORTEST_ROUTE = 8

_NOT_NETWORKS = ("local", "broadcast", "multicast", "anycast")

_RESOLVERS = ("etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/resolv.conf")
_LIBVIRT = ("etc/libvirt/qemu/networks", "run/libvirt/network")
_PODMAN = ("etc/containers/networks", "etc/cni/net.d")
# containers.conf(5): default_subnet. The network exists from podman's first use on, in no file.
_PODMAN_DEFAULT = "10.88.0.0/16"


def read_host(*, ipv6: bool = False) -> list[Occupied]:
    """Addresses and routes of the host, in all tables, and its gateways: what the kernel knows."""
    if find("ip") is None:
        return []
    found: list[Occupied] = []
    for family in ("-4", "-6") if ipv6 else ("-4",):
        found += of_addresses(json.loads(run(["ip", family, "-j", "address", "show"]).stdout or "[]"))
        found += of_routes(json.loads(run(["ip", family, "-j", "route", "show", "table", "all"]).stdout or "[]"))
    return found


def read_occupied(
    root: str, environment: Mapping[str, str], own: Iterable[str] = (), *, ipv6: bool = False
) -> list[Occupied]:
    """All that a new network must not overlap; ``own`` are the host's addresses on networks of ours."""
    return [
        *read_host(ipv6=ipv6),
        *_servers(root, set(own)),
        *_connection(environment),
        *_libvirt(root),
        *_podman(root),
        *_docker_bridge(root),
    ]


def read_avoided(root: str) -> list[Occupied]:
    """What others may take some day: better left to them, but nobody's yet."""
    return [
        one
        for pool in _docker(root).get("default-address-pools") or ()
        if isinstance(pool, dict)
        for one in _cidr(str(pool.get("base", "")), "a pool of docker's", soft=True)
    ]


def read_order() -> str:
    """Where in a pool this host starts, after what systemd-detect-virt(1) says it runs on."""
    if find("systemd-detect-virt") is None:
        return DOWN
    for flag, order in (("--container", MIDDLE), ("--vm", UP)):
        if run(["systemd-detect-virt", "--quiet", flag], check=False).code == 0:
            return order
    return DOWN


def of_addresses(links: Iterable[Mapping[str, Any]]) -> Iterator[Occupied]:
    """``ip -j address show`` of one family."""
    for link in links:
        name = str(link.get("ifname", ""))
        for address in link.get("addr_info", ()):
            if "local" in address:
                cidr = ipaddress.ip_interface(f"{address['local']}/{address['prefixlen']}")
                if cidr.version == 6 and cidr.is_link_local:
                    continue
                yield Occupied(cidr.network, f"the address {cidr} of {name}", name)
                # The other end of a point-to-point link (ip-address(8): peer).
                if address.get("address"):
                    peer = ipaddress.ip_interface(f"{address['address']}/{address['prefixlen']}").network
                    yield Occupied(peer, f"the other end {peer} of {name}", name)


def of_routes(routes: Iterable[Mapping[str, Any]]) -> Iterator[Occupied]:
    """``ip -j route show table all`` of one family; what goes by a gateway is soft."""
    for route in routes:
        gateways = [str(hop["gateway"]) for hop in (route, *route.get("nexthops", ())) if "gateway" in hop]
        interface = str(route.get("dev", ""))
        if route.get("type") in _NOT_NETWORKS:
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
            soft = bool(gateways) or "via" in route or not interface
            yield Occupied(network, f"the route {network}{where}", interface, soft)


def _single(text: str, what: str, interface: str = "") -> Iterator[Occupied]:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(text)
        if not (address.is_loopback or address.is_unspecified or address.is_link_local):
            yield Occupied(ipaddress.ip_network(address), f"{what} {address}", interface)


def _cidr(text: str, what: str, interface: str = "", soft: bool = False) -> Iterator[Occupied]:
    with contextlib.suppress(ValueError):
        network = ipaddress.IPv4Network(text, strict=False)
        yield Occupied(network, f"{what} ({network})", interface, soft)


def _servers(root: str, own: set[str]) -> Iterator[Occupied]:
    seen = set(own)
    for name in _RESOLVERS:
        text = None
        # That of systemd-resolved is in a folder of that user's.
        with contextlib.suppress(UnusableFile):
            text = read_untrusted_text(os.path.join(root, name), LARGEST_RESOLV_CONF)
        for line in (text or "").splitlines():
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1 and words[1] not in seen:
                seen.add(words[1])
                yield from _single(words[1], "the name server")


def _connection(environment: Mapping[str, str]) -> Iterator[Occupied]:
    peer = connection_peer(environment)
    if peer:
        yield from _single(peer, "the other end of this SSH connection")


def _files(root: str, folder: str, *endings: str) -> Iterator[tuple[str, str]]:
    """Files of a folder: name without ending, and content; what cannot be read is no business of ours."""
    path = os.path.join(root, folder)
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(path)):
            if name.endswith(endings):
                with contextlib.suppress(OSError):
                    yield name.rpartition(".")[0], read_text(os.path.join(path, name)) or ""


def _libvirt(root: str) -> Iterator[Occupied]:
    for folder in _LIBVIRT:
        for name, text in _files(root, folder, ".xml"):
            yield from of_libvirt(text, name)


def of_libvirt(text: str, name: str) -> Iterator[Occupied]:
    """A network of libvirt's (https://libvirt.org/formatnetwork.html): the subnets of its addresses and routes.

    Their files have no document type; one that has is not read, since entities could make it grow without end.
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
            soft = item.tag == "route"
            yield from _cidr(f"{item.get('address')}/{length}", f"libvirt's network {name!r}", interface, soft)


def _podman(root: str) -> Iterator[Occupied]:
    for folder in _PODMAN:
        for name, text in _files(root, folder, ".json", ".conflist"):
            yield from of_podman(text, name)
    if find("podman") is not None:
        yield from _cidr(_PODMAN_DEFAULT, "podman's default network")


def of_podman(text: str, name: str) -> Iterator[Occupied]:
    """A network of podman's (netavark's file, or CNI's): the values of ``subnet`` at any depth."""
    try:
        data = json.loads(text)
    except ValueError:
        return
    interface = str(data.get("network_interface", "")) if isinstance(data, dict) else ""
    for subnet in _values(data, "subnet"):
        yield from _cidr(str(subnet), f"podman's network {name!r}", interface)


def _values(data: Any, key: str) -> Iterator[Any]:
    if isinstance(data, dict):
        for name, value in data.items():
            if name == key:
                yield value
            else:
                yield from _values(value, key)
    elif isinstance(data, list):
        for item in data:
            yield from _values(item, key)


def _docker(root: str) -> Mapping[str, Any]:
    """daemon.json (dockerd(8)). Docker's networks are in a database, but their bridges have addresses."""
    try:
        settings = json.loads(read_text(os.path.join(root, "etc/docker/daemon.json")) or "{}")
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _docker_bridge(root: str) -> Iterator[Occupied]:
    yield from _cidr(str(_docker(root).get("bip", "")), "docker's default network", "docker0")
