# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest of an isolated network looks for a name server of the host that resolves outside names.

docs/docsite/rst/security.rst names these tests. The service on port 53 listens on all addresses, as a stock dnsmasq
does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.nft_testbed import network, plug
from kernel.testbed import UPLINK, Namespace, NamespaceTestbed, script

A, B = "192.168.30", "192.168.31"
NAME_SERVER = 53


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    try:
        yield testbed
    finally:
        testbed.close()


def host_with_a_name_server(testbed: NamespaceTestbed, **options: object) -> Namespace:
    """Returns a guest of the network a; b is a nat network."""
    testbed.task("nft", [network("a", A, **options), network("b", B)])
    guest = plug(testbed, "a", A)
    plug(testbed, "b", B)
    testbed.host.serve(NAME_SERVER)
    return guest


def reached(guest: Namespace, port: int = NAME_SERVER) -> set[str]:
    """The addresses of the host at which the guest gets an answer, by TCP or UDP."""
    return {
        f"{protocol} {address}"
        for address in (f"{A}.1", f"{B}.1", UPLINK)
        for protocol in ("tcp", "udp")
        if guest.ask(address, port, protocol)
    }


@pytest.mark.parametrize(
    ("mode", "dns", "reachable"),
    [
        ("nat", True, {f"{A}.1", UPLINK}),
        ("isolated", True, {f"{A}.1"}),
        ("isolated", False, set()),
    ],
)
def test_an_isolated_guest_asks_no_name_server_but_that_of_its_network(
    testbed: NamespaceTestbed, mode: str, dns: bool, reachable: set[str]
) -> None:
    guest = host_with_a_name_server(testbed, mode=mode, dns=dns)
    assert reached(guest) == {f"{protocol} {address}" for address in reachable for protocol in ("tcp", "udp")}
    # Other services of the host are not name servers.
    testbed.host.serve(8000)
    assert f"tcp {UPLINK}" in reached(guest, 8000)


@pytest.mark.parametrize("dns", [True, False])
def test_a_network_that_becomes_isolated_loses_the_other_name_servers_at_once(
    testbed: NamespaceTestbed, dns: bool
) -> None:
    """Also for a guest that goes on sending from the same port, so that conntrack has an entry for its queries."""
    guest = host_with_a_name_server(testbed)
    client = guest.start(*script("dns_asker"), UPLINK)
    assert client.stdout is not None
    assert client.stdout.readline() == "answer\n"
    testbed.task("nft", [network("a", A, "isolated", dns=dns), network("b", B)])
    client.terminate()
    assert _last_line(client) == "silence"
    assert testbed.task("nft", [network("a", A, "isolated", dns=dns), network("b", B)])["changed"] is False


def test_a_late_answer_does_not_open_the_way_to_another_name_server_again(testbed: NamespaceTestbed) -> None:
    """To conntrack it would start a connection, in which the next queries of the guest are replies."""
    testbed.task("nft", [network("a", A)])
    guest = plug(testbed, "a", A)
    server = testbed.host.start(*script("slow_name_server"), UPLINK)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    client = guest.start(*script("dns_asker"), UPLINK)
    assert client.stdout is not None and client.stdout.readline() == "answer\n"
    testbed.task("nft", [network("a", A, "isolated")])
    client.terminate()
    assert _last_line(client) == "silence"


def _last_line(client: subprocess.Popen[str]) -> str:
    """The output of the guest after it was stopped: whether later queries got an answer."""
    assert client.stdout is not None
    return client.stdout.read().split()[-1]
