# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits for what a network's guests can use up: connections, and MAC addresses that a bridge learns."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.bridge import reconciler as bridge
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import converge
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.fdb import FdbLimits
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import CONNECTION_RATE
from kernel.frames import Nic, capture_frames, in_namespace, udp
from kernel.guard_testbed import GuardTestbed, network_without_services
from kernel.nft_testbed import network, plug
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, Namespace, NamespaceTestbed, script

A, B = "192.168.30", "192.168.31"


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    yield testbed
    testbed.close()


def conntrack_entries(testbed: NamespaceTestbed, source: str) -> int:
    listed = testbed.host.run("conntrack", "-L", "-s", source, check=False)
    return len(listed.splitlines())


def flood(guest: Namespace, address: str, flows: int) -> None:
    guest.run(*script("udp_flows"), address, str(flows))


def table(testbed: NamespaceTestbed) -> str:
    return testbed.host.run("nft", "-s", "list", "ruleset")


@pytest.mark.parametrize("mode", ["nat", "routed", "isolated"])
def test_new_connections_of_one_network_are_limited_and_those_of_others_not(
    testbed: NamespaceTestbed, mode: str
) -> None:
    """To the outside and to the host; an established connection continues meanwhile, whatever its rate."""
    testbed.task("nft", [network("a", A, mode, connection_rate=10), network("b", B, mode, connection_rate=0)])
    guest, other = plug(testbed, "a", A), plug(testbed, "b", B)
    testbed.outside.serve()
    testbed.outside.run("ip", "route", "add", f"{A}.0/24", "via", "203.0.113.2")
    testbed.outside.run("ip", "route", "add", f"{B}.0/24", "via", "203.0.113.2")
    testbed.host.serve()
    address, other_address = (f"{A}.1", f"{B}.1") if mode == "isolated" else (OUTSIDE, OUTSIDE)
    flow = guest.start("python3", "-S", str(PROBE), "flow", address, "8000", "0")
    wait_until(lambda: conntrack_entries(testbed, f"{A}.2"))
    flood(guest, address, 2000)
    flood(other, other_address, 2000)
    # The burst of 20, and 10 a second.
    assert 20 <= conntrack_entries(testbed, f"{A}.2") < 1000
    assert conntrack_entries(testbed, f"{B}.2") == 2000
    assert flow.stdin is not None and flow.stdout is not None
    flow.stdin.close()
    sent, answered = map(int, flow.stdout.read().split())
    assert sent == answered


PROBE = Path(__file__).with_name("probe.py")


def test_the_default_rate_allows_a_busy_network_and_limits_a_flood(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [network("a", A)])
    guest = plug(testbed, "a", A)
    began = time.monotonic()
    flood(guest, OUTSIDE, 3000)
    assert conntrack_entries(testbed, f"{A}.2") == 3000
    flood(guest, OUTSIDE, 60000)
    # Two seconds' worth at once; a slow flood gets more through.
    allowed = CONNECTION_RATE * (2 + time.monotonic() - began)
    assert conntrack_entries(testbed, f"{A}.2") <= allowed


@pytest.mark.parametrize("mode", ["nat", "routed", "isolated"])
def test_a_stream_that_nobody_answers_is_one_connection(testbed: NamespaceTestbed, mode: str) -> None:
    """Such as video, logs and flow records by UDP."""
    testbed.task("nft", [network("a", A, mode, connection_rate=10)])
    guest = plug(testbed, "a", A)
    receiver, address = (testbed.host, f"{A}.1") if mode == "isolated" else (testbed.outside, OUTSIDE)
    testbed.outside.run("ip", "route", "add", f"{A}.0/24", "via", "203.0.113.2")
    hook = "type filter hook input priority 300"
    receiver.run("nft", "-f", "-", stdin=f"table inet count {{\nchain count {{\n{hook};\nudp dport 9 counter\n}}\n}}\n")
    # One flow: its packets stay "new" for the kernel, however many came before.
    guest.run(*script("udp_flows"), address, "5000", "9")
    counted = receiver.run("nft", "list", "table", "inet", "count")
    assert "counter packets 5000 " in counted
    assert conntrack_entries(testbed, f"{A}.2") == 1


def test_a_rate_can_be_set_changed_and_removed_completely(testbed: NamespaceTestbed) -> None:
    """Each is one change, does not affect established connections, and a second run changes nothing."""
    testbed.task("nft", [network("a", A, connection_rate=0), network("b", B, connection_rate=0)])
    unlimited = table(testbed)
    testbed.task("nft", [network("a", A, connection_rate=0), network("b", B)])
    for rate, listed in ((100, "100/second burst 200 "), (300, "300/second burst 600 "), (2000, "2000/second")):
        desired = [network("a", A, connection_rate=rate)]
        predicted = testbed.task("nft", desired, check=True)
        result = testbed.task("nft", desired)
        assert result == predicted and len(result["changes"]) == 1 and "connection_rate" in result["changes"][0]
        assert f'"br-a" limit rate over {listed}' in " ".join(table(testbed).split())
        assert not testbed.task("nft", desired)["changed"]
    for name, subnet in (("a", A), ("b", B)):
        testbed.task("nft", [network(name, subnet, connection_rate=0)])
    assert table(testbed) == unlimited


@pytest.mark.parametrize(
    "fault",
    [
        "delete element inet virtnet vn_limited { br-a }",
        "delete element inet virtnet vn_limited { br-a }\n"
        "add element inet virtnet vn_limited { br-a limit rate over 9/second burst 18 packets }",
        "delete element inet virtnet vn_limited { br-a }\n"
        "add element inet virtnet vn_limited { br-a limit rate 2000/second burst 4000 packets }",
        "add element inet virtnet vn_limited { br-x limit rate over 1/hour }",
    ],
)
def test_a_manually_changed_rate_is_repaired(testbed: NamespaceTestbed, fault: str) -> None:
    desired = [network("a", A)]
    testbed.task("nft", desired)
    expected = table(testbed)
    # Counters of packets are not treated as changes.
    guest = plug(testbed, "a", A)
    flood(guest, OUTSIDE, 9000)
    assert not testbed.task("nft", desired)["changed"]
    testbed.host.run("nft", "-f", "-", stdin=fault)
    assert testbed.task("nft", desired)["changed"]
    assert table(testbed) == expected


def fdb(testbed: NamespaceTestbed, bridge: str) -> tuple[int, int]:
    """The limit of a bridge, and how many addresses it has learned."""
    learned = [
        entry
        for entry in testbed.host.json("bridge", "-j", "fdb", "show", "br", bridge)
        if entry.get("state", "") == ""
    ]
    return int(testbed.host.run_engine("fdb_limit", bridge)), len(learned)


def send_from_many_macs(attacker: Nic) -> None:
    frame = udp(attacker, attacker.mac, f"{A}.3", f"{A}.9", 9, b"flood")
    attacker.send(*(frame[:6] + b"\x02\0" + struct.pack("!I", number) + frame[12:] for number in range(1000)))


@pytest.mark.parametrize("isolated", [False, True])
def test_frames_to_a_guest_that_a_full_bridge_has_not_learned_are_flooded(
    testbed: NamespaceTestbed, isolated: bool
) -> None:
    """Frames from or through the host are flooded to all ports; frames of guests only without ``isolate_guests``."""
    lab = [{"name": "br-a", "addresses": [f"{A}.1/24"], "fdb_max_learned": 50, "isolate_guests": isolated}]
    testbed.task("bridge", lab)
    attacker = Nic.of(testbed.add_guest("br-a", f"{A}.3/24"))
    send_from_many_macs(attacker)
    victim, sender = testbed.add_guest("br-a", f"{A}.4/24"), Nic.of(testbed.add_guest("br-a", f"{A}.5/24"))
    testbed.task("bridge", lab)
    mac = Nic.of(victim).mac
    with capture_frames(attacker.namespace) as capture:
        assert testbed.host.pings(f"{A}.4")
        assert capture.contains(
            bytes.fromhex(mac.replace(":", "")) + bytes.fromhex(testbed.link("br-a")["address"].replace(":", ""))
        )
        sender.send(udp(sender, mac, f"{A}.5", f"{A}.4", 9, b"between guests"))
        assert testbed.host.pings(f"{A}.5")
        assert capture.contains(b"between guests") == (not isolated)


def test_a_bridge_learns_a_limited_number_of_addresses(testbed: NamespaceTestbed) -> None:
    """Learning stops at the limit; a guest that was known before, and its connections, are not affected."""
    testbed.task("bridge", [{"name": "br-a", "addresses": [f"{A}.1/24"], "fdb_max_learned": 50}])
    guest, attacker = testbed.add_guest("br-a", f"{A}.2/24"), Nic.of(testbed.add_guest("br-a", f"{A}.3/24"))
    assert guest.pings(f"{A}.1")
    send_from_many_macs(attacker)
    limit, learned = fdb(testbed, "br-a")
    assert limit == 50
    assert 45 <= learned <= 50
    assert guest.pings(f"{A}.1")
    assert guest.pings(f"{A}.3")


def test_a_limit_of_addresses_that_is_set_changed_and_removed(testbed: NamespaceTestbed) -> None:
    """The default is for bridges with guests alone; no limit if a LAN may be behind a port."""
    base: dict[str, Any] = {"name": "br-a", "addresses": [f"{A}.1/24"]}
    testbed.task("bridge", [base])
    assert fdb(testbed, "br-a")[0] == 8192
    for options, limit in (({"fdb_max_learned": 77}, 77), ({"fdb_max_learned": 0}, 0), ({}, 8192)):
        desired = [{**base, **options}]
        predicted = testbed.task("bridge", desired, check=True)
        result = testbed.task("bridge", desired)
        assert result == predicted and result["changed"]
        assert fdb(testbed, "br-a")[0] == limit
        assert not testbed.task("bridge", desired)["changed"]
    testbed.host.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    assert testbed.task("bridge", [{**base, "ports": ["lan0"]}])["changed"]
    assert fdb(testbed, "br-a")[0] == 0


def test_a_kernel_without_the_limit(testbed: NamespaceTestbed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An explicit limit is refused before any change; the default is left out, and a second run changes nothing."""
    # This kernel supports the limit, so the attribute is hidden here.
    monkeypatch.setattr(bridge, "read_fdb_limits", FdbLimits)

    def run(**options: Any) -> Any:
        spec = BridgeSpec.from_options(Options({"name": "br-a", "addresses": [f"{A}.1/24"], **options}))
        with in_namespace(testbed.host):
            return converge(
                bridge.BridgeReconciler([spec], False, Paths(str(tmp_path))), Paths(str(tmp_path)), check=False
            )

    with pytest.raises(InvalidOption, match=r"fdb_max_learned: is not supported by this kernel"):
        run(fdb_max_learned=50)
    assert testbed.link("br-a") is None
    assert run().changes
    assert not run().changes
    assert not run(fdb_max_learned=0).changes


def test_the_guard_keeps_both_limits(tmp_path: Path) -> None:
    """The guard restores removed limits, and an idle guard has nothing to do."""
    testbed = GuardTestbed(tmp_path)
    try:
        testbed.run_playbook(network_without_services("lab", ipv4={"address": f"{A}.1/24"}))
        testbed.start_guard()
        assert fdb(testbed, "vn-lab")[0] == 8192
        before = testbed.journal
        guest = testbed.add_guest("vn-lab", f"{A}.2/24", gateway=f"{A}.1")
        flood(guest, OUTSIDE, 9000)
        assert "rules" not in testbed.command("check", check=False)
        testbed.host.run("nft", "delete element inet virtnet vn_limited { vn-lab }")
        wait_until(lambda: '"vn-lab" limit rate over 2000/second' in " ".join(table(testbed).split()))
        assert "altered" not in before
    finally:
        testbed.close()
