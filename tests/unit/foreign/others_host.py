# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host to read networks of others from, made of the texts that its programs print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.dnsmasq_syntax import read_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_config import Config
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.fit import fitted
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.model import Foreign, HostFacts, HostRoute
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset import iptables, nft_json

HOST = "0123456789abcdef0123456789abcdef"
WAY_OUT = HostRoute("default", "203.0.113.1", "eth0")


def bridge(name: str, *addresses: str, **more: Any) -> Link:
    return Link(name, len(name), kind="bridge", up=True, mtu=1500, addresses=addresses, **more)


def server(*lines: str) -> Config:
    return Config(settings=tuple(read_lines("\n".join(lines), "/etc/lab.conf")))


def host(*links: Link, saved: str = "", nft: Sequence[Any] = (), **more: Any) -> HostFacts:
    """A host with a way out by eth0; ``saved``: the output of iptables-save, ``nft``: objects of nft's JSON."""
    ruleset = [*iptables.parse(saved, "ip", "iptables-nft"), *nft_json.parse(json.dumps({"nftables": list(nft)}))]
    by_name = {link.name: link for link in (Link("eth0", 2, up=True), *links)}
    values = {"routes": [WAY_OUT], "forwarding": frozenset(by_name), **more}
    return HostFacts(links=by_name, ruleset=ruleset, **values)


def fit(*networks: Foreign) -> list[Foreign]:
    """The networks as the module returns them; each with options is read by the model."""
    result = fitted(networks, (), HOST)
    for one in result:
        assert bool(one.options) != bool(one.stays)
        if one.options:
            model(one)
    return result


def model(network: Foreign) -> Network:
    return read_network(Options(network.options), HOST)
