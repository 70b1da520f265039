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
