# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of one network that are kept from each other; what hosts send to old DHCP clients."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.bed import OUTSIDE, Bed, Space

A = "192.168.30"


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = Bed(tmp_path)
    made.outside.serve()
    yield made
    made.close()


def run(bed: Bed, mode: str, *, isolate: bool, **more: Any) -> list[str]:
    # As specs.py does.
    rules = {
        "name": "a",
        "bridge": "br-a",
        "mode": mode,
        "subnets": [f"{A}.0/24"],
        "isolate_guests": isolate and not more,
    }
    changes = bed.task("nft", [rules])["changes"]
    bridge = {"name": "br-a", "addresses": [f"{A}.1/24"], "isolate_guests": isolate, **more}
    done = bed.task("bridge", [bridge])
    assert "changes" in done, done
    return [*changes, *done["changes"]]


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
    one, two = guest(bed, 2), guest(bed, 3)
    assert two.ask(f"{A}.2") == f"{A}.3"
    assert run(bed, mode, isolate=True)
    assert not run(bed, mode, isolate=True)
    later = guest(bed, 4)
    for asking, asked in ((two, 2), (one, 3), (later, 2), (one, 4)):
        assert asking.ask(f"{A}.{asked}") == ""
        assert not asking.pings(f"{A}.{asked}")
    # Nor by way of the host.
    one.run("ip", "route", "replace", f"{A}.3/32", "via", f"{A}.1")
    two.run("ip", "route", "replace", f"{A}.2/32", "via", f"{A}.1")
    assert one.ask(f"{A}.3") == ""
    for space in (one, later):
        assert space.pings(f"{A}.1")
        assert bool(space.ask(OUTSIDE)) == (mode != "isolated")
    assert "isolated" in run(bed, mode, isolate=True)[0]
    assert run(bed, mode, isolate=False)
    assert not run(bed, mode, isolate=False)
    assert later.ask(f"{A}.2") == f"{A}.4"


def test_a_port_of_the_host_is_reached(bed: Bed) -> None:
    far = Space("far")
    bed.spaces.append(far)
    bed._wire(far, "eth0", f"{A}.9/24", "eth1")
    far.serve()
    run(bed, "nat", isolate=True, ports=["eth1"])
    one, two = guest(bed, 2), guest(bed, 3)
    run(bed, "nat", isolate=True, ports=["eth1"])
    assert one.ask(f"{A}.9") == f"{A}.2"
    assert far.ask(f"{A}.2") == f"{A}.9"
    assert one.ask(f"{A}.3") == two.ask(f"{A}.2") == ""


def test_marks_that_others_made_stay(bed: Bed) -> None:
    run(bed, "nat", isolate=False)
    one, two = guest(bed, 2), guest(bed, 3)
    for link in bed.host.json("ip", "-j", "link", "show", "master", "br-a"):
        bed.host.run("bridge", "link", "set", "dev", link["ifname"], "isolated", "on")
    assert not run(bed, "nat", isolate=False)
    assert one.ask(f"{A}.3") == two.ask(f"{A}.2") == ""


def test_dhcp_answers_carry_no_checksum_that_an_old_client_could_find_wrong(bed: Bed) -> None:
    run(bed, "nat", isolate=False)
    client = guest(bed, 2)
    seen = client.start("tcpdump", "-vvnni", "eth0", "-c1", "udp src port 67")
    time.sleep(1)
    answer = (
        "import socket as s\nu=s.socket(2,2)\nu.setsockopt(1,6,1)\nu.setsockopt(1,25,b'br-a')\nu.bind(('',67))\n"
        "u.sendto(bytes(300),('255.255.255.255',68))"
    )
    bed.host.run(sys.executable, "-c", answer)
    assert "[no cksum]" in seen.communicate(timeout=10)[0]
