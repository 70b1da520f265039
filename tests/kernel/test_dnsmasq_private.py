# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private instances of dnsmasq while other programs hold ports, and moves from one dnsmasq to another."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import Layout, unit_text
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reconciler import Fragments, FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import (
    DnsmasqFailed,
    NoUsableDnsmasq,
    ServiceStatus,
    not_installed,
)
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.fragment_refresh import rewrite
from kernel.dhcp_client import renewals, take_leases
from kernel.dnsmasq_move import RENEWALS, move_networks
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAB_FRAGMENT,
    LAN_ADDRESS,
    LOCAL,
    NAMED_ADDRESS,
    PROGRAM,
    REFUSED,
    Daemon,
    DnsmasqTestbed,
    get_lease,
    has_ended,
    observe,
    resolve,
    run,
    running,
    serving,
)
from kernel.polling import eventually

LAB: dict[str, Any] = {
    **LAB_FRAGMENT,
    # Nothing is watched, because inotify instances are few; one test has an upstream.
    "upstream": False,
}
# A network in the shared instance.
OPEN = {**LAB, "upstream": True}


def other(number: int, **options: Any) -> dict[str, Any]:
    subnet = f"192.168.{100 + number}"
    return {
        "name": f"n{number}",
        "interface": f"virt{number}",
        "address": f"{subnet}.1/24",
        "ranges": [{"start": f"{subnet}.2", "end": f"{subnet}.200"}],
        **options,
    }


class DaemonWithoutService(Daemon):
    """A host with the program dnsmasq, but without its service."""

    def status(self) -> ServiceStatus:
        return not_installed(super().status().version)


@contextlib.contextmanager
def without_system_service(testbed: DnsmasqTestbed, folder: Path) -> Iterator[Daemon]:
    daemon = DaemonWithoutService(testbed.host, folder)
    try:
        yield daemon
    finally:
        daemon.private.close()


def assert_served(testbed: DnsmasqTestbed, folder: Path) -> dict[str, str]:
    lease = get_lease(testbed.guest, folder, "vmone")
    assert lease["ip"].startswith("192.168.100.")
    assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == lease["ip"]
    return lease


def test_host_without_the_service_gets_a_private_one(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with without_system_service(testbed, tmp_path) as daemon:
        planned = daemon.converge(LAB, check=True)
        plan = daemon.converge(LAB)
        assert planned.changes == plan.changes
        assert "lab: dnsmasq.d/lab.conf created (no usable system dnsmasq: there is no dnsmasq.service)" in map(
            str, plan.changes
        )
        assert plan.result[0]["instance"] == "private"
        assert_served(testbed, tmp_path)
        assert resolve(testbed.lan, LAN_ADDRESS) == REFUSED
        assert resolve(testbed.host, "127.0.0.1") == REFUSED
        assert not daemon.converge(LAB).changes
        assert daemon.private.starts == ["lab"]
        daemon.converge({"name": "lab", "state": "absent"})
        assert not get_lease(testbed.guest, tmp_path)
        assert files_of_engine(tmp_path) == {"var/lib/virtnet/dnsmasq/lab.leases"}


def files_of_engine(folder: Path) -> set[str]:
    """The files and links that belong to the engine."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path) for path in paths if "irtnet" in str(path) and path.parts[0] != "run"}


# Configurations of the administrator with which a private instance can run too.
COEXISTING_CASES = {
    "interface": "bind-dynamic\ninterface=eth0\n",
    "bind-interfaces": "bind-interfaces\ninterface=eth0\n",
    "lan-range": "bind-dynamic\ninterface=eth0\ndhcp-range=10.1.0.100,10.1.0.150,1h\n",
    "except": "bind-dynamic\nexcept-interface=virt*\n",
    "except-and-lan-range": "bind-dynamic\nexcept-interface=virt*\ndhcp-range=10.1.0.100,10.1.0.150,1h\n",
    "only-localhost": "local-service=host\n",
    "listen-address": "bind-interfaces\nlisten-address=10.1.0.1\n",
    "no-dns": "port=0\n",
}


@pytest.mark.parametrize("case", COEXISTING_CASES)
def test_a_private_instance_serves_the_guest_and_nothing_changes_for_others(
    testbed: DnsmasqTestbed, tmp_path: Path, case: str
) -> None:
    with serving(
        testbed, tmp_path, COEXISTING_CASES[case], () if "local-service" in COEXISTING_CASES[case] else LOCAL
    ) as daemon:
        before = observe(testbed, tmp_path)
        daemon.converge({**LAB, "instance": "private"})
        after = observe(testbed, tmp_path)
        # The private instance does not know the name that the system's does; any answer is enough.
        assert (after.guest_lease, after.guest_dns) == (True, "empty") or resolve(
            testbed.guest, BRIDGE_ADDRESS, "vmone"
        )
        assert after.guest_lease
        assert after.others == before.others
        assert_served(testbed, tmp_path)
        assert not daemon.converge({**LAB, "instance": "private"}).changes


BLOCKED_CASES = {
    "wildcard": ("", "port 53 there; write 'bind-dynamic' and 'except-interface=virt0' into"),
    "wildcard-except": ("except-interface=virt*\n", "port 53 there; write 'bind-dynamic' and"),
    "bind-dynamic": ("bind-dynamic\n", "port 53 there; write 'except-interface=virt0' into"),
    "no-dns-but-dhcp": ("port=0\ndhcp-range=10.1.0.100,10.1.0.150,1h\n", "67 for itself alone; write 'bind-dynamic'"),
}


@pytest.mark.parametrize("case", BLOCKED_CASES)
def test_a_system_dnsmasq_that_blocks_ports_is_reported_with_a_working_remedy(
    testbed: DnsmasqTestbed, tmp_path: Path, case: str
) -> None:
    config, words = BLOCKED_CASES[case]
    private = {**LAB, "instance": "private"}
    with serving(testbed, tmp_path, config) as daemon:
        with pytest.raises(NoUsableDnsmasq, match=words) as error:
            daemon.converge(private)
        assert (daemon.restarts, daemon.private.starts) == (0, [])
        lines = str(error.value).partition("; write ")[2].partition(" into ")[0].replace("'", "").split(" and ")
        daemon.write(config + "".join(f"{line}\n" for line in lines))
        daemon.restart()
        daemon.converge(private)
        assert_served(testbed, tmp_path)


def test_auto_chooses_a_private_instance_only_if_the_system_dnsmasq_cannot_serve(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path, "bind-dynamic\nexcept-interface=virt*\n") as daemon:
        plan = daemon.converge(LAB)
        assert "except-interface=virt*" in str(plan.changes)
        assert plan.result[0]["instance"] == "private"
        assert_served(testbed, tmp_path)


def test_auto_reports_why_neither_can_serve(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, "except-interface=virt*\n") as daemon:
        with pytest.raises(NoUsableDnsmasq, match=r"except-interface=virt\*.*private dnsmasq cannot.*port 53"):
            daemon.converge(LAB)
        assert (daemon.restarts, daemon.fragments, daemon.private.starts) == (0, {}, [])


def test_without_dns_in_the_system_dnsmasq_a_private_one_is_preferred(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, "port=0\n") as daemon:
        assert daemon.converge(LAB).result[0]["instance"] == "private"
        assert_served(testbed, tmp_path)
    second = tmp_path / "second"
    second.mkdir()
    with serving(testbed, second, "port=0\ndhcp-range=10.1.0.100,10.1.0.150,1h\n") as daemon:
        plan = daemon.converge(LAB)
        assert plan.result[0]["instance"] == "system"
        assert "no DNS server" in plan.notes[0]
        assert get_lease(testbed.guest, tmp_path)


@contextlib.contextmanager
def hold_port(testbed: DnsmasqTestbed, port: int, address: str, kind: int = socket.SOCK_DGRAM) -> Iterator[None]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with testbed.host.entered(), socket.socket(family, kind) as holder:
        holder.bind((address, port))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        yield


@pytest.mark.parametrize(
    ("port", "address", "kind"),
    [
        (53, "0.0.0.0", socket.SOCK_DGRAM),
        (53, "0.0.0.0", socket.SOCK_STREAM),
        (53, BRIDGE_ADDRESS, socket.SOCK_DGRAM),
        (67, "0.0.0.0", socket.SOCK_DGRAM),
        (547, "::", socket.SOCK_DGRAM),
    ],
)
def test_another_process_that_uses_a_port_is_reported(
    testbed: DnsmasqTestbed, tmp_path: Path, port: int, address: str, kind: int
) -> None:
    ipv6 = {"address": "fd00:100::1/64", "ranges": [{"start": "fd00:100::100", "end": "fd00:100::1ff"}]}
    with without_system_service(testbed, tmp_path) as daemon, hold_port(testbed, port, address, kind):
        with pytest.raises(NoUsableDnsmasq, match=rf"\(process {os.getpid()}\) holds .* port {port}"):
            daemon.converge({**LAB, "ipv6": ipv6})
        assert files_of_engine(tmp_path) == set()


@pytest.mark.parametrize("address", ["127.0.0.53", "127.0.0.1", LAN_ADDRESS])
def test_resolver_on_other_addresses_is_no_obstacle(testbed: DnsmasqTestbed, tmp_path: Path, address: str) -> None:
    with (
        without_system_service(testbed, tmp_path) as daemon,
        hold_port(testbed, 53, address),
        hold_port(testbed, 53, address, socket.SOCK_STREAM),
    ):
        daemon.converge(LAB)
        assert_served(testbed, tmp_path)


def test_renewals_reach_an_instance_of_several_networks(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.bridge("virt1", "192.168.101.1/24")
    with without_system_service(testbed, tmp_path) as daemon:
        daemon.converge(OPEN, other(1, domain="one.test"))
        assert daemon.private.starts == ["_shared"]
        leases = take_leases(testbed.guest, RENEWALS)
        assert len(leases) == RENEWALS
        assert renewals(testbed.guest, leases, BRIDGE_ADDRESS) == RENEWALS


def test_renewals_reach_private_ones_beside_another_dhcp_server(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.bridge("virt1", "192.168.101.1/24")
    config = "bind-dynamic\nexcept-interface=virt*\ndhcp-range=10.1.0.100,10.1.0.150,1h\n"
    with serving(testbed, tmp_path, config) as daemon:
        daemon.converge(OPEN, other(1))
        assert daemon.private.starts == ["lab", "n1"]
        leases = take_leases(testbed.guest, RENEWALS)
        assert len(leases) == RENEWALS
        assert renewals(testbed.guest, leases, BRIDGE_ADDRESS) == RENEWALS


def test_a_recreated_bridge_is_served_and_leases_are_renewed(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    config = "bind-dynamic\nexcept-interface=virt*\ndhcp-range=10.1.0.100,10.1.0.150,1h\n"
    testbed.delete_bridges()
    with serving(testbed, tmp_path, config) as daemon:
        daemon.converge(LAB)
        testbed.bridge()
        testbed.plug()
        plan = daemon.converge(LAB)
        assert [str(change) for change in plan.changes] == [
            "virtnet-dnsmasq@lab.service: restarted (its bridge was created again)"
        ]
        leases = take_leases(testbed.guest, RENEWALS)
        assert renewals(testbed.guest, leases, BRIDGE_ADDRESS) == RENEWALS == len(leases)
        assert not daemon.converge(LAB).changes


def test_lease_survives_a_restart_and_a_regrouping(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with without_system_service(testbed, tmp_path) as daemon:
        daemon.converge(OPEN)
        first = assert_served(testbed, tmp_path)["ip"]
        daemon.converge({**OPEN, "router": False})
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == first
        # To an instance of its own, and back.
        daemon.converge(LAB)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == first
        assert assert_served(testbed, tmp_path)["ip"] == first
        daemon.converge(OPEN)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == first
        assert daemon.private.starts == ["_shared", "_shared", "lab", "_shared"]


def test_networks_move_both_ways_with_their_leases() -> None:
    """In both families; a guest's name resolves before the guest sends anything again."""
    steps = move_networks()
    assert [step.served_by for step in steps] == ["system", "private", "system"]
    assert len({(step.known, step.known6, step.ipv4, step.ipv6, step.server_duid) for step in steps}) == 1
    assert steps[0].known == steps[0].ipv4 and steps[0].known6 == steps[0].ipv6
    assert all(step.renewed == RENEWALS and step.settled for step in steps)


def test_network_of_a_dnsmasq_that_was_removed_moves_with_its_leases(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(OPEN)
        first = assert_served(testbed, tmp_path)["ip"]
        daemon.stop()
        daemon.installed = False
        daemon.converge(OPEN)
        assert daemon.fragments == {}
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == first
        assert not daemon.converge(OPEN).changes


def test_a_failed_move_is_rolled_back(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, "bind-dynamic\n") as daemon:
        daemon.converge(OPEN)
        before = daemon.fragments
        first = assert_served(testbed, tmp_path)["ip"]
        daemon.write("bind-dynamic\nexcept-interface=virt0\n")
        with without_lease_files(daemon), pytest.raises(DnsmasqFailed, match="put back: "):
            daemon.converge(OPEN)
        assert daemon.fragments == before
        hosts = {f"etc/virtnet/dnsmasq.hosts/lab.{kind}" for kind in ("dhcp", "names")}
        drop_in = "etc/systemd/system/dnsmasq.service.d/virtnet.conf"
        assert files_of_engine(tmp_path) == {"etc/dnsmasq.d/virtnet-lab.conf", drop_in, *hosts}
        daemon.converge(OPEN)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == first


@contextlib.contextmanager
def without_lease_files(daemon: Daemon) -> Iterator[None]:
    """The lease file of the instance cannot be opened, which shows only at its start."""
    run = daemon.private.restart
    folder = Path(daemon.paths.private_leases)

    def restart(names: Any) -> None:
        for name in names:
            (folder / f"{name}.leases").unlink(missing_ok=True)
            (folder / f"{name}.leases").mkdir(parents=True)
        try:
            run(names)
        finally:
            for name in names:
                (folder / f"{name}.leases").rmdir()

    daemon.private.restart = restart  # type: ignore[method-assign]
    try:
        yield
    finally:
        daemon.private.restart = run  # type: ignore[method-assign]


def test_killed_instance_is_started_by_the_next_run(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with without_system_service(testbed, tmp_path) as daemon:
        daemon.converge(LAB)
        pid = daemon.private.pid("lab")
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: has_ended(pid))
        plan = daemon.converge(LAB)
        assert [str(change) for change in plan.changes] == ["virtnet-dnsmasq@lab.service: started (was inactive)"]
        assert_served(testbed, tmp_path)


def test_a_removed_configuration_of_a_running_instance_is_restored(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with without_system_service(testbed, tmp_path) as daemon:
        before = daemon.converge(LAB).changes
        (file,) = [change.path for change in before if change.path.endswith("/dnsmasq/lab.conf")]
        Path(file).unlink()
        changes = [str(change) for change in daemon.converge(LAB).changes]
        assert any("its configuration" in change for change in changes), changes
        assert daemon.converge(LAB).changes == []
        assert_served(testbed, tmp_path)


def test_the_host_resolves_names_of_private_networks_through_the_system_dnsmasq(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path, "bind-dynamic\ninterface=eth0\n") as daemon:
        daemon.converge({**LAB, "instance": "private"})
        first = assert_served(testbed, tmp_path)["ip"]
        assert resolve(testbed.host, "127.0.0.1", "vmone.virt.test") == first
        assert resolve(testbed.host, "127.0.0.1", ".".join(reversed(first.split("."))) + ".in-addr.arpa", "PTR") == (
            "vmone.virt.test."
        )
        assert resolve(testbed.lan, LAN_ADDRESS) == NAMED_ADDRESS
        daemon.converge(purge=True)
        assert daemon.fragments == {}


def test_networks_that_are_not_listed_stay(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.bridge("virt1", "192.168.101.1/24")
    with without_system_service(testbed, tmp_path) as daemon:
        daemon.converge(OPEN, other(1))
        daemon.converge({"name": "n1", "state": "absent"})
        assert_served(testbed, tmp_path)
        daemon.converge(other(1))
        assert_served(testbed, tmp_path)
        assert not daemon.converge(OPEN, other(1)).changes
        daemon.converge(other(1), purge=True)
        assert not get_lease(testbed.guest, tmp_path)


def test_fragments_are_right_for_a_configuration_that_changed_before_a_start(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    """What the drop-in on the unit of the system's dnsmasq does."""
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(OPEN)
        spec = FragmentSpec.from_options(Options(OPEN))
        part = Fragments([spec], False, daemon.paths, service=daemon, instances=daemon.private)
        assert rewrite([spec], daemon.paths, part) == []
        daemon.write("interface=eth0\n")
        assert rewrite([spec], daemon.paths, part) == [
            "lab: virtnet-lab.conf changed, since the configuration of dnsmasq has"
        ]
        daemon.restart()
        assert_served(testbed, tmp_path)
        assert not daemon.converge(OPEN).changes
        # A conflicting configuration is for the next run, a broken one for the administrator: the fragments stay.
        before = daemon.fragments
        daemon.write("except-interface=virt*\n")
        assert "moves the network" in rewrite([spec], daemon.paths, part)[0]
        daemon.write("no-such-option\n")
        with pytest.raises(VirtnetError, match="no-such-option"):
            rewrite([spec], daemon.paths, part)
        assert daemon.fragments == before


def test_a_dnsmasq_with_fixed_sockets_starts_without_the_bridge_and_serves_it_when_it_is_back(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.write("bind-interfaces\ninterface=lo\n")
        daemon.restart()
        daemon.converge(OPEN)
        spec = FragmentSpec.from_options(Options(OPEN))
        part = Fragments([spec], False, daemon.paths, service=daemon, instances=daemon.private)
        testbed.delete_bridges()
        with testbed.host.entered():
            assert rewrite([spec], daemon.paths, part) == [
                "lab: virtnet-lab.conf does not list virt0, which does not exist: dnsmasq would not start"
            ]
        daemon.restart()
        with testbed.host.entered():
            assert rewrite([spec], daemon.paths, part) == []
        # The host's own DNS works meanwhile; the network has it again as soon as somebody makes the bridge.
        assert daemon.status().running
        with pytest.raises(VirtnetError, match="make the bridge first"):
            daemon.converge(OPEN)
        testbed.bridge()
        testbed.plug()
        assert daemon.converge(OPEN).changes
        assert_served(testbed, tmp_path)


def test_lines_of_a_private_dnsmasq_in_the_journal_are_limited() -> None:
    text = unit_text(Layout(Paths("/")), PROGRAM)
    assert "\nLogRateLimitIntervalSec=30s\nLogRateLimitBurst=1000\n" in text.partition("[Service]")[2]


def test_the_drop_in_is_made_with_the_first_fragment_and_removed_with_the_last(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    """It does not depend on the engine, which its command tests itself."""
    engine = tmp_path / "usr/local/lib/virtnet/virtnet"
    drop_in = tmp_path / "etc/systemd/system/dnsmasq.service.d/virtnet.conf"
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(OPEN)
        (command,) = re.findall(r"^ExecStartPre=-/bin/sh -c '(.*)'$", drop_in.read_text(), re.MULTILINE)
        assert command.endswith(f"timeout 10 {engine} fragments")
        # Without the engine it does nothing, and says nothing of that.
        assert run(["sh", "-c", command]).stderr == ""
        assert not daemon.converge(OPEN).changes
        assert "LogRateLimitBurst=1000" in drop_in.read_text()
        restarts = daemon.restarts
        # With log-queries there is no limit; a changed limit needs no restart.
        daemon.write("log-queries\n")
        daemon.converge(OPEN)
        assert "LogRateLimit" not in drop_in.read_text()
        assert not daemon.converge(OPEN).changes
        assert daemon.restarts == restarts
        daemon.converge({"name": "lab", "state": "absent"})
        assert not drop_in.parent.exists()


def test_hundred_networks_in_one_instance(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    def network(i: int) -> dict[str, Any]:
        subnet = f"172.20.{i}"
        ranges = [{"start": f"{subnet}.2", "end": f"{subnet}.254"}]
        return {"name": f"n{i}", "interface": f"vn-n{i}", "address": f"{subnet}.1/24", "ranges": ranges}

    networks = [network(i) for i in range(1, 101)]
    testbed.bridge("vn-n100", "172.20.100.1/24")
    with without_system_service(testbed, tmp_path) as daemon:
        daemon.converge(*networks)
        assert daemon.private.starts == ["_shared"]
        testbed.unplug()
        testbed.plug("vn-n100")
        assert get_lease(testbed.guest, tmp_path)["ip"].startswith("172.20.100.")
        assert not daemon.converge(*networks, check=True).changes


def test_global_options_get_an_instance_of_their_own(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    upstream_folder = tmp_path / "upstream"
    upstream_folder.mkdir()
    names = {
        "forwarders": [{"address": "10.99.0.2"}],
        "forward_plain_names": True,
        "hosts": [{"ip": "192.0.2.7", "names": ["www.elsewhere.test"]}],
    }
    upstream = Daemon(testbed.uplink, upstream_folder, "address=/x.test/plain/203.0.113.7\n", ())
    fragment = {**OPEN, "names": names, "raw": ["address=/raw.test/203.0.113.8"]}
    with running(upstream), serving(testbed, tmp_path, "bind-dynamic\nexcept-interface=virt0\n") as daemon:
        plan = daemon.converge(fragment)
        assert plan.result[0]["instance"] == "private"
        assert not daemon.converge(fragment).changes
        answers = [
            resolve(testbed.host, BRIDGE_ADDRESS, name)
            for name in ("x.test", "plain", "www.elsewhere.test", "raw.test")
        ]
        assert answers == ["203.0.113.7", "203.0.113.7", "192.0.2.7", "203.0.113.8"]
        for name in ("x.test", "plain", "www.elsewhere.test", "raw.test"):
            assert resolve(testbed.lan, LAN_ADDRESS, name) == resolve(testbed.lan, LAN_ADDRESS, "nobody.invalid")
        with pytest.raises(VirtnetError, match="bad option in line .*no-such-thing"):
            daemon.converge({**fragment, "raw": ["no-such-thing"]})
        assert resolve(testbed.host, BRIDGE_ADDRESS, "raw.test") == "203.0.113.8"


def test_clients_may_keep_answers_for_the_time_that_is_given(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    def ttl(name: str, kind: str = "A", server: str = BRIDGE_ADDRESS) -> int:
        words = ("dig", "+noall", "+answer", "+time=3", f"@{server}", name, kind)
        (row,) = testbed.host.run(*words).stdout.splitlines()
        return int(row.split()[1])

    def fragment(**names: int) -> dict[str, Any]:
        return {**LAB_FRAGMENT, "names": {"hosts": record, "txt": text, **names}}

    record = [{"ip": "192.168.100.7", "names": ["nas.virt.test"]}]
    text = [{"name": "nas.virt.test", "value": "x"}]
    kinds = (
        ("nas.virt.test", "A"),
        ("nas.virt.test", "TXT"),
        ("vmone.virt.test", "A"),
        ("7.100.168.192.in-addr.arpa", "PTR"),
    )
    with serving(testbed, tmp_path, "bind-dynamic\nexcept-interface=virt0\n") as daemon:
        daemon.converge(fragment(ttl=60))
        assert take_leases(testbed.guest, 1, name="vmone")
        for given in (60, 90):
            daemon.converge(fragment(ttl=given))
            assert not daemon.converge(fragment(ttl=given)).changes
            assert [ttl(*one) for one in kinds] == [given] * len(kinds)
        daemon.converge(fragment())
        assert [ttl(*one) for one in kinds] == [0] * len(kinds)
    with serving(testbed, tmp_path / "same", "local-ttl=60\n") as daemon:
        assert daemon.converge(fragment(ttl=60)).result[0]["instance"] == "system"
        assert ttl("nas.virt.test") == 60


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("user=no-such-user", "unknown user or group: no-such-user"),
        ("dnssec", "no root trust anchor"),
        ("auth-zone=x.test", "--auth-server required"),
        ("conf-file=/no/such/file", "cannot read /no/such/file"),
        ("enable-tftp\ntftp-root=/no/such/folder", "TFTP directory /no/such/folder inaccessible"),
        ("resolv-file=/no/such/folder/file", "directory /no/such/folder/file for resolv-file is missing"),
    ],
)
def test_what_dnsmasq_refuses_only_when_it_starts_is_refused_in_check_mode(
    testbed: DnsmasqTestbed, tmp_path: Path, line: str, problem: str
) -> None:
    options = {**LAB, "instance": "private", "raw": line.split("\n")}
    with serving(testbed, tmp_path, "bind-dynamic\ninterface=lo\n") as daemon:
        for check in (True, False):
            with pytest.raises(VirtnetError, match=problem) as error:
                daemon.converge(options, check=check)
            assert "nothing was changed" in str(error.value)
        assert daemon.converge({**options, "raw": ["log-queries"]}).changes


def test_a_start_that_only_tests_leaves_nothing(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    def is_running() -> bool:
        # Other tests may have one for a moment.
        return run(["pgrep", "--full", "dnsmasq --conf-file=- --pid-file="], check=False).stdout != ""

    options = {
        **LAB,
        "instance": "private",
        "raw": ["log-queries"],
        "ipv6": {"address": "fd00:100::1/64", "stateless": True},
    }
    with serving(testbed, tmp_path, "bind-dynamic\ninterface=lo\n") as daemon:
        assert daemon.converge(options, check=True).changes
        assert eventually(lambda: not is_running())
        assert not list(tmp_path.rglob("*.leases"))


def test_a_hosts_file_of_the_host_is_served_where_a_line_says_so(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    """As /etc/hosts is by libvirt's dnsmasq, and by no private one of ours."""
    hosts = tmp_path / "hosts"
    hosts.write_text("10.99.0.7 nas.example nas\n")
    hosts.chmod(0o644)
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
    with without_system_service(testbed, tmp_path) as daemon:
        daemon.converge({**LAB_FRAGMENT, "raw": [f"addn-hosts={hosts}"]})
        for name in ("nas", "nas.example"):
            assert resolve(testbed.guest, BRIDGE_ADDRESS, name) == "10.99.0.7"
        daemon.converge(LAB_FRAGMENT)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nas") != "10.99.0.7"
