# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run of which a task fails is undone as a whole, whichever task that is."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.libvirt_host import libvirt_host
from torture.host import Host, RunKilled, differences, new_host
from torture.plans import installation, site
from torture.scenario import error_of

LAB = {"name": "lab", "ipv4": {"address": "192.168.60.1/24"}, "dns": {"domain": "lab.test"}}
OLD = {"name": "old", "ipv4": {"address": "192.168.61.1/24"}, "port_forwards": [{"port": 8080, "to": "192.168.61.9"}]}
NEW = {"name": "new", "ipv4": {"address": "192.168.62.1/24"}}
# The run makes a network, changes one, and removes one.
CHANGED = [{**LAB, "mode": "isolated", "bridge": {"mtu": 1400}}, NEW, {"name": "old", "state": "absent"}]
# What remains is what was learnt of the networks, and what differs with each start of a server.
LEARNT = ("file /var/lib/virtnet/", "link vn-old", "process ")


def fail_at(word: str, fault: str, host: Host, *, part: str = "") -> str:
    """The error of a run to CHANGED that meets a fault at the first step with this word, after that of ``part``."""
    with new_host() as other:
        other.run_tasks([*installation(), *site([LAB, OLD])])
        steps = other.run_tasks(site(CHANGED))["steps"]
    first = next(i for i, text in enumerate(steps) if part in text)
    step = next(i for i, text in enumerate(steps[first:], first + 1) if word in text)
    return error_of(host.run_tasks(site(CHANGED), step=step, fault=fault))


def failing_once(program: str) -> str:
    """The command that makes the next start of a program fail."""
    text = f"#!/bin/sh\\numount -l {program}\\nexit 1\\n"
    return f"printf '{text}' >/run/once; chmod +x /run/once; mount --bind /run/once {program}"


def assert_untouched(host: Host, before: dict[str, Any]) -> None:
    after = host.snapshot()
    assert not [one for one in differences(before, after) if not one.startswith(LEARNT)]
    assert "link vn-old" in after and "link vn-new" not in after


def test_a_bridge_that_cannot_be_made_leaves_no_other_change() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB, OLD])])
        host.plug("vn-lab")
        before = host.snapshot()
        error = fail_at("AddBridge", "ip link add vn-new type veth peer name vn-new-peer", host)
        host.sh("ip link delete vn-new")
        assert "vn-new" in error
        assert (
            "everything that the run has changed is undone: new does not exist, and lab and old are as before" in error
        )
        assert_untouched(host, before)
        assert not error_of(host.run_tasks(site(CHANGED)))
        assert not [one for one in host.run_tasks(site(CHANGED), check=True)["answers"] if one["changed"]]


def test_rules_that_cannot_be_loaded_leave_no_other_change() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB, OLD])])
        before = host.snapshot()
        error = fail_at("nft", failing_once("/usr/sbin/nft"), host, part="AddBridge")
        host.sh("rm /run/once")
        assert "everything that the run has changed is undone" in error
        assert_untouched(host, before)


def test_what_cannot_be_undone_is_named_and_the_next_run_converges() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB, OLD])])
        error = fail_at("nft", "mount --bind /bin/false /usr/sbin/nft", host, part="AddBridge")
        assert "and what the run has changed could not be undone: " in error
        host.sh("umount /usr/sbin/nft")
        assert not error_of(host.run_tasks(site(CHANGED)))
        assert not [one for one in host.run_tasks(site(CHANGED), check=True)["answers"] if one["changed"]]


def test_a_bridge_that_another_network_has_now_stays() -> None:
    """The history of lab has it too."""
    with new_host() as host:
        host.run_tasks([*installation(), *site([{**LAB, "bridge": {"name": "vn-old"}}])])
        host.run_tasks(site([LAB]))
        host.run_tasks(site([LAB, OLD]))
        host.plug("vn-old")
        before = host.snapshot()
        define = ["virt_network", {"networks": [{**LAB, "bridge": {"mtu": 1400}}]}]
        error = error_of(host.run_tasks([define, ["bridge", {"name": "vn-lab", "mtu": 0}]]))
        assert "everything that the run has changed is undone: lab is as before" in error
        assert not differences(before, host.snapshot())


def test_a_task_that_cannot_record_that_its_part_is_done_fails_as_any_other() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB, OLD])])
        folder = "/run/virtnet/.pending.json.virtnet-tmp"
        error = fail_at(f"open {folder}", f"mkdir {folder}", host, part="AddBridge")
        assert "and what the run has changed could not be undone: cannot write" in error
        host.sh(f"rmdir {folder}")
        assert not error_of(host.run_tasks(site(CHANGED)))
        assert not [one for one in host.run_tasks(site(CHANGED), check=True)["answers"] if one["changed"]]


def test_the_cause_is_told_where_the_unit_of_a_private_dnsmasq_was_not_written_yet() -> None:
    with new_host(serving=False) as host:
        host.run_tasks(installation())
        host.sh("mkdir -p /etc/virtnet/dnsmasq.hosts/.unremovable.virtnet-tmp")
        error = error_of(host.run_tasks(site([LAB])))
        assert "cannot write /etc/virtnet/dnsmasq.hosts/" in error
        assert "everything that the run has changed is undone: lab does not exist" in error


def test_a_port_that_the_failed_run_attached_is_the_hosts_again() -> None:
    """Also for systemd-networkd, which is to leave ports of a bridge alone."""
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB])])
        host.sh("ip link add p1 type veth peer name p1-peer; mkdir /run/virtnet/listed-ports")
        before = host.snapshot()
        define, bridges = site([{**LAB, "bridge": {"ports": ["p1"]}}])[:2]
        error = error_of(host.run_tasks([define, bridges, ["dnsmasq_fragment", {"name": "lab", "interface": "-"}]]))
        assert "everything that the run has changed is undone: lab is as before" in error
        assert not differences(before, host.snapshot())


def test_a_definition_that_was_unreadable_before_is_named() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB])])
        host.sh("echo junk >/etc/virtnet/networks/lab.json")
        define, bridges = site([{**LAB, "ipv4": {"address": "192.168.63.1/24"}}])[:2]
        error = error_of(host.run_tasks([define, bridges, ["dnsmasq_fragment", {"name": "lab", "interface": "-"}]]))
        assert "what the run has changed could not be undone: the definition" in error
        assert "its network is left as it is until the definition is put right" in error
        assert host.sh("cat /etc/virtnet/networks/lab.json") == "junk\n"


def test_definitions_that_cannot_be_stored_leave_no_run_pending() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB])])
        folder = "/run/virtnet/networks/.unremovable.virtnet-tmp"
        host.sh(f"mkdir -p {folder}")
        before = host.snapshot()
        assert "cannot write /run/virtnet/networks" in error_of(host.run_tasks(site([{**NEW, "persistent": False}])))
        assert not [one for one in differences(before, host.snapshot()) if not one.startswith(LEARNT)]


@pytest.mark.parametrize("last_step", ["DeleteAddress", "os.rename /etc/.resolv.conf"])
def test_a_network_whose_move_was_interrupted_can_have_its_former_subnet(last_step: str) -> None:
    """The name server in our block of resolv.conf is that of the network, before and after the move."""
    moved = site([{**LAB, "ipv4": {"address": "192.168.63.1/24"}}])
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB])])
        steps = host.run_tasks(moved)["steps"]
        host.run_tasks(site([LAB]))
        before = host.snapshot()
        killed = next(i for i, text in enumerate(steps) if last_step in text) + 2
        with pytest.raises(RunKilled):
            host.run_tasks(moved, step=killed)
        assert not error_of(host.run_tasks(site([LAB])))
        assert not [one for one in differences(before, host.snapshot()) if not one.startswith(LEARNT)]


def test_a_program_that_does_not_start_is_named_and_the_run_is_undone() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB])])
        before = host.snapshot()
        host.sh("printf '#!/missing/interpreter' >/run/broken; chmod +x /run/broken")
        host.sh("mount --bind /run/broken /usr/sbin/tc; rm /run/broken")
        error = error_of(host.run_tasks(site([LAB, {**NEW, "bandwidth": {"inbound": {"average": 1000}}}])))
        host.sh("umount -l /usr/sbin/tc")
        assert "Traceback" not in error and "/tc cannot be started: No such file or directory" in error
        assert "everything that the run has changed is undone: new does not exist" in error
        assert not [one for one in differences(before, host.snapshot()) if not one.startswith(LEARNT)]


# The next task after virt_network fails.
FAILING = ["dnsmasq_fragment", {"fragments": [{"name": name, "interface": "-"} for name in ("lab", "new")]}]


def test_a_network_on_a_bridge_of_the_hosts_own_is_undone_as_well() -> None:
    """No task of bridges names that bridge."""
    own = {"name": "own", "mode": "bridged", "bridge": {"name": "br-own"}}
    with libvirt_host() as libvirt:
        host = libvirt.host
        host.sh("ip link add br-own type bridge")
        host.run_tasks([*installation(), *site([LAB])])
        before = host.snapshot()
        define = site([LAB, own])[0]
        error = error_of(host.run_tasks([define, ["bridge", {"name": "vn-lab", "addresses": [], "ports": ["vn-lab"]}]]))
        assert "everything that the run has changed is undone: own does not exist" in error
        assert not [one for one in differences(before, host.snapshot()) if not one.startswith(LEARNT)]
        assert not error_of(host.run_tasks(site([LAB, own])))
        assert "file /run/virtnet/pending.json" not in host.snapshot()
        assert set(libvirt.networks()) == {"lab", "own"}


def test_pools_that_the_failed_run_changed_are_as_before() -> None:
    pools, file = {"pools": ["10.77.0.0/16"]}, "file /var/lib/virtnet/choosing.json"
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB])])
        host.sh("ip link set vn-lab mtu 1400")
        before = host.snapshot()
        for networks in ([LAB, NEW], [LAB]):
            (name, options), *_parts = site(networks)
            error = error_of(host.run_tasks([[name, {**options, **pools}], FAILING]))
            assert (
                "everything that the run has changed is undone: " in error and "choice of subnets is as before" in error
            )
            after = host.snapshot()
            assert before.get(file) == after.get(file)
            assert not [one for one in differences(before, after) if not one.startswith((*LEARNT, "link vn-lab"))]
        (name, options), *parts = site([LAB])
        assert not error_of(host.run_tasks([[name, {**options, **pools}], *parts]))
        after = host.snapshot()
        assert "10.77.0.0/16" in str(after[file]) and "file /run/virtnet/pending.json" not in after


def test_a_network_that_libvirt_refuses_has_the_whole_run_undone() -> None:
    """Also what libvirt has accepted before."""
    with libvirt_host() as libvirt:
        host = libvirt.host
        titled = {**LAB, "title": "before"}
        host.run_tasks([*installation(), *site([titled, OLD])])
        host.plug("vn-lab")
        before, registered = host.snapshot(), libvirt.networks()
        changed = [{**LAB, "title": "after", "bridge": {"mtu": 1400}}, NEW, {"name": "old", "state": "absent"}]
        # libvirt cannot store what it has accepted.
        host.sh("mkdir -p /etc/libvirt/qemu/networks/new.xml.new /etc/libvirt/qemu/networks/new.xml")
        error = error_of(host.run_tasks(site(changed)))
        host.sh("rmdir /etc/libvirt/qemu/networks/new.xml.new /etc/libvirt/qemu/networks/new.xml")
        assert "libvirt does not accept the definition: " in error
        assert (
            "everything that the run has changed is undone: new does not exist, and lab and old are as before" in error
        )
        assert libvirt.networks() == registered
        assert_untouched(host, before)
        assert not error_of(host.run_tasks(site(changed)))
        assert not [one for one in host.run_tasks(site(changed), check=True)["answers"] if one["changed"]]
        assert "file /run/virtnet/pending.json" not in host.snapshot()


def test_definitions_that_are_stored_and_cannot_be_verified_are_undone() -> None:
    """Also where what to learn of the failure needs the program that failed."""
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB])])
        before = host.snapshot()
        steps = host.run_tasks(site([LAB, NEW]))["steps"]
        host.run_tasks(site([LAB, {"name": "new", "state": "absent"}]))
        stored = next(i for i, text in enumerate(steps, 1) if text.startswith("os.rename") and "/.new.json" in text)
        error = error_of(host.run_tasks(site([LAB, NEW]), step=stored, fault="rm /etc/virtnet/networks/.new.json*"))
        assert "virt_network: cannot write /etc/virtnet/networks/new.json: " in error
        assert "everything that the run has changed is undone: new does not exist" in error
        assert not [one for one in differences(before, host.snapshot()) if not one.startswith(LEARNT)]
        host.sh("printf '#!/missing/interpreter' >/run/broken; chmod +x /run/broken")
        error = error_of(host.run_tasks(site([LAB, NEW]), step=stored, fault="mount --bind /run/broken /usr/bin/ss"))
        host.sh("umount /usr/bin/ss; rm /run/broken")
        assert "virt_network: /usr/bin/ss cannot be started" in error
        assert "everything that the run has changed is undone: new does not exist" in error
        assert not [one for one in differences(before, host.snapshot()) if not one.startswith(LEARNT)]
