# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A router that has a /64 on its link finds guests with a part of it behind the host (ipv6.ndp_proxy)."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kernel.frames import Nic, capture_frames, neighbour_solicitation
from kernel.guard_testbed import GuardTestbed, network_without_services, new_testbed
from kernel.polling import wait_until
from kernel.testbed import Namespace

LINK = "2001:db8:1:2"
ROUTER, OTHER, HOST = f"{LINK}::1", f"{LINK}::9", f"{LINK}::2"
GATEWAY, GUEST, SECOND = f"{LINK}:f::1", f"{LINK}:f::5", f"{LINK}:f::6"
FAR = "2001:db8:9::9"

QUIET_SECONDS = 1.2


def network(prefix: str = f"{GATEWAY}/80", **options: Any) -> dict[str, Any]:
    ipv6 = {"address": prefix, "ra": False, "ndp_proxy": True, **options.pop("ipv6", {})}
    return network_without_services("dmz", mode="routed", uplink="eth0", ipv4={"address": "none"}, ipv6=ipv6, **options)


def link_local(namespace: Namespace) -> str:
    (link,) = namespace.json("ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "link")
    return str(next(address["local"] for address in link["addr_info"] if address))


def add_uplink_addresses(testbed: GuardTestbed, own: str = f"{HOST}/64") -> None:
    """The router has a route to no guest: all of the /64 is on its link."""
    for address, interface in ((f"{ROUTER}/64", "eth0"), (f"{OTHER}/64", "eth0"), (FAR, "lo")):
        testbed.outside.run("ip", "address", "replace", address, "dev", interface, "nodad")
    # A veth has its link-local address a moment after its peer is up.
    wait_until(lambda: testbed.outside.json("ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "link"))
    testbed.host.run("ip", "address", "replace", own, "dev", "eth0", "nodad")
    router = link_local(testbed.outside)
    testbed.host.run("ip", "-6", "route", "replace", "default", "via", router, "dev", "eth0")


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[GuardTestbed]:
    with new_testbed(tmp_path) as testbed:
        add_uplink_addresses(testbed)
        yield testbed


@pytest.fixture
def dmz(testbed: GuardTestbed) -> GuardTestbed:
    testbed.run_playbook(network())
    testbed.start_guard()
    wait_until(lambda: bool(testbed.children("virtnet-ndp")))
    return testbed


def add_guest(testbed: GuardTestbed, address: str = GUEST, gateway: str = GATEWAY, length: int = 80) -> Namespace:
    """A guest that has sent nothing with its address."""
    guest = testbed.add_guest("vn-dmz", f"{address}/{length}", gateway)
    # With its first port the bridge has a carrier, and both check whether their link-local addresses are in use.
    for namespace in (testbed.host, guest):
        wait_until(lambda: namespace.run("ip", "-6", "address", "show", "tentative") == "")  # noqa: B023
    return guest


def forget_neighbours(testbed: GuardTestbed) -> None:
    for namespace, interface in ((testbed.outside, "eth0"), (testbed.host, "vn-dmz")):
        namespace.run("ip", "-6", "neighbour", "flush", "dev", interface)


def reached(testbed: GuardTestbed, address: str, source: str = FAR, seconds: int = 4) -> bool:
    """Whether the router's side reaches an address with one packet, for which it asks three times at most."""
    command = ("ping", "-6", "-c1", f"-W{seconds}", "-I", source, address)
    return "1 received" in testbed.outside.run(*command, check=False)


def seconds_until_reached(testbed: GuardTestbed, address: str) -> float:
    text = testbed.outside.run("ping", "-6", "-c1", "-W4", "-I", FAR, address)
    return float(re.findall(r"time=([\d.]+) ms", text)[0]) / 1000


def test_a_guest_that_has_sent_nothing_is_reached_at_the_first_packet(dmz: GuardTestbed) -> None:
    guest = add_guest(dmz)
    # Neither the kernel's own entries nor sysctls are used.
    assert seconds_until_reached(dmz, GUEST) < 0.8
    assert dmz.host.run("ip", "-6", "neighbour", "show", "proxy") == ""
    assert dmz.host.run("sysctl", "-n", "net.ipv6.conf.eth0.proxy_ndp").strip() == "0"
    assert guest.pings(FAR)
    # The host's own address on the bridge, and another machine of the link.
    assert reached(dmz, GATEWAY)
    assert reached(dmz, GUEST, OTHER) and guest.pings(OTHER)
    forget_neighbours(dmz)
    assert guest.pings(FAR)
    assert not reached(dmz, SECOND)


def test_nobody_is_answered_for_addresses_outside_the_prefix_and_without_the_option(dmz: GuardTestbed) -> None:
    guest = add_guest(dmz)
    guest.run("ip", "address", "add", f"{LINK}:e::5/128", "dev", "eth0", "nodad")
    dmz.host.run("ip", "route", "add", f"{LINK}:e::5/128", "dev", "vn-dmz")
    assert not reached(dmz, f"{LINK}:e::5")
    assert reached(dmz, GUEST)
    dmz.run_playbook(network(ipv6={"ndp_proxy": False}))
    wait_until(lambda: not dmz.children("virtnet-ndp"))
    forget_neighbours(dmz)
    assert not reached(dmz, GUEST)
    dmz.run_playbook(network())
    wait_until(lambda: bool(dmz.children("virtnet-ndp")))
    wait_until(lambda: reached(dmz, GUEST), 10)
    assert dmz.define(network(), check=True)["changes"] == []
    dmz.command("stop", "dmz")
    wait_until(lambda: not dmz.children("virtnet-ndp"))


def test_the_router_keeps_its_entry_while_the_guest_answers(dmz: GuardTestbed) -> None:
    """The router probes by unicast: RFC 4861 section 7.3.3."""
    add_guest(dmz)
    dmz.outside.run("sysctl", "-qw", "net.ipv6.neigh.eth0.base_reachable_time_ms=1000")
    dmz.outside.run("sysctl", "-qw", "net.ipv6.neigh.eth0.delay_first_probe_time=1")
    text = dmz.outside.run("ping", "-6", "-c40", "-i0.2", "-W2", "-I", FAR, GUEST)
    assert "40 received" in text
    # And no longer when it is gone.
    dmz.host.run("ip", "link", "set", "tap3", "nomaster")
    state = ("ip", "-6", "-j", "neighbour", "show", "to", GUEST, "dev", "eth0")

    def is_lost() -> bool:
        reached(dmz, GUEST, seconds=1)
        return any("FAILED" in entry["state"] for entry in dmz.outside.json(*state))

    wait_until(is_lost, 20)
    dmz.host.run("ip", "link", "set", "tap3", "master", "vn-dmz")
    wait_until(lambda: reached(dmz, GUEST), 20)


def test_an_address_that_has_moved_to_another_machine_of_the_link_is_left_to_it(dmz: GuardTestbed) -> None:
    guest = add_guest(dmz)
    assert reached(dmz, GUEST)
    guest.run("ip", "address", "delete", f"{GUEST}/80", "dev", "eth0")
    time.sleep(QUIET_SECONDS)
    dmz.outside.run("ip", "-6", "neighbour", "flush", "dev", "eth0")
    with capture_frames(dmz.outside) as capture:
        assert not reached(dmz, GUEST, seconds=3)
        advertised = [frame for frame in capture.read_frames() if frame[20:21] == b"\x3a" and frame[54:55] == b"\x88"]
    assert advertised == []


def test_the_process_and_the_guard_come_back(dmz: GuardTestbed) -> None:
    add_guest(dmz)
    (process,) = dmz.children("virtnet-ndp")
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: dmz.children("virtnet-ndp") not in ([], [process]), 10)
    assert "has ended; it is started again" in dmz.journal
    assert reached(dmz, GUEST)
    (process,) = dmz.children("virtnet-ndp")
    dmz.stop_guard(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{process}/status").exists() or "Z" in state_of(process))
    forget_neighbours(dmz)
    assert not reached(dmz, GUEST)
    dmz.start_guard()
    wait_until(lambda: reached(dmz, GUEST), 10)
    assert dmz.stop_guard() == 0


def state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def test_interfaces_that_flap_or_are_made_again(dmz: GuardTestbed) -> None:
    add_guest(dmz)
    assert reached(dmz, GUEST)
    dmz.host.run("ip", "link", "set", "eth0", "down")
    dmz.host.run("ip", "link", "set", "eth0", "up")
    # The kernel removes IPv6 addresses and routes of an interface that goes down.
    add_uplink_addresses(dmz)
    wait_until(lambda: reached(dmz, GUEST, seconds=1), 10)
    dmz.host.run("ip", "link", "delete", "vn-dmz")
    wait_until(lambda: dmz.link("vn-dmz") is not None)
    wait_until(lambda: reached(dmz, GUEST, seconds=1), 10)
    dmz.host.run("ip", "link", "delete", "eth0")
    dmz.add_veth(dmz.outside, "eth0", "203.0.113.1/24", "eth0")
    add_uplink_addresses(dmz)
    wait_until(lambda: reached(dmz, GUEST, seconds=1), 10)


def test_who_asks_for_many_addresses_keeps_nobody_from_the_guests(dmz: GuardTestbed) -> None:
    guest = add_guest(dmz)
    assert reached(dmz, GUEST)
    dmz.outside.run("sysctl", "-qw", "net.ipv6.neigh.eth0.base_reachable_time_ms=1000")
    dmz.outside.run("sysctl", "-qw", "net.ipv6.neigh.eth0.delay_first_probe_time=1")
    nic = Nic.of(dmz.outside)
    frames = [neighbour_solicitation(nic, f"{LINK}:f::{number:x}") for number in range(0x1000, 0x4000)]
    with capture_frames(guest) as capture, ThreadPoolExecutor(1) as pool:
        begin = time.monotonic()
        pings = pool.submit(dmz.outside.run, "ping", "-6", "-c25", "-i0.2", "-W2", "-I", FAR, GUEST, check=False)
        while not pings.done():
            nic.send(*random.choices(frames, k=500))
        seconds = time.monotonic() - begin
        asked = [frame for frame in capture.read_frames() if frame[54:55] == b"\x87"]
    assert "25 received" in pings.result()
    # The burst, the rate, and those for the guest.
    assert 50 < len(asked) < 100 + 55 * seconds
    # The kernel of the host knows none of the addresses.
    assert len(dmz.host.run("ip", "-6", "neighbour", "show", "dev", "vn-dmz").splitlines()) < 8


def test_who_checks_an_address_is_told_that_a_guest_has_it(dmz: GuardTestbed) -> None:
    """Duplicate address detection (RFC 4862 section 5.4) of another machine of the link."""
    add_guest(dmz)
    dmz.outside.run("ip", "address", "add", f"{GUEST}/128", "dev", "eth0")
    wait_until(lambda: "dadfailed" in dmz.outside.run("ip", "address", "show", "to", GUEST))


def test_the_whole_prefix_on_the_bridge_and_one_address_at_the_uplink(tmp_path: Path) -> None:
    with new_testbed(tmp_path) as testbed:
        add_uplink_addresses(testbed, f"{HOST}/128")
        testbed.run_playbook(network(f"{LINK}::3/64"))
        testbed.start_guard()
        guest = add_guest(testbed, f"{LINK}::5", f"{LINK}::3", 64)
        wait_until(lambda: reached(testbed, f"{LINK}::5"))
        assert guest.pings(FAR)
        assert reached(testbed, f"{LINK}::3") and reached(testbed, HOST)
        assert "overlaps" not in testbed.journal


def test_the_uplink_by_an_alternative_name(testbed: GuardTestbed) -> None:
    testbed.host.run("ip", "link", "property", "add", "dev", "eth0", "altname", "wan")
    testbed.run_playbook({**network(), "uplink": "wan"})
    testbed.start_guard()
    add_guest(testbed)
    wait_until(lambda: reached(testbed, GUEST))
    assert "overlaps" not in testbed.journal


def test_a_part_of_the_prefix_of_the_uplink_is_no_conflict_for_the_guard(dmz: GuardTestbed) -> None:
    before = dmz.journal
    dmz.host.run("ip", "address", "add", f"{LINK}::77/64", "dev", "eth0", "nodad")
    time.sleep(QUIET_SECONDS)
    assert dmz.journal == before
    assert "overlaps" not in dmz.command("check", check=False)
