# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""isolate_guests: guests of one network do not reach each other; checksums of DHCP replies for old clients."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kernel.bed import OUTSIDE, Bed, Space, Task, at_once, script

A = "192.168.30"


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = Bed(tmp_path)
    made.outside.serve()
    yield made
    made.close()


def run(bed: Bed, mode: str, *, isolate: bool, **more: Any) -> list[str]:
    """Both modules with the options that orchestration.desired_state gives them; returns their changes."""
    rules = {
        "name": "a",
        "bridge": "br-a",
        "mode": mode,
        "subnets": [f"{A}.0/24"],
        "isolate_guests": isolate and not more,
    }
    bridge = {"name": "br-a", "addresses": [f"{A}.1/24"], "isolate_guests": isolate, **more}
    results = bed.tasks(Task("nft", [rules]), Task("bridge", [bridge]))
    assert all("changes" in result for result in results), results
    return [change for result in results for change in result["changes"]]


def unanswered(*pairs: tuple[Space, int]) -> bool:
    """Whether none of these guests gets an answer from the other, by TCP or ping."""
    asked = [partial(guest.ask, f"{A}.{other}") for guest, other in pairs]
    pinged = [partial(guest.pings, f"{A}.{other}") for guest, other in pairs]
    return not any(at_once(*asked, *pinged))


def guest(bed: Bed, host: int) -> Space:
    made = bed.guest("br-a", f"{A}.{host}/24", gateway=f"{A}.1")
    made.serve()
    return made


@pytest.mark.parametrize("mode", ["nat", "routed", "isolated", "open"])
def test_guests_reach_host_and_outside_but_not_each_other(bed: Bed, mode: str) -> None:
    bed.outside.run("ip", "route", "add", f"{A}.0/24", "via", "203.0.113.2")
    run(bed, mode, isolate=False)
    if mode == "open":
        bed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    first, second = guest(bed, 2), guest(bed, 3)
    assert second.ask(f"{A}.2") == f"{A}.3"
    assert run(bed, mode, isolate=True)
    assert not run(bed, mode, isolate=True)
    third = guest(bed, 4)
    assert unanswered((second, 2), (first, 3), (third, 2), (first, 4))
    # The host does not route between them either.
    first.run("ip", "route", "replace", f"{A}.3/32", "via", f"{A}.1")
    second.run("ip", "route", "replace", f"{A}.2/32", "via", f"{A}.1")
    assert first.ask(f"{A}.3") == ""
    for space in (first, third):
        assert space.pings(f"{A}.1")
        assert bool(space.ask(OUTSIDE)) == (mode != "isolated")
    assert "isolated" in run(bed, mode, isolate=True)[0]
    assert run(bed, mode, isolate=False)
    assert not run(bed, mode, isolate=False)
    assert third.ask(f"{A}.2") == f"{A}.4"


def test_a_port_that_is_no_guest_is_reached(bed: Bed) -> None:
    machine = Space("machine")
    bed.spaces.append(machine)
    bed._wire(machine, "eth0", f"{A}.9/24", "eth1")
    machine.serve()
    run(bed, "nat", isolate=True, ports=["eth1"])
    first, second = guest(bed, 2), guest(bed, 3)
    run(bed, "nat", isolate=True, ports=["eth1"])
    assert first.ask(f"{A}.9") == f"{A}.2"
    assert machine.ask(f"{A}.2") == f"{A}.9"
    assert unanswered((first, 3), (second, 2))


def test_isolated_ports_of_others_stay_isolated(bed: Bed) -> None:
    run(bed, "nat", isolate=False)
    first, second = guest(bed, 2), guest(bed, 3)
    for link in bed.host.json("ip", "-j", "link", "show", "master", "br-a"):
        bed.host.run("bridge", "link", "set", "dev", link["ifname"], "isolated", "on")
    assert not run(bed, "nat", isolate=False)
    assert unanswered((first, 3), (second, 2))


def test_dhcp_replies_have_no_checksum_that_an_old_client_finds_wrong(bed: Bed) -> None:
    run(bed, "nat", isolate=False)
    client = guest(bed, 2)
    capture = client.start("sh", "-c", "exec tcpdump -vvnni eth0 -c1 udp src port 67 2>&1")
    assert capture.stdout is not None
    assert any("listening on eth0" in line for line in capture.stdout)
    bed.host.run(*script("dhcp_broadcast"), "br-a")
    assert "[no cksum]" in capture.communicate(timeout=10)[0]
