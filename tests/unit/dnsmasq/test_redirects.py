# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which networks get a private dnsmasq at ports of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.placement import place_networks
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.redirects import choose_redirects
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.sockets import Socket
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.state import State
from unit.dnsmasq.test_private_instances import ABSENT, ACTIVE, state

_WILDCARD_HOLDER = Socket("tcp", "0.0.0.0", 53, "", "named", 7)


def spec(name: str, number: int, **options: Any) -> FragmentSpec:
    ranges = [{"start": f"10.{number}.0.2", "end": f"10.{number}.0.9"}]
    network = {"name": name, "interface": f"vn-{name}", "address": f"10.{number}.0.1/24", "ranges": ranges}
    return FragmentSpec.from_options(Options({**network, **options}))


PLAIN = spec("plain", 1)
RAW = spec("raw", 2, raw=["stop-dns-rebind"])
PRIVATE = spec("own", 3, instance="private")
CLOSED = spec("closed", 4, upstream=False)
SYSTEM = spec("system", 5, instance="system")
ALL = [PLAIN, RAW, PRIVATE, CLOSED, SYSTEM]


def chosen(current: State, *specs: FragmentSpec, redirected: tuple[str, ...] = ()) -> set[str]:
    names = choose_redirects(specs, current, redirected, {spec.name for spec in specs})
    # What is chosen can be served.
    tried = [replace(spec, redirect=spec.name in names) for spec in specs]
    assert {placement.spec.name for placement in place_networks(tried, current)} == {spec.name for spec in specs}
    return names


@pytest.mark.parametrize("config", ["", "dhcp-range=10.9.0.2,10.9.0.9\n", "except-interface=lo\n"])
def test_beside_a_dnsmasq_with_wildcard_sockets_private_networks_are_redirected(config: str) -> None:
    assert chosen(state(ACTIVE, config), *ALL) == {"raw", "own", "closed"}


def test_where_the_systems_dnsmasq_leaves_room_nothing_is_redirected() -> None:
    assert chosen(state(ACTIVE, "bind-dynamic\nexcept-interface=vn-*\n"), PLAIN, RAW, PRIVATE, CLOSED) == set()


def test_beside_another_server_at_every_address_all_private_networks_are_redirected() -> None:
    alone = replace(state(ABSENT), sockets=[_WILDCARD_HOLDER])
    assert chosen(alone, PLAIN, RAW, PRIVATE, CLOSED) == {"plain", "raw", "own", "closed"}


def test_only_the_network_whose_address_is_held_is_redirected() -> None:
    held = Socket("udp", "10.1.0.1", 53, "", "named", 7)
    assert chosen(replace(state(ABSENT), sockets=[held]), PLAIN, RAW) == {"plain"}


def test_a_network_keeps_its_ports_while_a_private_instance_serves_it() -> None:
    assert chosen(state(ABSENT), PLAIN, redirected=("plain",)) == {"plain"}
    assert chosen(state(ACTIVE), PLAIN, redirected=("plain",)) == set()


@pytest.mark.parametrize("address", ["127.0.0.53", "10.9.9.9"])
def test_a_failed_dnsmasq_whose_port_is_held_elsewhere_stays_unusable_in_the_next_run(address: str) -> None:
    """Its fragment that only forwards queries to the private instance does not mean that it serves."""
    failed = replace(ACTIVE, active="failed", pid=0)
    holder = Socket("tcp", address, 53, "lo" if address.startswith("127") else "", "other", 7)
    first = replace(state(failed), sockets=[holder])
    assert chosen(first, PLAIN) == {"plain"}
    second = replace(first, fragments={"virtnet-plain.conf": "server=/plain.internal/10.1.0.1#23053\n"})
    assert chosen(second, PLAIN, redirected=("plain",)) == {"plain"}


def test_a_network_of_which_the_user_decides_is_left_alone() -> None:
    alone = replace(state(ABSENT), sockets=[_WILDCARD_HOLDER])
    assert choose_redirects([PLAIN, RAW], alone, (), {"raw"}) == {"raw"}


def test_what_no_dnsmasq_can_serve_is_left_to_the_refusal() -> None:
    ipv6 = spec("six", 6, ipv6={"address": "fd00::1/64", "ranges": [{"start": "fd00::2", "end": "fd00::9"}]})
    holder = Socket("udp", "::", 547, "", "kea-dhcp6", 8)
    taken = replace(state(ABSENT), sockets=[_WILDCARD_HOLDER, holder], blocked_ports=[547])
    assert choose_redirects([ipv6], taken, (), {"six"}) == {"six"}


def test_a_redirected_network_needs_a_private_instance() -> None:
    with pytest.raises(InvalidOption, match="redirect: is for a private dnsmasq; use instance: private"):
        spec("x", 7, instance="system", redirect=True)
    assert place_networks([replace(PLAIN, redirect=True)], state(ACTIVE))[0].instance == "_redirected"
