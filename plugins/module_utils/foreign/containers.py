# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges of container engines, which stay theirs: docker, podman, Kubernetes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .model import Foreign, HostFacts, network_name

DOCKER, PODMAN, KUBERNETES = "docker", "podman", "Kubernetes"

_STAYS = (
    "{} makes it for its containers, with its own rules and addresses, and makes it again whenever it starts; "
    "both work side by side"
)
# The bridge of a network without a name of its own (docker's daemon/libnetwork/drivers/bridge); that of a swarm.
_DOCKER_BRIDGE = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")
# The defaults of netavark (podman0, podman1, ...) and of CNI (containers.conf(5)).
_PODMAN_BRIDGE = re.compile(r"podman\d+|cni-podman\d+")
# Bridges of network plugins of Kubernetes: flannel and others, kubenet, kube-router, weave.
_KUBERNETES_BRIDGE = re.compile(r"cni\d+|cbr0|kube-bridge|weave")
_DOCKER_OPTION = "com.docker.network.bridge.name"


def container_networks(docker: str, podman: Mapping[str, str], facts: HostFacts) -> list[Foreign]:
    """The networks of container engines whose bridges exist.

    ``docker``: the output of ``docker network inspect``; ``podman``: its files by the name of the network.
    """
    named = {**dict(_podman_bridges(podman)), **dict(_docker_bridges(docker))}
    found = []
    for bridge, link in sorted(facts.links.items()):
        if link.kind != "bridge":
            continue
        name, source = named.get(bridge) or (bridge, _source_by_name(bridge))
        if source:
            found.append(Foreign(network_name(name, bridge), source, bridge, stays=_STAYS.format(source)))
    return found


def _source_by_name(bridge: str) -> str:
    patterns = ((_DOCKER_BRIDGE, DOCKER), (_PODMAN_BRIDGE, PODMAN), (_KUBERNETES_BRIDGE, KUBERNETES))
    return next((source for pattern, source in patterns if pattern.fullmatch(bridge)), "")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None


def _docker_bridges(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for item in _items(_parsed(text)):
        options = item.get("Options")
        bridge = options.get(_DOCKER_OPTION) if isinstance(options, Mapping) else None
        bridge = bridge or f"br-{str(item.get('Id', ''))[:12]}"
        if item.get("Driver") == "bridge":
            yield str(bridge), (str(item.get("Name", "")), DOCKER)


def _podman_bridges(texts: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Files of netavark have ``network_interface``; those of CNI a list of plugins, of which one has ``bridge``."""
    for name, text in texts.items():
        data = _parsed(text)
        if isinstance(data, Mapping):
            plugins = _items(data.get("plugins"))
            for bridge in (data.get("network_interface"), *(plugin.get("bridge") for plugin in plugins)):
                if isinstance(bridge, str):
                    yield bridge, (str(data.get("name", name)), PODMAN)


def _items(data: Any) -> list[Mapping[str, Any]]:
    return [item for item in data if isinstance(item, Mapping)] if isinstance(data, list) else []
