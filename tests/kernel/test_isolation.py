# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""isolate_guests: guests of one network do not reach each other; checksums of DHCP replies for old clients."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kernel.nft_testbed import serving_testbed
from kernel.testbed import OUTSIDE, Namespace, NamespaceTestbed, Task, in_parallel, script

A = "192.168.30"


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    yield from serving_testbed(tmp_path)


def run(testbed: NamespaceTestbed, mode: str, *, isolate: bool, **options: Any) -> list[str]:
    """Both modules with the options that orchestration.desired_state gives them; returns their changes."""
    rules = {
        "name": "a",
        "bridge": "br-a",
        "mode": mode,
        "subnets": [f"{A}.0/24"],
        "isolate_guests": isolate and not options,
    }
    bridge = {"name": "br-a", "addresses": [f"{A}.1/24"], "isolate_guests": isolate, **options}
    results = testbed.tasks(Task("nft", [rules]), Task("bridge", [bridge]))
    assert all("changes" in result for result in results), results
    return [change for result in results for change in result["changes"]]


def unanswered(*pairs: tuple[Namespace, int]) -> bool:
    """Whether none of these guests gets an answer from another, by TCP or ping."""
    asked = [partial(add_guest.ask, f"{A}.{other}") for add_guest, other in pairs]
    pinged = [partial(add_guest.pings, f"{A}.{other}") for add_guest, other in pairs]
    return not any(in_parallel(*asked, *pinged))


def add_guest(testbed: NamespaceTestbed, host: int) -> Namespace:
    namespace = testbed.add_guest("br-a", f"{A}.{host}/24", gateway=f"{A}.1")
    namespace.serve()
    return namespace


@pytest.mark.parametrize("mode", ["nat", "routed", "isolated", "open"])
def test_guests_reach_host_and_outside_but_not_each_other(testbed: NamespaceTestbed, mode: str) -> None:
    testbed.outside.run("ip", "route", "add", f"{A}.0/24", "via", "203.0.113.2")
    run(testbed, mode, isolate=False)
    if mode == "open":
        testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    first, second = add_guest(testbed, 2), add_guest(testbed, 3)
    assert second.ask(f"{A}.2") == f"{A}.3"
    assert run(testbed, mode, isolate=True)
    assert not run(testbed, mode, isolate=True)
    third = add_guest(testbed, 4)
    assert unanswered((second, 2), (first, 3), (third, 2), (first, 4))
    # The host does not route between them either.
    first.run("ip", "route", "replace", f"{A}.3/32", "via", f"{A}.1")
    second.run("ip", "route", "replace", f"{A}.2/32", "via", f"{A}.1")
    assert first.ask(f"{A}.3") == ""
    for namespace in (first, third):
        assert namespace.pings(f"{A}.1")
        assert bool(namespace.ask(OUTSIDE)) == (mode != "isolated")
    assert "isolated" in run(testbed, mode, isolate=True)[0]
    assert run(testbed, mode, isolate=False)
    assert not run(testbed, mode, isolate=False)
    assert third.ask(f"{A}.2") == f"{A}.4"


def test_a_port_that_is_no_guest_is_reached(testbed: NamespaceTestbed) -> None:
    machine = Namespace("machine")
    testbed.namespaces.append(machine)
    testbed.add_veth(machine, "eth0", f"{A}.9/24", "eth1")
    machine.serve()
    run(testbed, "nat", isolate=True, ports=["eth1"])
    first, second = add_guest(testbed, 2), add_guest(testbed, 3)
    run(testbed, "nat", isolate=True, ports=["eth1"])
    assert first.ask(f"{A}.9") == f"{A}.2"
    assert machine.ask(f"{A}.2") == f"{A}.9"
    assert unanswered((first, 3), (second, 2))


def test_isolated_ports_of_others_stay_isolated(testbed: NamespaceTestbed) -> None:
    run(testbed, "nat", isolate=False)
    first, second = add_guest(testbed, 2), add_guest(testbed, 3)
    for link in testbed.host.json("ip", "-j", "link", "show", "master", "br-a"):
        testbed.host.run("bridge", "link", "set", "dev", link["ifname"], "isolated", "on")
    assert not run(testbed, "nat", isolate=False)
    assert unanswered((first, 3), (second, 2))


def test_dhcp_replies_have_no_checksum_that_an_old_client_finds_wrong(testbed: NamespaceTestbed) -> None:
    run(testbed, "nat", isolate=False)
    client = add_guest(testbed, 2)
    capture = client.start("sh", "-c", "exec tcpdump -vvnni eth0 -c1 udp src port 67 2>&1")
    assert capture.stdout is not None
    assert any("listening on eth0" in line for line in capture.stdout)
    testbed.host.run(*script("dhcp_broadcast"), "br-a")
    assert "[no cksum]" in capture.communicate(timeout=10)[0]
