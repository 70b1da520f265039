# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard repairs faults, and changes nothing else."""

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
from kernel.frames import Nic, capture_frames, gratuitous_arp
from kernel.guard_testbed import GuardTestbed, network_without_services, new_testbed
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, Namespace

LAB = network_without_services("lab", ipv4={"address": "192.168.30.1/24"})
AUTO = network_without_services("auto")

# Seconds in which the guard reads an event that must not make it act.
QUIET_SECONDS = 1.2


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[GuardTestbed]:
    with new_testbed(tmp_path) as testbed:
        yield testbed


@pytest.fixture
def lab(testbed: GuardTestbed) -> GuardTestbed:
    """One fixed network, watched by the guard."""
    testbed.run_playbook(LAB)
    testbed.start_guard()
    return testbed


def add_connected_guest(testbed: GuardTestbed, bridge: str = "vn-lab", subnet: str = "192.168.30") -> Namespace:
    guest = testbed.add_guest(bridge, f"{subnet}.50/24", f"{subnet}.1")
    wait_until(lambda: guest.pings(OUTSIDE))
    return guest


def recorded_ports(testbed: GuardTestbed, bridge: str = "vn-lab") -> list[str]:
    """The ports that the guard would attach to a recreated bridge."""
    record = testbed.root / f"run/virtnet/ports/{bridge}.json"
    return [name for name, _index in json.loads(record.read_text())] if record.exists() else []


def masters(testbed: GuardTestbed) -> dict[str, str]:
    return {link["ifname"]: link.get("master", "") for link in testbed.host.json("ip", "-j", "link", "show")}


def is_quiet(testbed: GuardTestbed) -> bool:
    """Whether the guard does nothing for a while."""
    before = testbed.journal
    time.sleep(QUIET_SECONDS)
    return testbed.journal == before and testbed.is_idle()


def restart_guard(testbed: GuardTestbed) -> None:
    """A guard without delayed repairs and without moved networks in its memory."""
    assert testbed.stop_guard() == 0
    testbed.start_guard()


# Faults and the expected messages of the guard; few enough of each kind that no repair is delayed.
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


@pytest.mark.parametrize("faults", [RULES, BRIDGE, ADDRESSES])
def test_faults_are_repaired(lab: GuardTestbed, faults: tuple[tuple[str, str], ...]) -> None:
    guest = add_connected_guest(lab)
    wait_until(lambda: recorded_ports(lab) == ["tap3"])
    for fault, repair in faults:
        rules = lab.host.run("nft", "-a", "list", "chain", "inet", "virtnet", "vn_forward")
        before = len(lab.journal)
        lab.host.run(*fault.format(rule=re.findall(r"handle (\d+)", rules)[-1]).split())
        wait_until(lambda: f"Repaired: {repair}" in lab.journal[before:])  # noqa: B023
        wait_until(lambda: guest.pings(OUTSIDE))
        # The guard is idle then: its own changes cause no repair.
        wait_until(lambda: is_quiet(lab))
        assert lab.define(LAB, check=True)["changes"] == []
    assert "put off" not in lab.journal


LIMITS = {"inbound": {"average": 9000}, "outbound": {"average": 9000}}
ROUTED = {**LAB, "bandwidth": LIMITS, "routes": [{"to": "10.50.0.0/24", "via": "192.168.30.50"}]}


FAULTS = (
    "tc qdisc delete dev vn-lab root",
    "tc class change dev vn-lab parent 766e: classid 766e:1 htb rate 1gbit",
    "nft flush ruleset",
    "nft flush chain netdev virtnet in_vn-lab",
    "ip route delete 10.50.0.0/24",
    "ip link delete vn-lab",
)


def test_altered_limits_and_routes_are_repaired(testbed: GuardTestbed) -> None:
    testbed.run_playbook(ROUTED)
    testbed.start_guard()
    guest = add_connected_guest(testbed)
    bridges = testbed.define(ROUTED, check=True)["bridges"]
    for number, fault in enumerate(FAULTS):
        if number == len(FAULTS) // 2:
            restart_guard(testbed)
        before = testbed.journal.count("bridge vn-lab: ")
        testbed.host.run(*fault.split())
        wait_until(lambda: testbed.journal.count("bridge vn-lab: ") > before)  # noqa: B023
        wait_until(lambda: not testbed.task("bridge", bridges, check=True)["changed"])
    wait_until(lambda: guest.pings(OUTSIDE))


def test_ports_return_to_a_recreated_bridge_except_those_detached_before(lab: GuardTestbed) -> None:
    first, second = add_connected_guest(lab), lab.add_guest("vn-lab", "192.168.30.51/24")
    lab.host.run("ip", "link", "add", "other", "type", "bridge")
    third = lab.add_guest("vn-lab", "192.168.30.52/24")
    lab.add_guest("vn-lab", "192.168.30.53/24")
    # Else the guard may learn of the two only after their bridge is gone, and takes them for lost with it.
    wait_until(lambda: recorded_ports(lab) == ["tap3", "tap4", "tap5", "tap6"])
    lab.host.run("ip", "link", "set", "tap5", "nomaster")
    lab.host.run("ip", "link", "set", "tap6", "master", "other")
    wait_until(lambda: recorded_ports(lab) == ["tap3", "tap4"])
    lab.host.run("ip", "link", "delete", "vn-lab")
    wait_until(lambda: masters(lab).get("tap3") == masters(lab).get("tap4") == "vn-lab")
    wait_until(lambda: first.pings("192.168.30.51") and second.pings("192.168.30.1"))
    assert not third.pings("192.168.30.1")
    assert masters(lab)["tap5"] == "" and masters(lab)["tap6"] == "other"


def open_macvtap(testbed: GuardTestbed, name: str) -> subprocess.Popen[str]:
    """A process that has the device open, as a virtual machine has."""
    (device,) = testbed.host.run("sh", "-c", f"cat /sys/class/net/{name}/tap*/dev").split()
    file = Path(f"/dev/tap{testbed.link(name)['ifindex']}")
    if not file.exists():
        file = testbed.root / file.name
        major, minor = map(int, device.split(":"))
        os.mknod(file, 0o600 | stat.S_IFCHR, os.makedev(major, minor))
    process = testbed.host.start("sh", "-c", f"exec 3<>{file}; echo open; exec sleep infinity")
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    return process


def test_a_macvtap_deleted_with_its_bridge_is_reported(lab: GuardTestbed) -> None:
    for name in ("mvt0", "mvt1", "mvt2"):
        lab.host.run("ip", "link", "add", "link", "vn-lab", "name", name, "type", "macvtap", "mode", "bridge")
    guest = open_macvtap(lab, "mvt0")
    lab.host.run("ip", "link", "delete", "mvt1")
    wait_until(lab.has_read_all_events)
    lab.host.run("ip", "link", "delete", "vn-lab")
    wait_until(lambda: masters(lab).get("vn-lab") is not None)
    wait_until(lambda: "mvt0 was made on vn-lab and is gone with it." in lab.journal)
    wait_until(lambda: "mvt2 was made on vn-lab and is gone with it." in lab.journal)
    # The kernel deleted them, and the guard does not recreate devices that no guest could use; the owner deleted mvt1.
    assert not {"mvt0", "mvt1", "mvt2"} & set(masters(lab))
    assert "mvt1" not in lab.journal
    # Only one of them has a guest that must be restarted.
    wait_until(lab.is_idle)
    output = lab.command("check", check=False)
    assert f"mvt0 was made on vn-lab and is gone with it, and process {guest.pid} (sleep) still has it open" in output
    assert "mvt2" not in output
    guest.kill()
    guest.wait()
    wait_until(lambda: "All is well" in lab.command("check", check=False))


def test_a_restarted_guard_repairs_what_was_lost_while_it_was_down(lab: GuardTestbed) -> None:
    guest = add_connected_guest(lab)
    wait_until(lambda: recorded_ports(lab) == ["tap3"])
    lab.stop_guard(signal.SIGKILL)
    lab.host.run("ip", "link", "delete", "vn-lab")
    lab.host.run("nft", "flush", "ruleset")
    lab.start_guard()
    wait_until(lambda: guest.pings(OUTSIDE))
    assert lab.stop_guard() == 0


def test_without_inotify_files_are_polled(testbed: GuardTestbed) -> None:
    testbed.run_playbook(LAB)
    testbed.start_guard(inotify=False)
    assert "No inotify instance is left" in testbed.journal
    testbed.define(network_without_services("lab", ipv4={"address": "192.168.31.1/24"}))
    (testbed.root / "run/virtnet/pending.json").unlink()
    wait_until(lambda: "192.168.31.1/24" in testbed.host.run("ip", "address", "show", "dev", "vn-lab"))


def test_a_folder_created_after_the_start_of_the_guard_is_watched_also_when_it_is_recreated(lab: GuardTestbed) -> None:
    folder = lab.root / "etc/virtnet/dnsmasq.d"
    stray = folder / "stray.conf"
    for _time in range(2):
        folder.mkdir()
        # The guard has other work, and notices the folder then.
        lab.host.run("ip", "link", "set", "vn-lab", "down")
        wait_until(lambda: is_quiet(lab))
        stray.write_text("")
        wait_until(lambda: not folder.exists())


def test_a_stopped_network_stays_stopped_and_its_ports_return_when_it_is_started(lab: GuardTestbed) -> None:
    guest = add_connected_guest(lab)
    assert "Network lab stopped" in lab.command("stop", "lab")
    time.sleep(QUIET_SECONDS)
    assert "vn-lab" not in masters(lab)
    assert json.loads(lab.command("list", "--json"))[0]["state"] == "inactive"
    assert "Network lab started" in lab.command("start", "lab")
    wait_until(lambda: guest.pings(OUTSIDE))


def test_a_run_with_the_guard_running_makes_the_changes_that_check_mode_predicts(lab: GuardTestbed) -> None:
    add_connected_guest(lab)
    first_network = network_without_services("lab", ipv4={"address": "192.168.40.1/24"}, mode="routed")
    second_network = network_without_services("more", ipv4={"address": "192.168.41.1/24"})
    prediction = lab.define(first_network, second_network, check=True)
    predicted = [
        *prediction["changes"],
        *lab.task("bridge", prediction["bridges"], check=True)["changes"],
        *lab.task("nft", prediction["rules"], check=True)["changes"],
    ]
    definitions = lab.define(first_network, second_network)
    time.sleep(QUIET_SECONDS)
    changes = [*definitions["changes"], *lab.task("bridge", definitions["bridges"])["changes"]]
    time.sleep(QUIET_SECONDS)
    changes += lab.task("nft", definitions["rules"])["changes"]
    assert changes == predicted
    wait_until(lambda: not (lab.root / "run/virtnet/pending.json").exists())
    lab.host.run("nft", "flush", "ruleset")
    wait_until(lambda: "rules of more: created" in lab.journal)


def test_the_guard_completes_an_interrupted_run(lab: GuardTestbed) -> None:
    lab.define(LAB, network_without_services("more", ipv4={"address": "192.168.41.1/24"}))
    record = lab.root / "run/virtnet/pending.json"
    pending = {name: {**network, "until": 1} for name, network in json.loads(record.read_text()).items()}
    record.write_text(json.dumps(pending))
    wait_until(lambda: "vn-more" in masters(lab))
    assert "did not finish; the guard completes it" in lab.journal


def test_other_networks_are_guarded_while_a_run_is_under_way(lab: GuardTestbed) -> None:
    lab.define(LAB, network_without_services("more", ipv4={"address": "192.168.41.1/24"}))
    lab.host.run("ip", "link", "delete", "vn-lab")
    wait_until(lambda: "vn-lab" in masters(lab))
    assert "vn-more" not in masters(lab)


def subnet_of(testbed: GuardTestbed, name: str) -> str:
    definition = json.loads((testbed.root / f"etc/virtnet/networks/{name}.json").read_text())
    return str(definition["ipv4"]["address"])


def test_a_network_with_a_subnet_conflict_moves_at_once(testbed: GuardTestbed) -> None:
    testbed.run_playbook(AUTO, LAB)
    testbed.start_guard()
    for event in (
        "ip address add {net}.7/24 dev eth0",
        "ip route add {net}.128/25 dev eth0",
        "ip route add {net}.0/26 via 203.0.113.1",
    ):
        before = subnet_of(testbed, "auto")
        testbed.host.run(*event.format(net=before.rpartition(".")[0]).split())
        wait_until(lambda: "so it moves to" in testbed.journal and testbed.is_idle())
        after = subnet_of(testbed, "auto")
        assert after != before
        link = testbed.link("vn-auto")
        assert [
            f"{address['local']}/{address['prefixlen']}" for address in link["addr_info"] if address["family"] == "inet"
        ] == [after]
        add_connected_guest(testbed, "vn-auto", after.rpartition(".")[0])
        # A moved network does not move again for a while, but a new guard has no memory of it.
        assert testbed.stop_guard() == 0
        testbed.log.write_text("")
        testbed.start_guard()
    assert subnet_of(testbed, "lab") == "192.168.30.1/24"
    assert testbed.define(AUTO, LAB, check=True)["changes"] == []


def test_a_nested_host_moves_a_network_that_overlaps_its_uplink(testbed: GuardTestbed, tmp_path: Path) -> None:
    testbed.run_playbook(AUTO)
    (tmp_path / "inner").mkdir()
    inner = GuardTestbed(tmp_path / "inner")
    try:
        # The inner host chose its subnet before it had an uplink, on the same hardware, so both have the same subnet.
        inner.host.run("ip", "link", "delete", "eth0")
        inner.run_playbook(AUTO)
        inner.start_guard()
        before = subnet_of(testbed, "auto")
        assert subnet_of(inner, "auto") == before
        net = before.rpartition(".")[0]
        peer = ("peer", "name", "uplink", "netns", inner.host.name)
        testbed.host.run("ip", "link", "add", "tap-inner", "up", "type", "veth", *peer)
        testbed.plug("vn-auto", "tap-inner")
        inner.host.run("ip", "link", "set", "uplink", "up")
        inner.host.run("ip", "address", "add", f"{net}.50/24", "dev", "uplink")
        wait_until(lambda: "so it moves to" in inner.journal and inner.is_idle())
        inner.host.run("ip", "route", "add", "default", "via", f"{net}.1")
        after = subnet_of(inner, "auto")
        assert after != before and subnet_of(testbed, "auto") == before
        # Guests of both hosts reach the outside.
        add_connected_guest(inner, "vn-auto", after.rpartition(".")[0])
    finally:
        print(inner.journal)
        inner.close()


def test_ports_set_down_during_a_move_are_set_up_also_after_a_kill(testbed: GuardTestbed) -> None:
    testbed.run_playbook(AUTO)
    testbed.start_guard()
    net = subnet_of(testbed, "auto").rpartition(".")[0]
    testbed.add_guest("vn-auto", f"{net}.50/24", f"{net}.1")
    wait_until(lambda: recorded_ports(testbed, "vn-auto") == ["tap3"])
    record = testbed.root / "run/virtnet/links-down"
    testbed.host.run("ip", "address", "add", f"{net}.7/24", "dev", "eth0")
    wait_until(lambda: record.exists() or "so it moves to" in testbed.journal)
    testbed.kill_all()
    testbed.log.write_text("")
    testbed.start_guard()
    wait_until(lambda: not record.exists() and "UP" in testbed.link("tap3")["flags"])


def test_a_network_with_an_ipv6_subnet_conflict_moves_at_once(testbed: GuardTestbed) -> None:
    def ipv6_address() -> str:
        definition = json.loads((testbed.root / "etc/virtnet/networks/six.json").read_text())
        return str(definition["ipv6"]["address"])

    network = network_without_services("six", ipv6={"address": "auto", "ra": False})
    testbed.run_playbook(network)
    testbed.start_guard()
    before4 = subnet_of(testbed, "six")
    for event in ("-6 address add {net}::7/64 dev eth0 nodad", "-6 route add {net}::/80 dev eth0"):
        before = ipv6_address()
        testbed.host.run("ip", *event.format(net=before.partition("::")[0]).split())
        wait_until(lambda: "so it moves to" in testbed.journal and testbed.is_idle())
        after = ipv6_address()
        assert after != before and subnet_of(testbed, "six") == before4
        addresses = [f"{address['local']}/{address['prefixlen']}" for address in testbed.link("vn-six")["addr_info"]]
        assert after in addresses and before not in addresses and before4 in addresses
        guest = testbed.add_guest("vn-six", f"{after.partition('::')[0]}::50/64")
        wait_until(lambda: guest.pings(after.partition("/")[0]))  # noqa: B023
        assert testbed.stop_guard() == 0
        testbed.log.write_text("")
        testbed.start_guard()
    assert testbed.define(network, check=True)["changes"] == []


def test_a_bridge_that_gets_another_name_is_replaced_with_its_addresses(testbed: GuardTestbed) -> None:
    testbed.run_playbook(LAB)
    renamed = {**LAB, "bridge": {"name": "br-lab"}}
    testbed.run_playbook(renamed)
    links = {link["ifname"]: link for link in testbed.host.json("ip", "-j", "address", "show")}
    assert "vn-lab" not in links
    assert "192.168.30.1" in {address["local"] for address in links["br-lab"]["addr_info"]}
    assert testbed.define(renamed, check=True)["changes"] == []


def test_rules_follow_an_uplink_that_appears_later_and_is_known_by_an_alternative_name(testbed: GuardTestbed) -> None:
    testbed.run_playbook({**LAB, "uplink": "wan9"})
    testbed.start_guard()
    testbed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9p")
    testbed.host.run("ip", "link", "property", "add", "dev", "eth9", "altname", "wan9")
    testbed.host.run("ip", "link", "set", "eth9", "up")
    uplinks = ("nft", "list", "set", "inet", "virtnet", "vn_uplinks")
    wait_until(lambda: '"vn-lab" . "eth9"' in testbed.host.run(*uplinks))
    # Another link gets the name.
    testbed.host.run("ip", "link", "add", "eth8", "type", "veth", "peer", "name", "eth8p")
    wait_until(testbed.has_nothing_scheduled)
    testbed.host.run("ip", "link", "property", "del", "dev", "eth9", "altname", "wan9")
    testbed.host.run("ip", "link", "property", "add", "dev", "eth8", "altname", "wan9")
    wait_until(lambda: '"vn-lab" . "eth8"' in testbed.host.run(*uplinks))
    assert '"eth9"' not in testbed.host.run(*uplinks)


def test_a_fixed_network_stays_and_is_reported(lab: GuardTestbed) -> None:
    lab.host.run("ip", "address", "add", "192.168.30.200/25", "dev", "eth0")
    wait_until(lambda: "has a fixed address and stays" in lab.journal)
    assert "192.168.30.200/25 of eth0" in lab.command("check", check=False)
    (network,) = json.loads(lab.command("list", "--json"))
    assert any("192.168.30.200/25" in conflict for conflict in network["conflicts"])
    assert subnet_of(lab, "lab") == "192.168.30.1/24"


def test_a_flapping_uplink_moves_no_network(testbed: GuardTestbed) -> None:
    testbed.run_playbook(AUTO)
    testbed.start_guard()
    before = subnet_of(testbed, "auto")
    net = before.rpartition(".")[0]
    for _ in range(8):
        # In one process, so that the address exists for less time than the guard waits on any machine.
        lines = f"address add {net}.7/24 dev eth0\naddress delete {net}.7/24 dev eth0\n"
        testbed.host.run("ip", "-batch", "-", stdin=lines)
        time.sleep(0.1)
    time.sleep(QUIET_SECONDS)
    assert subnet_of(testbed, "auto") == before, testbed.journal


def test_a_flood_of_unrelated_events_starts_no_repair(lab: GuardTestbed) -> None:
    wait_until(lambda: is_quiet(lab))
    # Every child of the guard that reads or changes state takes the lock, and writes its pid there.
    lock = lab.root / "run/virtnet/lock"
    before, journal = (lock.read_text(), lock.stat().st_mtime_ns), lab.journal
    for batch in range(10):
        lines = [
            f"address add 10.{batch}.{i}.1/24 dev eth0\naddress delete 10.{batch}.{i}.1/24 dev eth0" for i in range(50)
        ]
        lab.host.run("ip", "-batch", "-", stdin="\n".join(lines))
    wait_until(lab.has_read_all_events)
    time.sleep(QUIET_SECONDS)
    assert (lock.read_text(), lock.stat().st_mtime_ns) == before and lab.journal == journal
    # The guard still reacts to faults.
    lab.host.run("ip", "link", "set", "vn-lab", "down")
    wait_until(lambda: "bridge vn-lab: up false -> true" in lab.journal)


def test_repairs_of_a_recurring_fault_are_delayed_more_and_more(lab: GuardTestbed) -> None:
    def rules_exist() -> bool:
        return "vn_bridges" in lab.host.run("nft", "list", "ruleset")

    def delayed_after_another_fault(message: str) -> bool:
        # Not during a repair, which would then count as failed.
        if lab.is_idle() and rules_exist():
            lab.host.run("nft", "delete", "table", "inet", "virtnet")
        return message in lab.journal

    wait_until(lambda: delayed_after_another_fault("its next repair is put off by 2 s"), 120)
    wait_until(lambda: delayed_after_another_fault("its next repair is put off by 4 s"), 120)
    wait_until(rules_exist)


def test_a_guard_killed_at_any_moment_of_a_repair_loses_nothing(lab: GuardTestbed) -> None:
    guest = add_connected_guest(lab)
    # Kill the guard alone, and with all its children, as systemd does with a unit.
    kills = (lambda: lab.stop_guard(signal.SIGKILL), lab.kill_all)
    for delay, kill in product((0.0, 0.05, 0.1, 0.2, 0.4), kills):
        wait_until(lambda: recorded_ports(lab) == ["tap3"] and lab.is_idle())
        lab.host.run("nft", "flush", "ruleset")
        lab.host.run("ip", "link", "delete", "vn-lab")
        time.sleep(delay)
        kill()
        lab.log.write_text("")
        lab.start_guard()
        wait_until(lambda: masters(lab)["tap3"] == "vn-lab")
        wait_until(lambda: guest.pings(OUTSIDE))
        wait_until(lambda: "All is well" in lab.command("check", check=False))


def test_guests_attached_later_are_in_hairpin_mode_at_once(testbed: GuardTestbed) -> None:
    testbed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "peer9")
    lab = {**LAB, "bridge": {"ports": ["eth9"], "hairpin": True}}
    testbed.run_playbook(lab, network_without_services("open"))
    testbed.start_guard()
    for number in (2, 3):
        testbed.add_guest("vn-lab", f"192.168.30.{number}/24", "192.168.30.1")
    testbed.add_guest("vn-open", "10.9.9.9/24")

    def hairpin_ports() -> set[str]:
        ports = testbed.host.json("bridge", "-d", "-j", "link", "show")
        return {port["ifname"] for port in ports if port.get("hairpin")}

    wait_until(lambda: hairpin_ports() == {"tap3", "tap4"})
    assert "tap4 is in hairpin mode on vn-lab." in testbed.journal
    # A port that leaves the bridge and returns has lost its mode in the kernel.
    testbed.host.run("ip", "link", "set", "tap3", "nomaster")
    testbed.host.run("ip", "link", "set", "tap3", "master", "vn-lab")
    wait_until(lambda: hairpin_ports() == {"tap3", "tap4"})
    # What a bridge loses with its deletion returns with it.
    testbed.host.run("ip", "link", "delete", "vn-lab")
    wait_until(lambda: hairpin_ports() == {"tap3", "tap4"})
    # A damaged record stops neither the guard nor a run.
    for record in ('[["\\u0000", 5]]', '[["\\ud800", 5]]', '[["lo", Infinity]]'):
        (testbed.root / "run/virtnet/hairpin-ports/vn-lab.json").write_text(record)
        testbed.host.run("ip", "link", "set", "tap3", "nomaster")
        testbed.host.run("ip", "link", "set", "tap3", "master", "vn-lab")
        wait_until(lambda: hairpin_ports() == {"tap3", "tap4"}, 10)
    testbed.host.run("bridge", "link", "set", "dev", "tap4", "hairpin", "off")
    testbed.run_playbook(lab, network_without_services("open"))
    testbed.run_playbook({**LAB, "bridge": {"ports": ["eth9"]}}, network_without_services("open"))
    testbed.add_guest("vn-lab", "192.168.30.5/24")
    wait_until(testbed.has_read_all_events)
    assert hairpin_ports() == set()


def test_guests_attached_later_are_isolated_at_once(testbed: GuardTestbed) -> None:
    """The rules alone would accept other protocols than IP, such as ARP for another guest's address."""
    testbed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "peer9")
    testbed.run_playbook(
        {**LAB, "isolate_guests": True, "bridge": {"ports": ["eth9"]}}, network_without_services("open")
    )
    testbed.start_guard()
    nics = [Nic.of(testbed.add_guest("vn-lab", f"192.168.30.{number}/24", "192.168.30.1")) for number in (2, 3, 4)]
    testbed.add_guest("vn-open", "10.9.9.9/24")

    def isolated_ports() -> set[str]:
        ports = testbed.host.json("bridge", "-d", "-j", "link", "show")
        return {port["ifname"] for port in ports if port.get("isolated")}

    wait_until(lambda: isolated_ports() == {"tap3", "tap4", "tap5"})
    for number, nic in enumerate(nics, 3):
        assert f"tap{number} is isolated from the other guests of vn-lab." in testbed.journal
        assert nic.namespace.pings("192.168.30.1")
    with capture_frames(nics[1].namespace) as capture:
        nics[0].send(gratuitous_arp(nics[0].mac, "192.168.30.1"))
        assert nics[0].namespace.pings("192.168.30.1")
        assert nics[1].namespace.pings("192.168.30.1")
        assert not capture.contains(bytes.fromhex(nics[0].mac.replace(":", "")))
    # A port that leaves the bridge and returns has lost the isolation flag in the kernel.
    testbed.host.run("ip", "link", "set", "tap3", "nomaster")
    testbed.host.run("ip", "link", "set", "tap3", "master", "vn-lab")
    wait_until(lambda: isolated_ports() == {"tap3", "tap4", "tap5"})
    testbed.run_playbook(
        {**LAB, "isolate_guests": False, "bridge": {"ports": ["eth9"]}}, network_without_services("open")
    )
    testbed.add_guest("vn-lab", "192.168.30.5/24")
    wait_until(testbed.has_read_all_events)
    assert isolated_ports() == set()
