# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Redirects in definitions: for which networks they are chosen, and kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.config_reader import read_config
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.sockets import Socket
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.state import State as DnsmasqState
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import not_installed
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.redirects import with_redirects
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import State


class _NoFiles:
    def text(self, _path: str) -> str:
        return ""

    def names(self, _folder: str) -> list[str]:
        return []

    def identity(self, path: str) -> str:
        return path

    def output(self, command: str) -> str:
        raise AssertionError(command)


_SERVICE = not_installed((2, 90))
_HELD = DnsmasqState(
    _SERVICE,
    read_config(_SERVICE.command, _NoFiles(), "/etc/dnsmasq.d"),
    {},
    sockets=[Socket("tcp", "0.0.0.0", 53, "", "named", 7)],
)


def network(**options: Any) -> Network:
    return read_network(Options({"name": "lab", "ipv4": {"address": "10.77.0.1/24"}, **options}), "host")


def redirect_of(wanted: Network, stored: Network | None = None, dnsmasq: DnsmasqState | None = _HELD) -> bool | None:
    definitions = {} if stored is None else {stored.name: stored}
    (after,) = with_redirects([wanted], [], State(definitions=definitions, dnsmasq=dnsmasq))
    return after.dnsmasq_redirect


LINKS = {
    "lo": Link("lo", 1, addresses=("127.0.0.1/8", "::1/128")),
    "eth0": Link("eth0", 2, addresses=("203.0.113.11/24",)),
}
BRIDGE = {"vn-lab": Link("vn-lab", 3, addresses=("10.77.0.1/24",))}


def server_at(*addresses: str, pid: int = 7) -> list[Socket]:
    return [Socket(protocol, address, 53, "", "named", pid) for protocol in ("tcp", "udp") for address in addresses]


def redirect_beside(
    sockets: list[Socket], links: dict[str, Link], *, own: tuple[int, ...] = (), **options: Any
) -> bool | None:
    dnsmasq = replace(_HELD, sockets=sockets, transient_pids=own)
    (after,) = with_redirects([network(**options)], [], State(dnsmasq=dnsmasq, links=links))
    return after.dnsmasq_redirect


REDIRECTED = replace(network(), dnsmasq_redirect=True)


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_a_network_is_redirected_where_another_server_holds_the_port(state: str) -> None:
    """Also one that is stopped, since it may be started without a run."""
    assert redirect_of(network(state=state)) is True


def test_a_chosen_redirect_is_kept_and_what_the_user_says_wins() -> None:
    free = replace(_HELD, sockets=[])
    assert redirect_of(network(), REDIRECTED, free) is True
    assert redirect_of(network(), REDIRECTED, None) is True
    assert redirect_of(network(dnsmasq={"redirect": False}), REDIRECTED) is False


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_a_network_of_the_systems_dnsmasq_does_not_keep_a_redirect(state: str) -> None:
    assert redirect_of(network(dnsmasq={"instance": "system"}, state=state), REDIRECTED) is None


def test_a_bridge_that_is_not_ours_does_not_keep_a_redirect() -> None:
    bridged = read_network(Options({"name": "lab", "mode": "bridged", "bridge": {"name": "br0"}}), "host")
    assert redirect_of(bridged, REDIRECTED) is None


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_a_server_at_each_address_of_the_host_is_expected_at_that_of_a_new_bridge(state: str) -> None:
    """BIND takes it as soon as it exists."""
    assert redirect_beside(server_at("127.0.0.1", "203.0.113.11"), LINKS, state=state) is True
    assert redirect_beside(server_at("127.0.0.1", "203.0.113.11"), LINKS, dnsmasq={"redirect": False}) is False


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("203.0.113.11",), ("127.0.0.1", "::1")])
def test_a_server_at_some_addresses_of_the_host_leaves_a_new_bridge_alone(addresses: tuple[str, ...]) -> None:
    assert redirect_beside(server_at(*addresses), LINKS) is None


def test_servers_that_share_the_addresses_of_the_host_leave_a_new_bridge_alone() -> None:
    assert redirect_beside([*server_at("127.0.0.1"), *server_at("203.0.113.11", pid=8)], LINKS) is None
    assert redirect_beside(server_at("127.0.0.1", pid=0) + server_at("203.0.113.11", pid=0), LINKS) is None


def test_at_a_bridge_that_exists_its_sockets_tell() -> None:
    beside = server_at("127.0.0.1", "203.0.113.11")
    assert redirect_beside(beside, {**LINKS, **BRIDGE}) is None
    assert redirect_beside([*beside, *server_at("10.77.0.1", pid=9)], {**LINKS, **BRIDGE}, own=(9,)) is None


def test_addresses_at_which_a_dnsmasq_of_ours_holds_the_port_do_not_count() -> None:
    others = {"vn-web": Link("vn-web", 3, addresses=("10.78.0.1/24",))}
    beside = [*server_at("127.0.0.1", "203.0.113.11"), *server_at("10.78.0.1", pid=9)]
    assert redirect_beside(beside, {**LINKS, **others}, own=(9,)) is True
    assert redirect_beside(beside, {**LINKS, **others}) is None
