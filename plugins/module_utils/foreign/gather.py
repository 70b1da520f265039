# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads all networks of others on this host. Nothing is changed."""

from __future__ import annotations

import glob
import ipaddress
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..bridge.network_managers import read_claims
from ..core.command import find, ip_json, run
from ..core.errors import VirtnetError
from ..core.files import read_text
from ..core.identity import MARK, host_identity
from ..core.paths import Paths
from ..core.untrusted import UnusableFile, read_untrusted_text
from ..kernel.links import OPENVSWITCH, Link, parse_links, read_forwarding
from ..libvirt.connection import Driver, driver_installed
from ..network.store import read_stored
from ..nft.sets import TABLE
from ..ruleset.read import read as read_ruleset
from .bridges import plain_bridge
from .containers import container_networks
from .dnsmasq_processes import read_servers
from .fit import fitted
from .incus import managed_networks
from .libvirt_networks import libvirt_networks
from .model import INCUS, LXD, Foreign, HostFacts, HostRoute
from .networkd import FOLDERS as NETWORKD_FOLDERS
from .networkd import NetworkdFiles, networkd_networks
from .networkmanager import FOLDER as NM_FOLDER
from .networkmanager import FOLDERS as NM_FOLDERS
from .networkmanager import shared_networks

_LARGEST_FILE = 1024 * 1024
# Their clients, and the variable that names the folder of a client's own settings, which it makes on first use.
_CLIENTS = {INCUS: ("incus", "INCUS_CONF"), LXD: ("lxc", "LXD_CONF")}
_DOCKER_SOCKET = "run/docker.sock"
_PODMAN_FOLDERS = {"etc/containers/networks": ".json", "etc/cni/net.d": ".conflist"}


def foreign_networks(paths: Paths) -> dict[str, Any]:
    """The return values of the module: networks of others, sorted by source and name, and warnings.

    Raises VirtnetError. Only root can read rules and profiles.
    """
    identity = host_identity(paths.root)
    stored = read_stored(paths, identity)
    facts, warnings = read_facts(paths)
    ours = {network.bridge.name for network in stored.networks.values() if network.has_own_bridge}
    ours |= {link.name for link in facts.links.values() if link.alias.startswith(MARK)}
    networks = _without_twins(_read_all(paths, facts, warnings), ours)
    claimed = {network.bridge for network in networks} | ours
    kinds = ("bridge", OPENVSWITCH)
    for bridge, link in sorted(facts.links.items()):
        if link.kind in kinds and bridge not in claimed and (link.kind == "bridge" or link.addresses):
            networks.append(plain_bridge(bridge, facts))
    names = {*stored.networks, *stored.unreadable}
    ordered = sorted(networks, key=lambda one: (one.source, one.name))
    found = fitted(ordered, names, identity, list(stored.networks.values()))
    return {"foreign": [one.as_options() for one in found], "warnings": warnings}


def _without_twins(networks: Iterable[Foreign], ours: set[str]) -> list[Foreign]:
    """Without networks on bridges of ours, and of two on one bridge the first, whose source knows it better."""
    seen = set(ours)
    result = []
    for network in networks:
        if not network.bridge or network.bridge not in seen:
            result.append(network)
            seen.add(network.bridge)
    return result


def read_facts(paths: Paths) -> tuple[HostFacts, list[str]]:
    """What the kernel and running programs have, and what could not be read; raises VirtnetError."""
    servers, warnings = read_servers(paths)
    links = _read_links()
    facts = HostFacts(
        links=links,
        routes=read_routes(),
        # Ours has no rules for bridges of others.
        ruleset=[table for table in read_ruleset() if table.name != TABLE],
        servers=servers,
        forwarding=frozenset(name for name in links if read_forwarding(paths.proc_sys, name) == "1"),
        claims=read_claims(paths.root),
    )
    return facts, warnings


def _read_links() -> dict[str, Link]:
    """The links with the addresses that somebody set; those by DHCP or advertisements have an end (ip-address(8))."""
    items = ip_json(["-d", "-j", "address", "show"])
    for item in items:
        item["addr_info"] = [one for one in item.get("addr_info", ()) if not one.get("dynamic")]
    return parse_links(json.dumps(items))


def read_routes() -> list[HostRoute]:
    """The routes of the main table."""
    routes = []
    for family in ("-4", "-6"):
        for item in ip_json([family, "-j", "route", "show"]):
            to = str(item.get("dst", ""))
            # ip prints an address alone for a route to one address.
            to = to if to == "default" else str(ipaddress.ip_network(to))
            for hop in item.get("nexthops") or [item]:
                interface, via = str(hop.get("dev", "")), str(hop.get("gateway", ""))
                routes.append(HostRoute(to, via, interface, int(item.get("metric", 0))))
    return routes


def _read_all(paths: Paths, facts: HostFacts, warnings: list[str]) -> list[Foreign]:
    """The networks of each program, those first that know their networks best."""
    readers: Sequence[Callable[[], list[Foreign]]] = (
        lambda: container_networks(_docker(paths.root, warnings), _podman(paths.root), facts),
        lambda: _libvirt(paths.root),
        lambda: _incus(INCUS, facts),
        lambda: _incus(LXD, facts),
        lambda: shared_networks(_texts(paths.root, _profiles(paths.root), warnings), facts),
        lambda: networkd_networks(NetworkdFiles(_texts(paths.root, _units(paths.root), warnings)), facts),
    )
    found = []
    for read in readers:
        try:
            found += read()
        except (VirtnetError, ValueError) as error:
            warnings.append(str(error))
    return found


def _libvirt(root: str) -> list[Foreign]:
    if not driver_installed(root):
        return []
    with Driver() as driver:
        return libvirt_networks(driver.networks())


def _incus(source: str, facts: HostFacts) -> list[Foreign]:
    """The networks of incus or LXD, by its client; raises VirtnetError if it does not answer."""
    client, variable = _CLIENTS[source]
    if find(client) is None:
        return []
    # Not in the home of root, where it would write the settings of a new user.
    with tempfile.TemporaryDirectory() as folder:
        done = run(["env", f"{variable}={folder}", client, "network", "list", "--format", "json"], check=False)
    try:
        if done.code == 0:
            return managed_networks(done.stdout, source, facts)
        problem = (done.stderr or done.stdout).strip()
    except ValueError as error:
        problem = str(error)
    raise VirtnetError(
        f"{source} did not list its networks: {problem[:300]}; have it answer, or its bridges count as those of scripts"
    )


def _docker(root: str, warnings: list[str]) -> str:
    """The networks of docker, if it runs: it is not started for this. Else bridges tell by their names."""
    if find("docker") is None or not os.path.exists(os.path.join(root, _DOCKER_SOCKET)):
        return ""
    try:
        identifiers = run(["docker", "network", "ls", "--quiet", "--filter", "driver=bridge"]).stdout.split()
        return run(["docker", "network", "inspect", *identifiers]).stdout if identifiers else ""
    except VirtnetError as error:
        warnings.append(f"docker did not list its networks: {error}")
        return ""


def _podman(root: str) -> dict[str, str]:
    """The networks of podman by name, each its file."""
    texts = {}
    for folder, suffix in _PODMAN_FOLDERS.items():
        for path in sorted(glob.glob(os.path.join(root, folder, f"*{suffix}"))):
            texts[os.path.basename(path)[: -len(suffix)]] = read_text(path) or ""
    return texts


def _profiles(root: str) -> list[str]:
    patterns = [os.path.join(root, top, NM_FOLDER, "*") for top in NM_FOLDERS]
    return [path for pattern in patterns for path in sorted(glob.glob(pattern)) if os.path.isfile(path)]


def _units(root: str) -> list[str]:
    """The files of systemd-networkd, and their drop-ins."""
    paths: list[str] = []
    for folder in NETWORKD_FOLDERS:
        for kind in ("netdev", "network"):
            paths += sorted(glob.glob(os.path.join(root, folder, f"*.{kind}")))
            paths += sorted(glob.glob(os.path.join(root, folder, f"*.{kind}.d", "*.conf")))
    return paths


def _texts(root: str, files: Iterable[str], warnings: list[str]) -> Mapping[str, str]:
    """The content of files by their path below the root; a link to /dev/null masks one, which is empty then."""
    texts = {}
    for path in files:
        try:
            is_masked = os.path.realpath(path) == os.devnull
            text = "" if is_masked else read_untrusted_text(path, _LARGEST_FILE)
        except UnusableFile as error:
            warnings.append(str(error))
            continue
        if text is not None:
            texts[os.path.relpath(path, root)] = text
    return texts
