# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bandwidth of a bridge, measured with real traffic and read back with tc."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.bed import PROBE, Bed, Space

HOST, GUEST = "192.168.30.1", "192.168.30.2"
SIZE = 1500  # kilobytes, of which 64 KiB are a burst
LIMIT = {"average": 500}
BOTH = {"inbound": LIMIT, "outbound": LIMIT}


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = Bed(tmp_path)
    yield made
    made.close()


def lab(**bandwidth: Any) -> dict[str, Any]:
    return {"name": "br-lab", "addresses": [f"{HOST}/24"], **({"bandwidth": bandwidth} if bandwidth else {})}


def run(bed: Bed, wanted: dict[str, Any]) -> Any:
    """A run that does what it said, and a second one that has nothing to do."""
    foreseen = bed.task("bridge", [wanted], check=True)
    done = bed.task("bridge", [wanted])
    assert done == foreseen and not done.get("failed"), done
    assert not bed.task("bridge", [wanted])["changed"]
    return done


def plug(bed: Bed) -> Space:
    guest = bed.guest("br-lab", f"{GUEST}/24")
    guest.serve()
    return guest


def takes(sender: Space, address: str) -> float:
    """Seconds that SIZE takes to be sent and acknowledged."""
    return float(sender.run(sys.executable, str(PROBE), "send", address, "8001", str(SIZE), timeout=120))


def devices(bed: Bed) -> list[str]:
    return [link["ifname"] for link in bed.host.json("ip", "-j", "link", "show", "type", "ifb")]


def test_each_direction_is_limited_by_itself_and_free_again_without_the_option(bed: Bed) -> None:
    run(bed, lab())
    guest = plug(bed)
    bed.host.serve()
    least = (SIZE - 70) / LIMIT["average"] / 2
    run(bed, lab(inbound=LIMIT))
    limited = takes(bed.host, GUEST)
    assert limited > least
    assert takes(guest, HOST) < limited / 2
    run(bed, lab(outbound=LIMIT))
    assert takes(bed.host, GUEST) < limited / 2
    assert takes(guest, HOST) > least
    run(bed, lab(**BOTH))
    assert takes(bed.host, GUEST) > least
    assert takes(guest, HOST) > least
    run(bed, lab())
    assert takes(bed.host, GUEST) < limited / 2
    assert takes(guest, HOST) < limited / 2
    assert (bed.host.run("tc", "qdisc", "show", "dev", "br-lab").split()[1], devices(bed)) == ("noqueue", [])


def test_tc_shows_libvirts_units(bed: Bed) -> None:
    inbound, outbound = {"average": 1000, "peak": 5000, "burst": 5120}, {"average": 128, "peak": 256, "burst": 256}
    run(bed, lab(inbound=inbound, outbound=outbound))
    (device,) = devices(bed)
    assert "rate 8Mbit ceil 40Mbit burst 5Mb" in bed.host.run("tc", "class", "show", "dev", "br-lab")
    assert "rate 1024Kbit ceil 2048Kbit burst 256Kb" in bed.host.run("tc", "class", "show", "dev", device)
    changes = run(bed, lab(inbound={**inbound, "average": 1001}))["changes"]
    assert changes == [
        "bridge br-lab: inbound 1000 kB/s, 5000 kB/s in bursts of 5120 KiB -> "
        "1001 kB/s, 5000 kB/s in bursts of 5120 KiB, outbound 128 kB/s, 256 kB/s in bursts of 256 KiB -> unlimited"
    ]


@pytest.mark.parametrize("average", [1, 12345, 1234567, 2**32 - 1])
def test_any_rate_is_kept_by_the_kernel_as_it_was_asked_for(bed: Bed, average: int) -> None:
    run(bed, lab(inbound={"average": average}, outbound={"average": average, "peak": min(average * 3, 2**32 - 1)}))


def test_a_flow_loses_nothing_while_limits_change(bed: Bed) -> None:
    run(bed, lab(**BOTH))
    guest = plug(bed)
    bed.host.serve()
    flow = guest.start(sys.executable, str(PROBE), "flow", HOST, "8000", "5")
    for average in (2000, 3000, 400, 5000):
        bed.task("bridge", [lab(inbound={"average": average, "peak": 9000}, outbound={"average": average})])
    sent, answered = flow.communicate(timeout=60)[0].split()
    assert int(sent) > 500
    assert sent == answered


@pytest.mark.parametrize(
    "damage",
    [
        "tc qdisc delete dev br-lab root",
        "tc qdisc delete dev br-lab ingress",
        "tc filter delete dev br-lab ingress",
        "tc class change dev br-lab parent 766e: classid 766e:1 htb rate 1gbit",
        "tc qdisc replace dev {device} root pfifo",
        "ip link delete {device}",
        "ip link set {device} down",
    ],
)
def test_what_was_altered_by_hand_is_put_right(bed: Bed, damage: str) -> None:
    run(bed, lab(**BOTH))
    guest = plug(bed)
    (device,) = devices(bed)
    bed.host.run(*damage.format(device=device).split())
    assert run(bed, lab(**BOTH))["changed"]
    assert guest.pings(HOST)
    assert devices(bed) == [device]


def test_all_goes_with_the_bridge_also_where_somebody_else_deleted_that(bed: Bed) -> None:
    run(bed, lab(**BOTH))
    bed.task("bridge", [{"name": "br-lab", "state": "absent"}])
    assert devices(bed) == []
    for gone, purge in (([{"name": "br-lab", "state": "absent"}], False), ([], True)):
        run(bed, lab(**BOTH))
        bed.host.run("ip", "link", "delete", "br-lab")
        assert bed.task("bridge", gone, purge=purge)["changed"]
        assert devices(bed) == []
        assert not bed.task("bridge", gone, purge=purge)["changed"]


def test_a_bridge_that_was_lost_is_limited_again(bed: Bed) -> None:
    run(bed, lab(**BOTH))
    bed.host.run("ip", "link", "delete", "br-lab")
    run(bed, lab(**BOTH))
    assert plug(bed).pings(HOST)
    assert "htb 766e:" in bed.host.run("tc", "qdisc", "show", "dev", "br-lab")


def test_queues_and_filters_of_others_stay(bed: Bed) -> None:
    run(bed, lab())
    bed.host.run("tc", "qdisc", "add", "dev", "br-lab", "root", "handle", "1:", "tbf",
                 *"rate 1gbit burst 64kb latency 9ms".split())  # fmt: skip
    bed.host.run("tc", "qdisc", "add", "dev", "br-lab", "clsact")
    theirs = "protocol ip pref 7 u32 match u32 0 0 classid 1:1".split()
    bed.host.run("tc", "filter", "add", "dev", "br-lab", "ingress", *theirs)
    before = bed.host.run("tc", "qdisc", "show", "dev", "br-lab")
    assert "a queue of kind tbf already" in bed.task("bridge", [lab(**BOTH)])["msg"]
    run(bed, lab(outbound=LIMIT))
    assert plug(bed).pings(HOST)
    run(bed, lab())
    assert bed.host.run("tc", "qdisc", "show", "dev", "br-lab") == before
    assert "pref 7" in bed.host.run("tc", "filter", "show", "dev", "br-lab", "ingress")
