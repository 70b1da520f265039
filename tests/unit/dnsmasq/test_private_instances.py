# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private instances without a host: placement, groups, files, leases, sockets."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core import systemctl
from ansible_collections.virtnet.linux.plugins.module_utils.core.command import Completed
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import Locked, VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.files import File, write_files
from ansible_collections.virtnet.linux.plugins.module_utils.core.lock import lock
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import Plan, converge, converge_locked
from ansible_collections.virtnet.linux.plugins.module_utils.core.systemctl import Unit
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq import state_reader
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq import system_service as dnsmasq_service
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.config_reader import read_config
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import parse
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_transfer import LeaseTransfer, refuse_overfull
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import (
    Layout,
    unit_text,
    upstream_lines,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reconciler import Fragments, FragmentSpec, State
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.sockets import Socket, parse_sockets
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import (
    NoUsableDnsmasq,
    ServiceStatus,
    SystemDnsmasq,
    not_installed,
)
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration import fragment_refresh as dnsmasq_refresh
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.fragment_refresh import refresh

LAYOUT = Layout(Paths())
ACTIVE = ServiceStatus(not_installed().command, version=(2, 90), active="active", enabled="enabled", pid=1)
ABSENT = not_installed((2, 90))


def network(name: str, number: int, **more: Any) -> dict[str, Any]:
    subnet = f"10.0.{number}"
    ranges = [{"start": f"{subnet}.2", "end": f"{subnet}.9"}]
    return {"name": name, "interface": f"vn-{name}", "address": f"{subnet}.1/24", "ranges": ranges, **more}


LAB, WEB = network("lab", 1), network("web", 2)
CLOSED = network("closed", 3, upstream=False)
SILENT = network("silent", 4, dns=False)


class Texts:
    """The system's configuration in memory."""

    def __init__(self, main: str) -> None:
        self.main = main

    def text(self, path: str) -> str:
        return self.main

    def names(self, folder: str) -> list[str]:
        return []

    def identity(self, path: str) -> str | None:
        return path if path == "/etc/dnsmasq.conf" else None

    def output(self, command: str) -> str:
        raise AssertionError(command)


def state(service: ServiceStatus = ABSENT, main: str = "", **more: Any) -> State:
    return State(service, read_config(service.command, Texts(main), "/etc/dnsmasq.d"), **{"fragments": {}, **more})


def plan(current: State, *networks: dict[str, Any], purge: bool = False) -> Plan[Any]:
    specs = [FragmentSpec.from_options(Options(options, f"fragments[{i}]")) for i, options in enumerate(networks)]
    return Fragments(specs, purge, Paths()).plan(current)


def after(current: State, planned: Plan[Any]) -> State:
    """The state that the changes lead to, with every instance running."""
    files, private = dict(current.fragments), dict(current.private_files)
    for change in planned.changes:
        if change.file:
            files[change.file] = change.content
        if change.path:
            private[change.path] = change.content
        private.update(change.hosts_files)
    private = {path: content for path, content in private.items() if content is not None}
    names = [LAYOUT.name_of(path) for path in private if path == LAYOUT.instance(LAYOUT.name_of(path))]
    return replace(
        current,
        fragments={name: content for name, content in files.items() if content is not None},
        private_files=private,
        enabled_instances=names,
        instances={name: Unit(active="active", main_pid=100 + i) for i, name in enumerate(names)},
    )


# A stock Debian host: the system's dnsmasq runs, with sockets for every address.
STOCK = state(ACTIVE, program="/usr/sbin/dnsmasq")


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"raw": ["stop-dns-rebind"]}, "raw[0] 'stop-dns-rebind' is for a whole dnsmasq"),
        ({"raw": ["dhcp-ignore=tag:!known", "filter-AAAA"]}, "raw[1] 'filter-AAAA' is for a whole dnsmasq"),
        ({"names": {"forwarders": [{"address": "10.9.9.9"}]}}, "names.forwarders[0].domain is missing"),
        ({"names": {"forward_plain_names": False}}, "names.forward_plain_names would hold for everybody"),
        ({"names": {"ttl": 60}}, "names.ttl would hold for everybody"),
        (
            {"domain": "lab.test", "names": {"hosts": [{"ip": "10.0.1.9", "names": ["www.internet.test"]}]}},
            "names.hosts[0].names[0] www.internet.test is outside the network's domain lab.test",
        ),
    ],
)
def test_what_neither_dnsmasq_can_do_is_refused_and_not_dropped(options: dict[str, Any], cause: str) -> None:
    with pytest.raises(NoUsableDnsmasq) as refusal:
        plan(STOCK, network("lab", 1, **options))
    message = str(refusal.value)
    assert f"fragments[0].{cause}" in message
    assert "the system's dnsmasq holds port 53 there; write 'bind-dynamic' and 'except-interface=vn-lab'" in message
    assert "or disable that service" in message


@pytest.mark.parametrize(
    ("main", "options"),
    [
        ("stop-dns-rebind\n", {"raw": ["stop-dns-rebind"]}),
        ("cache-size=0\ndomain-needed\n", {"raw": ["cache-size = 0"], "names": {"forward_plain_names": False}}),
        ("", {"names": {"forward_plain_names": True}}),
        ("local-ttl=60\n", {"names": {"ttl": 60}}),
    ],
)
def test_what_the_system_does_for_everybody_already_is_in_force(main: str, options: dict[str, Any]) -> None:
    planned = plan(state(ACTIVE, main, program="/usr/sbin/dnsmasq"), network("lab", 1, **options))
    content = next(change.content for change in planned.changes if change.file == "virtnet-lab.conf")
    assert content and not any(line in content.splitlines() for line in (*main.splitlines(), "cache-size = 0"))


def test_lines_for_known_guests_are_refused_where_the_system_ignores_unknown_ones() -> None:
    current = state(ACTIVE, "dhcp-ignore=tag:!known\n", program="/usr/sbin/dnsmasq")
    for instance in ("auto", "system"):
        with pytest.raises(NoUsableDnsmasq, match=r"raw\[0\] 'dhcp-ignore=tag:!known' is about known guests"):
            plan(current, network("lab", 1, raw=["dhcp-ignore=tag:!known"], instance=instance))


def test_the_systems_dnsmasq_serves_lines_that_are_limited_to_the_network() -> None:
    lines = ["dhcp-option=3,10.0.1.200", "dhcp-ignore=tag:!known"]
    planned = plan(STOCK, network("lab", 1, raw=lines))
    content = next(change.content or "" for change in planned.changes if change.file == "virtnet-lab.conf")
    assert content.endswith("dhcp-option=tag:vn-lab,3,10.0.1.200\ndhcp-ignore=tag:vn-lab,tag:!known\n")


@pytest.mark.parametrize(("policy", "restarts"), [("no", True), ("on-abnormal", True), ("always", False)])
def test_the_systems_dnsmasq_starts_again_after_a_signal_unless_somebody_decides_otherwise(
    policy: str, restarts: bool
) -> None:
    current = state(replace(ACTIVE, restart_policy=policy), program="/usr/sbin/dnsmasq")
    planned = plan(current, network("lab", 1))
    drop_in = next(change.content or "" for change in planned.changes if change.path == Paths().dnsmasq_drop_in)
    assert ("\nRestart=on-abnormal\n" in drop_in) is restarts


def test_a_file_of_servers_of_the_users_own_stands_alone() -> None:
    planned = plan(state(program="/usr/sbin/dnsmasq"), network("lab", 1, raw=["resolv-file=/etc/lab.resolv"]))
    content = next(change.content or "" for change in planned.changes if change.path == LAYOUT.instance("lab"))
    assert "resolv-file" not in content and "no-resolv" not in content


def test_the_systems_dnsmasq_serves_no_network_whose_address_another_name_server_has_taken() -> None:
    """As BIND does with each new address, which dnsmasq could not bind to at its next start."""
    taken = Socket("udp", "10.0.1.1", 53, "", "named", 7)
    dynamic = state(ACTIVE, "bind-dynamic\ninterface=lo\n", program="/usr/sbin/dnsmasq", sockets=[taken])
    with pytest.raises(NoUsableDnsmasq, match=r"named \(process 7\) holds UDP port 53 on 10.0.1.1; stop that, have it"):
        plan(dynamic, network("lab", 1))
    assert "virtnet-web.conf" in {change.file for change in plan(dynamic, network("web", 2)).changes}
    redirected = plan(dynamic, network("lab", 1, redirect=True))
    assert LAYOUT.fragment("lab") in {change.path for change in redirected.changes}


def groups(current: State) -> dict[str, list[str]]:
    """Networks by instance, from the files."""
    members = {}
    for path, content in current.private_files.items():
        if path == LAYOUT.instance(LAYOUT.name_of(path)):
            lines = [line for line in content.splitlines() if line.startswith("conf-file=")]
            members[LAYOUT.name_of(path)] = [line.rpartition("/")[2].removesuffix(".conf") for line in lines]
    return members


def test_networks_share_an_instance_unless_they_need_settings_of_a_whole_instance() -> None:
    applied = after(state(), plan(state(), LAB, CLOSED, WEB, SILENT))
    assert groups(applied) == {"_shared": ["lab", "web"], "closed": ["closed"], "silent": ["silent"]}
    assert "no-resolv" in applied.private_files[LAYOUT.instance("closed")].splitlines()
    assert "port=0" in applied.private_files[LAYOUT.instance("silent")].splitlines()
    assert not plan(applied, LAB, CLOSED, WEB, SILENT).changes


def test_each_network_has_its_own_instance_if_another_dhcp_server_is_not_bound_to_a_device() -> None:
    bound = Socket("udp", "0.0.0.0", 67, "virbr0", "dnsmasq", 7)
    assert groups(after(state(), plan(state(sockets=[bound]), LAB, WEB))) == {"_shared": ["lab", "web"]}
    unbound = replace(bound, device="")
    assert groups(after(state(), plan(state(sockets=[unbound]), LAB, WEB))) == {"lab": ["lab"], "web": ["web"]}
    # Our instances and the system's dnsmasq, whose configuration is checked instead, do not count.
    own = state(sockets=[unbound], instances={"_shared": Unit(active="active", main_pid=7)})
    assert groups(after(state(), plan(own, LAB, WEB))) == {"_shared": ["lab", "web"]}


@pytest.mark.parametrize(
    ("service", "main", "instance"),
    [
        (ACTIVE, "", "system"),
        (replace(ACTIVE, active="failed", pid=0), "", "system"),
        (replace(ACTIVE, enabled="disabled", active="inactive", pid=0), "", "private"),
        (replace(ACTIVE, enabled="masked", active="inactive", pid=0), "", "private"),
        (ABSENT, "", "private"),
        (ACTIVE, "bind-dynamic\nexcept-interface=vn-lab\n", "private"),
        (ACTIVE, "port=0\n", "private"),
    ],
)
def test_auto_selects_the_systems_dnsmasq_if_it_is_enabled_and_suitable(
    service: ServiceStatus, main: str, instance: str
) -> None:
    assert plan(state(service, main), LAB).result[0]["instance"] == instance


def test_auto_selects_a_private_one_if_none_is_installed() -> None:
    assert plan(state(ABSENT, program=""), LAB).result[0]["instance"] == "private"


def test_a_failed_systems_dnsmasq_serves_no_new_network_while_another_program_holds_its_port() -> None:
    failed = replace(ACTIVE, active="failed", pid=0)
    named = Socket("udp", "10.9.9.9", 53, "", "named", 7)
    held = state(failed, "bind-dynamic\nexcept-interface=vn-*\n", sockets=[named])
    assert plan(held, LAB).result[0]["instance"] == "private"
    serving = state(failed, fragments={"virtnet-web.conf": "dhcp-range=x\n"}, sockets=[named])
    assert plan(serving, LAB).result[0]["instance"] == "system"
    # Here our own instance may hold the port.
    assert plan(state(failed), LAB).result[0]["instance"] == "system"


def test_disabled_service_that_still_runs_is_named() -> None:
    with pytest.raises(NoUsableDnsmasq, match="not enabled .disabled.*system's dnsmasq holds port 53.*disable"):
        plan(state(replace(ACTIVE, enabled="disabled")), LAB)


def test_all_networks_are_private_if_one_must_be_and_the_system_allows_no_other_dhcp_server() -> None:
    result = plan(state(ACTIVE, "port=0\n"), LAB, {**WEB, "instance": "private"}).result
    assert [network["instance"] for network in result] == ["private", "private"]


def test_unnamed_networks_stay_and_purge_removes_them() -> None:
    applied = after(state(), plan(state(), LAB, WEB))
    assert groups(after(applied, plan(applied, {"name": "web", "state": "absent"}))) == {"_shared": ["lab"]}
    assert not plan(applied, LAB).changes
    assert groups(after(applied, plan(applied, LAB, purge=True))) == {"_shared": ["lab"]}
    assert after(applied, plan(applied, purge=True)).private_files == {}


def test_instances_that_do_not_run_or_are_not_enabled_are_changed() -> None:
    applied = after(state(), plan(state(), LAB))
    unit = "virtnet-dnsmasq@_shared.service"
    assert [str(change) for change in plan(replace(applied, instances={}), LAB).changes] == [
        f"{unit}: started (was inactive)"
    ]
    assert [str(change) for change in plan(replace(applied, enabled_instances=[]), LAB).changes] == [f"{unit}: enabled"]
    assert [str(change) for change in plan(replace(applied, unbound_instances=["_shared"]), LAB).changes] == [
        f"{unit}: restarted (its bridge was created again)"
    ]
    # At boot systemd starts them after our service.
    waiting = replace(applied, instances={}, service=replace(ABSENT, ordered_after_us=True))
    assert not plan(waiting, LAB).changes


def test_upstream_servers_are_the_hosts_without_a_loop() -> None:
    assert upstream_lines("/etc/resolv.conf", False) == ("no-resolv",)
    assert upstream_lines("/run/systemd/resolve/stub-resolv.conf", True) == ("no-resolv", "server=127.0.0.53")
    servers = ("resolv-file=/etc/resolv.conf", "strict-order", "clear-on-reload", "dns-loop-detect")
    assert upstream_lines("/etc/resolv.conf", True) == servers


@pytest.mark.parametrize("target", ["stub-resolv.conf", "resolv.conf"])
def test_without_the_stub_of_resolved_nobody_is_asked_at_its_address(tmp_path: Path, target: str) -> None:
    """DNSStubListener=no, which makes room for Pi-hole and others at port 53."""
    etc, resolve = tmp_path / "etc", tmp_path / "run/systemd/resolve"
    etc.mkdir()
    resolve.mkdir(parents=True)
    (resolve / "resolv.conf").write_text("nameserver 203.0.113.1\n")
    (resolve / "stub-resolv.conf").write_text("nameserver 127.0.0.53\n")
    (etc / "resolv.conf").symlink_to(f"../run/systemd/resolve/{target}")

    def lines() -> tuple[str, ...]:
        return upstream_lines(state_reader._resolv_conf(str(tmp_path)), True)

    assert "server=127.0.0.53" in lines()
    (resolve / "stub-resolv.conf").unlink()
    (resolve / "stub-resolv.conf").symlink_to("resolv.conf")
    assert "resolv-file=/etc/resolv.conf" in lines()


OLD = "1000 52:54:00:00:00:01 10.0.1.5 a *\nduid 00:01\n2000 1 fd00::5 a 00:02\n900 52:54:00:00:00:09 10.0.9.5 z *\n"
SUBNETS = [ipaddress.ip_network("10.0.1.0/24"), ipaddress.ip_network("fd00::/64")]


def test_leases_are_joined_and_the_latest_of_an_address_is_kept() -> None:
    assert parse("").joined_by(parse(OLD), SUBNETS).text() == (
        "1000 52:54:00:00:00:01 10.0.1.5 a *\nduid 00:01\n2000 1 fd00::5 a 00:02\n"
    )
    later = "1500 52:54:00:00:00:02 10.0.1.5 b *\n"
    for first, second in ((OLD, later), (later, OLD)):
        assert later in parse(first).joined_by(parse(second), SUBNETS).text()
    never = "0 52:54:00:00:00:03 10.0.1.5 c *\n"
    assert never in parse(never).joined_by(parse(OLD), SUBNETS).text()


@pytest.mark.parametrize(
    ("main", "count", "refused"), [("", 1001, True), ("", 1000, False), ("dhcp-lease-max=1200\n", 1001, False)]
)
def test_a_move_that_would_keep_the_systems_dnsmasq_from_starting_is_refused(
    tmp_path: Path, main: str, count: int, refused: bool
) -> None:
    spec = FragmentSpec.from_options(Options({**network("lab", 1), "address": "10.0.0.1/16", "ranges": []}, "lab"))
    rows = [f"0 02:00:00:00:{i >> 8:02x}:{i & 255:02x} 10.0.{i >> 8}.{i & 255} * *\n" for i in range(2, count + 2)]
    source, system = tmp_path / "private.leases", tmp_path / "system.leases"
    source.write_text("".join(rows))
    transfers = [LeaseTransfer(spec, [str(source)], str(system))]
    expected = pytest.raises(VirtnetError, match="1001 leases, since it takes 1000 .*write dhcp-lease-max=1001 or more")
    with expected if refused else contextlib.nullcontext():
        refuse_overfull(transfers, str(system), state(ACTIVE, main).config)
    refuse_overfull([], str(system), state(ACTIVE, main).config)


def test_lines_that_are_no_leases_are_ignored() -> None:
    assert parse("nonsense\n12 x y z *\n1000 52:54:00:00:00:01 10.0.1.5\n").leases == []


def test_output_of_ss_is_parsed() -> None:
    text = (
        "udp UNCONN 0 0 0.0.0.0%virt0:67 0.0.0.0:* ino:11 sk:1 <->\n"
        "tcp LISTEN 0 32 [fe80::1]%virt0:53 [::]:* uid:999 ino:12 sk:2 <->\n"
        "udp UNCONN 0 0 *:53 *:* ino:13 sk:3 v6only:0 <->\n"
    )
    assert parse_sockets(text) == {
        "11": Socket("udp", "0.0.0.0", 67, "virt0"),
        "12": Socket("tcp", "fe80::1", 53, "virt0"),
        "13": Socket("udp", "*", 53),
    }
    assert Socket("udp", "*", 53).blocks("virt0", "10.0.1.1")
    assert not Socket("udp", "127.0.0.53", 53, "lo").blocks("virt0", "10.0.1.1")
    assert not Socket("udp", "0.0.0.0", 53, "eth0").blocks("virt0", "10.0.1.1")


class Restarting:
    """The system's dnsmasq while systemd restarts it: it stops at the first reading and runs at all later ones.

    ``meanwhile`` is called at the second reading.
    """

    def __init__(self, paths: Paths, meanwhile: Callable[[], object] = lambda: None) -> None:
        folder = paths.dnsmasq_fragments
        self.running = replace(ACTIVE, command=("dnsmasq", f"--conf-file={paths.root}/none", f"--conf-dir={folder}"))
        self.meanwhile = meanwhile
        self.readings = 0

    def status(self) -> ServiceStatus:
        self.readings += 1
        if self.readings == 2:
            self.meanwhile()
        return replace(self.running, active="deactivating", pid=0) if self.readings == 1 else self.running


def served_by_restarting(paths: Paths, service: Restarting) -> Fragments:
    """The reconciler of a network with the desired fragment."""
    reconciler = Fragments(
        [FragmentSpec.from_options(Options({**LAB, "instance": "system"}))],
        False,
        paths,
        service=service,  # type: ignore[arg-type]
    )
    planned = reconciler.plan(replace(reconciler.read(), service=service.running))
    write_files(File(f"{paths.dnsmasq_fragments}/{name}", text) for name, text in planned.fragments.items())
    write_files(File(path, text) for path, text in planned.other_files.items())
    service.readings = 0
    return reconciler


def test_reading_during_a_restart_returns_at_once_and_writes_nothing(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    service = Restarting(paths)
    reconciler = served_by_restarting(paths, service)
    with lock(paths.runtime):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        start = time.monotonic()
        state = reconciler.read()
        assert time.monotonic() - start < 0.5
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (state.service.active, state.in_transition, service.readings) == ("deactivating", True, 1)


def test_a_run_waits_for_a_stopping_dnsmasq_before_it_changes_anything(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    service = Restarting(paths)
    reconciler = served_by_restarting(paths, service)
    # It has no restart(): it runs at the second reading, so that no change is needed.
    assert not converge(reconciler, paths, check=False).changes
    assert service.readings == 2


def test_a_dnsmasq_that_a_run_waits_for_does_not_wait_for_that_run(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    refreshed: list[int] = []
    # ExecStartPre= of dnsmasq.service.
    service = Restarting(paths, meanwhile=lambda: refreshed.append(refresh(paths)))
    reconciler = served_by_restarting(paths, service)
    with lock(paths.runtime):
        converge_locked(reconciler)
        assert refreshed == [0]


def test_sockets_of_a_starting_dnsmasq_are_not_those_of_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths(str(tmp_path))
    service = Restarting(paths)
    service.running = replace(service.running, active="activating", pid=0)
    monkeypatch.setattr(state_reader, "read_sockets", lambda _pids: [Socket("udp", "0.0.0.0", 67, "", "dnsmasq", 77)])
    monkeypatch.setattr(state_reader, "dnsmasq_unit_of", lambda pid: "dnsmasq.service" if pid == 77 else "")
    reconciler = Fragments([FragmentSpec.from_options(Options(LAB))], False, paths, service=service)  # type: ignore[arg-type]
    state = reconciler.read()
    # The service and the sockets were inconsistent, so both were read once more.
    assert service.readings == 2
    assert (state.in_transition, state.foreign_sockets) == (True, [])
    service.running = replace(service.running, active="failed")
    state = reconciler.read()
    assert (state.in_transition, [socket.pid for socket in state.foreign_sockets]) == (False, [77])


@pytest.mark.parametrize(
    ("jobs", "active"), [("7 dnsmasq.service restart running\n", "activating"), ("", "deactivating")]
)
def test_a_stop_that_is_part_of_a_restart_counts_as_a_start(
    jobs: str, active: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = "LoadState=loaded\nActiveState=deactivating\nMainPID=0\n\nLoadState=loaded\nActiveState=active\n"
    outputs = {"show": shown, "list-jobs": jobs}
    for module in (systemctl, dnsmasq_service):
        monkeypatch.setattr(module, "find", lambda tool: f"/usr/sbin/{tool}")
        monkeypatch.setattr(module, "run", lambda words, **_more: Completed(0, outputs.get(words[1], ""), ""))
    assert SystemDnsmasq().status().active == active


def test_a_dnsmasq_that_starts_waits_for_a_run_that_does_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dnsmasq_refresh, "_LOCK_TIMEOUT", 0.2)
    paths = Paths(str(tmp_path))
    with lock(paths.runtime), pytest.raises(Locked, match=rf"process {os.getpid()}\)"):
        refresh(paths)


@pytest.mark.parametrize("state", ["activating", "deactivating"])
def test_a_run_does_not_wait_for_a_dnsmasq_that_systemd_starts_after_it(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = f"LoadState=loaded\nActiveState=inactive\nMainPID=0\n\nLoadState=loaded\nActiveState={state}\n"
    monkeypatch.setattr(dnsmasq_service, "find", lambda tool: f"/usr/sbin/{tool}")
    monkeypatch.setattr(systemctl, "find", lambda tool: f"/usr/sbin/{tool}")
    monkeypatch.setattr(dnsmasq_service, "run", lambda *_args, **_more: Completed(0, shown, ""))
    monkeypatch.setattr(systemctl, "run", lambda *_args, **_more: Completed(0, shown, ""))
    assert SystemDnsmasq().status().ordered_after_us


def test_a_network_of_the_systems_dnsmasq_keeps_the_dhcp_port_from_private_instances() -> None:
    """A stock dnsmasq holds each port for itself alone; else a network without DNS could have a private one."""
    plain_names = network("xml", 1, names={"forward_plain_names": True})
    planned = plan(state(ACTIVE), plain_names, network("quiet", 2, dns=False))
    assert {network["name"]: network["instance"] for network in planned.result} == {"xml": "system", "quiet": "system"}


def test_a_private_instance_runs_as_the_user_of_packages_or_else_as_dnsmasqs_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler = Fragments([], False, Paths(str(tmp_path)))
    monkeypatch.setattr(state_reader, "USER", "root")
    assert reconciler.read().user == "root"
    monkeypatch.setattr(state_reader, "USER", "no-such-user")
    assert reconciler.read().user == "nobody"
    assert "\nUser=nobody\n" in unit_text(LAYOUT, "/usr/local/sbin/dnsmasq", "nobody")
