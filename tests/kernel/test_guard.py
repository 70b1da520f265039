# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard puts right what breaks, and nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from kernel.bed import OUTSIDE, Space
from kernel.frames import Card, arp_claim, tapped
from kernel.guard_bed import GuardedBed, eventually, plain

LAB = plain("lab", ipv4={"address": "192.168.30.1/24"})
AUTO = plain("auto")

# Time for the guard to have heard of something that must not move it.
CALM = 1.2


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[GuardedBed]:
    made = GuardedBed(tmp_path)
    try:
        yield made
    finally:
        print(made.journal)
        made.close()


@pytest.fixture
def lab(bed: GuardedBed) -> GuardedBed:
    """One fixed network, guarded."""
    bed.play(LAB)
    bed.start_guard()
    return bed


def guest_of(bed: GuardedBed, bridge: str = "vn-lab", subnet: str = "192.168.30") -> Space:
    guest = bed.guest(bridge, f"{subnet}.50/24", f"{subnet}.1")
    eventually(lambda: guest.pings(OUTSIDE))
    return guest


def noted(bed: GuardedBed, bridge: str = "vn-lab") -> list[str]:
    """The ports that the guard would have a bridge made again with."""
    note = bed.root / f"run/virtnet/ports/{bridge}.json"
    return [name for name, _index in json.loads(note.read_text())] if note.exists() else []


def masters(bed: GuardedBed) -> dict[str, str]:
    return {link["ifname"]: link.get("master", "") for link in bed.host.json("ip", "-j", "link", "show")}


def rests(bed: GuardedBed) -> bool:
    """Whether the guard does nothing for a while."""
    before = bed.journal
    time.sleep(CALM)
    return bed.journal == before and bed.is_idle()


def restarted(bed: GuardedBed) -> None:
    """A guard that has nothing to be patient with yet, and has moved nothing."""
    assert bed.stop_guard() == 0
    bed.start_guard()


# What is done, and what the guard says of it; together so many of one thing as it does not grow patient with.
RULES = (
    ("nft flush ruleset", "rules of lab: created"),
    ("nft delete rule inet virtnet vn_forward handle {rule}", ""),
    ("nft add rule inet virtnet vn_forward drop", ""),
    ("sysctl -qw net.ipv4.ip_forward=0", "net.ipv4.ip_forward: 0 -> 1"),
)
BRIDGE = (
    ("ip link delete vn-lab", "bridge vn-lab: created, with its former ports tap3"),
    ("ip link set vn-lab down", "bridge vn-lab: up false -> true"),
    ("ip link set vn-lab name other", "bridge vn-lab: name other -> vn-lab"),
)
ADDRESSES = (
    ("ip address delete 192.168.30.1/24 dev vn-lab", "bridge vn-lab: addresses [] -> "),
    ("ip address add 192.168.30.77/24 dev vn-lab", "bridge vn-lab: addresses"),
)


@pytest.mark.parametrize("harms", [RULES, BRIDGE, ADDRESSES])
def test_what_breaks_is_healed(lab: GuardedBed, harms: tuple[tuple[str, str], ...]) -> None:
    guest = guest_of(lab)
    eventually(lambda: noted(lab) == ["tap3"])
    for harm, said in harms:
        rules = lab.host.run("nft", "-a", "list", "chain", "inet", "virtnet", "vn_forward")
        before = len(lab.journal)
        lab.host.run(*harm.format(rule=re.findall(r"handle (\d+)", rules)[-1]).split())
        eventually(lambda: f"Repaired: {said}" in lab.journal[before:])  # noqa: B023
        eventually(lambda: guest.pings(OUTSIDE))
        # And it rests: what it did itself breaks nothing.
        eventually(lambda: rests(lab))
        assert lab.define(LAB, check=True)["changes"] == []
    assert "put off" not in lab.journal


LIMITS = {"inbound": {"average": 9000}, "outbound": {"average": 9000}}
ROUTED = {**LAB, "bandwidth": LIMITS, "routes": [{"to": "10.50.0.0/24", "via": "192.168.30.50"}]}


HARM = (
    "tc qdisc delete dev vn-lab root",
    "tc class change dev vn-lab parent 766e: classid 766e:1 htb rate 1gbit",
    "nft flush ruleset",
    "nft flush chain netdev virtnet in_vn-lab",
    "ip route delete 10.50.0.0/24",
    "ip link delete vn-lab",
)


def test_limits_and_routes_that_were_altered_are_put_right(bed: GuardedBed) -> None:
    bed.play(ROUTED)
    bed.start_guard()
    guest = guest_of(bed)
    wanted = bed.define(ROUTED, check=True)["bridges"]
    for number, harm in enumerate(HARM):
        if number == len(HARM) // 2:
            restarted(bed)
        before = bed.journal.count("bridge vn-lab: ")
        bed.host.run(*harm.split())
        eventually(lambda: bed.journal.count("bridge vn-lab: ") > before)  # noqa: B023
        eventually(lambda: not bed.task("bridge", wanted, check=True)["changed"])
    eventually(lambda: guest.pings(OUTSIDE))


def test_guests_links_come_back_to_a_bridge_that_was_lost_but_not_those_that_left(lab: GuardedBed) -> None:
    first, second = guest_of(lab), lab.guest("vn-lab", "192.168.30.51/24")
    lab.host.run("ip", "link", "add", "other", "type", "bridge")
    third = lab.guest("vn-lab", "192.168.30.52/24")
    lab.guest("vn-lab", "192.168.30.53/24")
    lab.host.run("ip", "link", "set", "tap5", "nomaster")
    lab.host.run("ip", "link", "set", "tap6", "master", "other")
    eventually(lambda: noted(lab) == ["tap3", "tap4"])
    lab.host.run("ip", "link", "delete", "vn-lab")
    eventually(lambda: masters(lab).get("tap3") == masters(lab).get("tap4") == "vn-lab")
    eventually(lambda: first.pings("192.168.30.51") and second.pings("192.168.30.1"))
    assert not third.pings("192.168.30.1")
    assert masters(lab)["tap5"] == "" and masters(lab)["tap6"] == "other"


def open_macvtap(bed: GuardedBed, name: str) -> subprocess.Popen[str]:
    """A process that has its file open, as a virtual machine has."""
    (device,) = bed.host.run("sh", "-c", f"cat /sys/class/net/{name}/tap*/dev").split()
    file = Path(f"/dev/tap{bed.link(name)['ifindex']}")
    if not file.exists():
        file = bed.root / file.name
        major, minor = map(int, device.split(":"))
        os.mknod(file, 0o600 | stat.S_IFCHR, os.makedev(major, minor))
    process = bed.host.start("sh", "-c", f"exec 3<>{file}; echo open; exec sleep infinity")
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    return process


def test_a_macvtap_that_is_gone_with_its_bridge_is_named(lab: GuardedBed) -> None:
    for name in ("mvt0", "mvt1", "mvt2"):
        lab.host.run("ip", "link", "add", "link", "vn-lab", "name", name, "type", "macvtap", "mode", "bridge")
    guest = open_macvtap(lab, "mvt0")
    lab.host.run("ip", "link", "delete", "mvt1")
    eventually(lab.has_heard_all)
    lab.host.run("ip", "link", "delete", "vn-lab")
    eventually(lambda: masters(lab).get("vn-lab") is not None)
    eventually(lambda: "mvt0 was made on vn-lab and is gone with it." in lab.journal)
    eventually(lambda: "mvt2 was made on vn-lab and is gone with it." in lab.journal)
    # The kernel took them, and nobody makes one that no guest could use; the other was taken away by its owner.
    assert not {"mvt0", "mvt1", "mvt2"} & set(masters(lab))
    assert "mvt1" not in lab.journal
    # Only of one there is a guest that has to be started again.
    eventually(lab.is_idle)
    said = lab.command("check", check=False)
    assert f"mvt0 was made on vn-lab and is gone with it, and process {guest.pid} (sleep) still has it open" in said
    assert "mvt2" not in said
    guest.kill()
    guest.wait()
    eventually(lambda: "All is well" in lab.command("check", check=False))


def test_a_guard_that_was_killed_finds_what_was_lost_meanwhile(lab: GuardedBed) -> None:
    guest = guest_of(lab)
    eventually(lambda: noted(lab) == ["tap3"])
    lab.stop_guard(signal.SIGKILL)
    lab.host.run("ip", "link", "delete", "vn-lab")
    lab.host.run("nft", "flush", "ruleset")
    lab.start_guard()
    eventually(lambda: guest.pings(OUTSIDE))
    assert lab.stop_guard() == 0


def test_without_inotify_files_are_looked_at(bed: GuardedBed) -> None:
    bed.play(LAB)
    bed.start_guard(inotify=False)
    assert "No inotify instance is left" in bed.journal
    bed.define(plain("lab", ipv4={"address": "192.168.31.1/24"}))
    (bed.root / "run/virtnet/pending.json").unlink()
    eventually(lambda: "192.168.31.1/24" in bed.host.run("ip", "address", "show", "dev", "vn-lab"))


def test_a_folder_that_came_after_the_guard_is_watched_and_so_is_the_next_in_its_place(lab: GuardedBed) -> None:
    folder = lab.root / "etc/virtnet/dnsmasq.d"
    stray = folder / "stray.conf"
    for _time in range(2):
        folder.mkdir()
        # The guard has something else to do, and finds the folder then.
        lab.host.run("ip", "link", "set", "vn-lab", "down")
        eventually(lambda: rests(lab))
        stray.write_text("")
        eventually(lambda: not folder.exists())


def test_a_network_that_is_stopped_stays_so_and_its_guests_come_back_with_it(lab: GuardedBed) -> None:
    guest = guest_of(lab)
    assert "Network lab stopped" in lab.command("stop", "lab")
    time.sleep(CALM)
    assert "vn-lab" not in masters(lab)
    assert json.loads(lab.command("list", "--json"))[0]["state"] == "inactive"
    assert "Network lab started" in lab.command("start", "lab")
    eventually(lambda: guest.pings(OUTSIDE))


def test_a_run_does_what_it_said_in_check_mode_with_the_guard_beside_it(lab: GuardedBed) -> None:
    guest_of(lab)
    changed = plain("lab", ipv4={"address": "192.168.40.1/24"}, mode="routed")
    more = plain("more", ipv4={"address": "192.168.41.1/24"})
    check = lab.define(changed, more, check=True)
    foreseen = [
        *check["changes"],
        *lab.task("bridge", check["bridges"], check=True)["changes"],
        *lab.task("nft", check["rules"], check=True)["changes"],
    ]
    done = lab.define(changed, more)
    time.sleep(CALM)
    made = [*done["changes"], *lab.task("bridge", done["bridges"])["changes"]]
    time.sleep(CALM)
    made += lab.task("nft", done["rules"])["changes"]
    assert made == foreseen
    eventually(lambda: not (lab.root / "run/virtnet/pending.json").exists())
    lab.host.run("nft", "flush", "ruleset")
    eventually(lambda: "rules of more: created" in lab.journal)


def test_a_run_that_ended_half_way_is_finished_by_the_guard(lab: GuardedBed) -> None:
    lab.define(LAB, plain("more", ipv4={"address": "192.168.41.1/24"}))
    note = lab.root / "run/virtnet/pending.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "until": 1}))
    eventually(lambda: "vn-more" in masters(lab))
    assert "did not finish; the guard completes it" in lab.journal


def test_other_networks_are_guarded_while_a_run_is_under_way(lab: GuardedBed) -> None:
    lab.define(LAB, plain("more", ipv4={"address": "192.168.41.1/24"}))
    lab.host.run("ip", "link", "delete", "vn-lab")
    eventually(lambda: "vn-lab" in masters(lab))
    assert "vn-more" not in masters(lab)


def subnet_of(bed: GuardedBed, name: str) -> str:
    definition = json.loads((bed.root / f"etc/virtnet/networks/{name}.json").read_text())
    return str(definition["ipv4"]["address"])


def test_a_network_whose_subnet_is_somebody_elses_now_moves_at_once(bed: GuardedBed) -> None:
    bed.play(AUTO, LAB)
    bed.start_guard()
    for event in (
        "ip address add {net}.7/24 dev eth0",
        "ip route add {net}.128/25 dev eth0",
        "ip route add {net}.0/26 via 203.0.113.1",
    ):
        before = subnet_of(bed, "auto")
        bed.host.run(*event.format(net=before.rpartition(".")[0]).split())
        eventually(lambda: "so it moves to" in bed.journal and bed.is_idle())
        after = subnet_of(bed, "auto")
        assert after != before
        link = bed.link("vn-auto")
        assert [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["family"] == "inet"] == [after]
        guest_of(bed, "vn-auto", after.rpartition(".")[0])
        # A network that has moved rests for a while, but not where the guard is another.
        assert bed.stop_guard() == 0
        bed.log.write_text("")
        bed.start_guard()
    assert subnet_of(bed, "lab") == "192.168.30.1/24"
    assert bed.define(AUTO, LAB, check=True)["changes"] == []


def test_a_host_in_a_guest_gets_out_of_the_way_of_its_own_uplink(bed: GuardedBed, tmp_path: Path) -> None:
    bed.play(AUTO)
    (tmp_path / "inner").mkdir()
    inner = GuardedBed(tmp_path / "inner")
    try:
        # It has chosen before it has an uplink, on the same hardware, so that both have the same.
        inner.host.run("ip", "link", "delete", "eth0")
        inner.play(AUTO)
        inner.start_guard()
        before = subnet_of(bed, "auto")
        assert subnet_of(inner, "auto") == before
        net = before.rpartition(".")[0]
        peer = ("peer", "name", "uplink", "netns", inner.host.name)
        bed.host.run("ip", "link", "add", "tap-inner", "up", "type", "veth", *peer)
        bed.plug("vn-auto", "tap-inner")
        inner.host.run("ip", "link", "set", "uplink", "up")
        inner.host.run("ip", "address", "add", f"{net}.50/24", "dev", "uplink")
        eventually(lambda: "so it moves to" in inner.journal and inner.is_idle())
        inner.host.run("ip", "route", "add", "default", "via", f"{net}.1")
        after = subnet_of(inner, "auto")
        assert after != before and subnet_of(bed, "auto") == before
        # Out of both.
        guest_of(inner, "vn-auto", after.rpartition(".")[0])
    finally:
        print(inner.journal)
        inner.close()


def test_guests_links_that_are_down_for_a_moment_come_up_also_after_a_kill(bed: GuardedBed) -> None:
    bed.play(AUTO)
    bed.start_guard()
    net = subnet_of(bed, "auto").rpartition(".")[0]
    bed.guest("vn-auto", f"{net}.50/24", f"{net}.1")
    eventually(lambda: noted(bed, "vn-auto") == ["tap3"])
    note = bed.root / "run/virtnet/links-down"
    bed.host.run("ip", "address", "add", f"{net}.7/24", "dev", "eth0")
    eventually(lambda: note.exists() or "so it moves to" in bed.journal)
    bed.kill_all()
    bed.log.write_text("")
    bed.start_guard()
    eventually(lambda: not note.exists() and "UP" in bed.link("tap3")["flags"])


def test_an_ipv6_subnet_that_is_somebody_elses_now_is_another_at_once(bed: GuardedBed) -> None:
    def own() -> str:
        definition = json.loads((bed.root / "etc/virtnet/networks/six.json").read_text())
        return str(definition["ipv6"]["address"])

    network = plain("six", ipv6={"address": "auto", "ra": False})
    bed.play(network)
    bed.start_guard()
    before4 = subnet_of(bed, "six")
    for event in ("-6 address add {net}::7/64 dev eth0 nodad", "-6 route add {net}::/80 dev eth0"):
        before = own()
        bed.host.run("ip", *event.format(net=before.partition("::")[0]).split())
        eventually(lambda: "so it moves to" in bed.journal and bed.is_idle())
        after = own()
        assert after != before and subnet_of(bed, "six") == before4
        addresses = [f"{one['local']}/{one['prefixlen']}" for one in bed.link("vn-six")["addr_info"]]
        assert after in addresses and before not in addresses and before4 in addresses
        guest = bed.guest("vn-six", f"{after.partition('::')[0]}::50/64")
        eventually(lambda: guest.pings(after.partition("/")[0]))  # noqa: B023
        assert bed.stop_guard() == 0
        bed.log.write_text("")
        bed.start_guard()
    assert bed.define(network, check=True)["changes"] == []


def test_a_fixed_network_stays_and_is_reported(lab: GuardedBed) -> None:
    lab.host.run("ip", "address", "add", "192.168.30.200/25", "dev", "eth0")
    eventually(lambda: "has a fixed address and stays" in lab.journal)
    assert "192.168.30.200/25 of eth0" in lab.command("check", check=False)
    (one,) = json.loads(lab.command("list", "--json"))
    assert any("192.168.30.200/25" in what for what in one["conflicts"])
    assert subnet_of(lab, "lab") == "192.168.30.1/24"


def test_an_uplink_that_flaps_makes_no_network_wander(bed: GuardedBed) -> None:
    bed.play(AUTO)
    bed.start_guard()
    before = subnet_of(bed, "auto")
    net = before.rpartition(".")[0]
    for _ in range(8):
        # By one process, so that the address stays for less than the guard waits on any machine.
        lines = f"address add {net}.7/24 dev eth0\naddress delete {net}.7/24 dev eth0\n"
        bed.host.run("ip", "-batch", "-", stdin=lines)
        time.sleep(0.1)
    time.sleep(CALM)
    assert subnet_of(bed, "auto") == before, bed.journal


def test_floods_of_events_from_elsewhere_start_nothing_and_change_nothing(lab: GuardedBed) -> None:
    eventually(lambda: rests(lab))
    # Every child of the guard that reads or changes anything takes the lock, and leaves its number there.
    lock = lab.root / "run/virtnet/lock"
    before, said = (lock.read_text(), lock.stat().st_mtime_ns), lab.journal
    for batch in range(10):
        lines = [
            f"address add 10.{batch}.{i}.1/24 dev eth0\naddress delete 10.{batch}.{i}.1/24 dev eth0" for i in range(50)
        ]
        lab.host.run("ip", "-batch", "-", stdin="\n".join(lines))
    eventually(lab.has_heard_all)
    time.sleep(CALM)
    assert (lock.read_text(), lock.stat().st_mtime_ns) == before and lab.journal == said
    # It was not deaf meanwhile.
    lab.host.run("ip", "link", "set", "vn-lab", "down")
    eventually(lambda: "bridge vn-lab: up false -> true" in lab.journal)


def test_what_breaks_again_and_again_is_healed_ever_more_rarely(lab: GuardedBed) -> None:
    def is_there() -> bool:
        return "vn_bridges" in lab.host.run("nft", "list", "ruleset")

    def put_off_after_one_more(words: str) -> bool:
        # Not into a repair that is under way: that would be one that failed.
        if lab.is_idle() and is_there():
            lab.host.run("nft", "delete", "table", "inet", "virtnet")
        return words in lab.journal

    eventually(lambda: put_off_after_one_more("its next repair is put off by 2 s"), 120)
    eventually(lambda: put_off_after_one_more("its next repair is put off by 4 s"), 120)
    eventually(is_there)


def test_a_guard_killed_at_any_moment_of_a_repair_loses_nothing(lab: GuardedBed) -> None:
    guest = guest_of(lab)
    # Alone, and with all that it runs, as systemd does with a unit's.
    kills = (lambda: lab.stop_guard(signal.SIGKILL), lab.kill_all)
    for delay, kill in product((0.0, 0.05, 0.1, 0.2, 0.4), kills):
        eventually(lambda: noted(lab) == ["tap3"] and lab.is_idle())
        lab.host.run("nft", "flush", "ruleset")
        lab.host.run("ip", "link", "delete", "vn-lab")
        time.sleep(delay)
        kill()
        lab.log.write_text("")
        lab.start_guard()
        eventually(lambda: masters(lab)["tap3"] == "vn-lab")
        eventually(lambda: guest.pings(OUTSIDE))
        eventually(lambda: "All is well" in lab.command("check", check=False))


def test_guests_that_are_plugged_in_later_are_kept_apart_at_once(bed: GuardedBed) -> None:
    """Rules alone would let what is not IP pass, such as ARP for the address of somebody else."""
    bed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "peer9")
    bed.play({**LAB, "isolate_guests": True, "bridge": {"ports": ["eth9"]}}, plain("open"))
    bed.start_guard()
    cards = [Card.of(bed.guest("vn-lab", f"192.168.30.{number}/24", "192.168.30.1")) for number in (2, 3, 4)]
    bed.guest("vn-open", "10.9.9.9/24")

    def marked() -> set[str]:
        ports = bed.host.json("bridge", "-d", "-j", "link", "show")
        return {one["ifname"] for one in ports if one.get("isolated")}

    eventually(lambda: marked() == {"tap3", "tap4", "tap5"})
    for number, card in enumerate(cards, 3):
        assert f"tap{number} is isolated from the other guests of vn-lab." in bed.journal
        assert card.space.pings("192.168.30.1")
    with tapped(cards[1].space) as tap:
        cards[0].send(arp_claim(cards[0].mac, "192.168.30.1"))
        assert cards[0].space.pings("192.168.30.1")
        assert cards[1].space.pings("192.168.30.1")
        assert not tap.received(bytes.fromhex(cards[0].mac.replace(":", "")))
    # Off the bridge and back, the kernel has forgotten the mark.
    bed.host.run("ip", "link", "set", "tap3", "nomaster")
    bed.host.run("ip", "link", "set", "tap3", "master", "vn-lab")
    eventually(lambda: marked() == {"tap3", "tap4", "tap5"})
    bed.play({**LAB, "isolate_guests": False, "bridge": {"ports": ["eth9"]}}, plain("open"))
    bed.guest("vn-lab", "192.168.30.5/24")
    eventually(bed.has_heard_all)
    assert marked() == set()
