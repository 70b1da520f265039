# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bandwidth of a bridge, measured with real traffic and read back with tc and nft."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.testbed import OUTSIDE, PROBE, UPLINK, Namespace, NamespaceTestbed

HOST, GUEST = "192.168.30.1", "192.168.30.2"
SIZE = 1500  # Kilobytes, of which 64 KiB are a burst.
LIMIT = {"average": 500}
BOTH = {"inbound": LIMIT, "outbound": LIMIT}


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    yield testbed
    testbed.close()


def lab(**bandwidth: Any) -> dict[str, Any]:
    return {"name": "br-lab", "addresses": [f"{HOST}/24"], **({"bandwidth": bandwidth} if bandwidth else {})}


def run(testbed: NamespaceTestbed, bridge: dict[str, Any]) -> Any:
    """A run that makes the predicted changes, and a second one that changes nothing."""
    predicted = testbed.task("bridge", [bridge], check=True)
    result = testbed.task("bridge", [bridge])
    assert result == predicted and not result.get("failed"), result
    assert not testbed.task("bridge", [bridge])["changed"]
    return result


def plug(testbed: NamespaceTestbed) -> Namespace:
    guest = testbed.add_guest("br-lab", f"{GUEST}/24")
    guest.serve()
    return guest


def transfer_seconds(sender: Namespace, address: str) -> float:
    """Seconds until SIZE has been sent and acknowledged."""
    return float(sender.run(sys.executable, str(PROBE), "send", address, "8001", str(SIZE), timeout=120))


def table(testbed: NamespaceTestbed) -> str:
    return testbed.host.run("nft", "list", "table", "netdev", "virtnet", check=False)


def test_each_direction_is_limited_separately_and_unlimited_without_the_option(testbed: NamespaceTestbed) -> None:
    run(testbed, lab())
    guest = plug(testbed)
    testbed.host.serve()
    minimum = (SIZE - 70) / LIMIT["average"] / 2
    run(testbed, lab(inbound=LIMIT))
    limited = transfer_seconds(testbed.host, GUEST)
    assert limited > minimum
    assert transfer_seconds(guest, HOST) < limited / 2
    run(testbed, lab(outbound=LIMIT))
    assert transfer_seconds(testbed.host, GUEST) < limited / 2
    assert transfer_seconds(guest, HOST) > minimum
    run(testbed, lab(**BOTH))
    assert transfer_seconds(testbed.host, GUEST) > minimum
    assert transfer_seconds(guest, HOST) > minimum
    run(testbed, lab())
    assert transfer_seconds(testbed.host, GUEST) < limited / 2
    assert transfer_seconds(guest, HOST) < limited / 2
    assert (testbed.host.run("tc", "qdisc", "show", "dev", "br-lab").split()[1], table(testbed)) == ("noqueue", "")


@pytest.mark.parametrize("value", ["0", "1"])
def test_guests_of_a_limited_network_reach_the_outside_with_and_without_br_netfilter(
    testbed: NamespaceTestbed, value: str
) -> None:
    testbed.outside.serve()
    testbed.host.run("sysctl", "-q", "-w", f"net.bridge.bridge-nf-call-iptables={value}")
    testbed.task("nft", [{"name": "a", "bridge": "br-lab", "subnets": ["192.168.30.0/24"]}])
    run(testbed, lab(**BOTH))
    guest = testbed.add_guest("br-lab", f"{GUEST}/24", gateway=HOST)
    for protocol in ("tcp", "udp"):
        assert guest.ask(OUTSIDE, protocol=protocol) == UPLINK


def test_tc_and_nft_show_libvirts_units(testbed: NamespaceTestbed) -> None:
    inbound, outbound = {"average": 1000, "peak": 5000, "burst": 5120}, {"average": 128, "peak": 256, "burst": 256}
    run(testbed, lab(inbound=inbound, outbound=outbound))
    assert "rate 8Mbit ceil 40Mbit burst 5Mb" in testbed.host.run("tc", "class", "show", "dev", "br-lab")
    assert "limit rate over 250 kbytes/second" in table(testbed)
    assert "limit rate over 125 kbytes/second burst 131 kbytes" in table(testbed)
    changes = run(testbed, lab(inbound={**inbound, "average": 1001}, outbound={"average": 128}))["changes"]
    assert changes == [
        "bridge br-lab: inbound 1000 kB/s, 5000 kB/s in bursts of 5120 KiB -> "
        "1001 kB/s, 5000 kB/s in bursts of 5120 KiB, "
        "outbound 128 kB/s, 256 kB/s in bursts of 256 KiB -> 128 kB/s in bursts of 125 KiB"
    ]


def test_the_kernel_keeps_any_rate_unchanged(testbed: NamespaceTestbed) -> None:
    for average in (1, 12345, 1234567, 10**7):
        outbound = {"average": average, "peak": min(average * 3, 10**7), "burst": 234}
        run(testbed, lab(inbound={"average": average}, outbound=outbound))


def test_a_flow_loses_nothing_while_limits_change(testbed: NamespaceTestbed) -> None:
    run(testbed, lab(**BOTH))
    guest = plug(testbed)
    testbed.host.serve()
    flow = guest.start(sys.executable, str(PROBE), "flow", HOST, "8000", "0")
    for average in (2000, 3000, 400, 5000) * 8:
        testbed.task("bridge", [lab(inbound={"average": average, "peak": 9000}, outbound={"average": average})])
    sent, answered = flow.communicate("", timeout=60)[0].split()
    assert int(sent) > 500
    assert sent == answered


FAULTS = (
    "tc qdisc delete dev br-lab root",
    "tc class change dev br-lab parent 766e: classid 766e:1 htb rate 1gbit",
    "tc qdisc delete dev br-lab parent 766e:1",
    "nft flush ruleset",
    "nft flush chain netdev virtnet in_br-lab",
    "nft insert rule netdev virtnet in_br-lab accept",
    "ip link delete br-lab",
)


def test_manual_changes_are_repaired(testbed: NamespaceTestbed) -> None:
    run(testbed, lab(**BOTH))
    queue, policer = testbed.host.run("tc", "class", "show", "dev", "br-lab"), table(testbed)
    guest = plug(testbed)
    for fault in FAULTS:
        testbed.host.run(*fault.split())
        assert run(testbed, lab(**BOTH))["changed"], fault
        assert (testbed.host.run("tc", "class", "show", "dev", "br-lab"), table(testbed)) == (queue, policer), fault
        testbed.host.run("ip", "link", "set", "tap3", "master", "br-lab")
        assert guest.pings(HOST)


def test_limits_are_removed_with_the_bridge_whoever_deleted_it(testbed: NamespaceTestbed) -> None:
    run(testbed, lab(**BOTH))
    testbed.task("bridge", [{"name": "br-lab", "state": "absent"}])
    assert table(testbed) == ""
    for desired, purge in (([{"name": "br-lab", "state": "absent"}], False), ([], True)):
        run(testbed, lab(**BOTH))
        testbed.host.run("ip", "link", "delete", "br-lab")
        assert testbed.task("bridge", desired, purge=purge)["changed"]
        assert table(testbed) == ""
        assert not testbed.task("bridge", desired, purge=purge)["changed"]


def test_foreign_tables_and_queues_are_kept(testbed: NamespaceTestbed) -> None:
    run(testbed, lab())
    options = "rate 1gbit burst 64kb latency 9ms".split()
    testbed.host.run("tc", "qdisc", "add", "dev", "br-lab", "root", "handle", "1:", "tbf", *options)
    testbed.host.run("nft", "-f", "-", stdin="table netdev theirs {\n\tchain c {\n\t\taccept\n\t}\n}\n")
    before = testbed.host.run("tc", "qdisc", "show", "dev", "br-lab"), testbed.host.run("nft", "list", "ruleset")
    assert "already has a queue of kind tbf" in testbed.task("bridge", [lab(**BOTH)])["msg"]
    run(testbed, lab(outbound=LIMIT))
    run(testbed, lab())
    assert before == (
        testbed.host.run("tc", "qdisc", "show", "dev", "br-lab"),
        testbed.host.run("nft", "list", "ruleset"),
    )
