# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes that a real dnsmasq reads without a restart, and what happens if it does not."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq import verify as dnsmasq_verify
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import DnsmasqFailed
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAN_ADDRESS,
    PROGRAM,
    DnsmasqTestbed,
    get_lease,
    has_ended,
    parse_version,
    resolve,
    run,
    serving,
)
from kernel.dnsmasq_testbed import (
    LAB_FRAGMENT as LAB,
)
from kernel.polling import eventually

MAC = "52:54:00:00:00:01"
LAN_MAC = "52:54:00:00:02:01"


@pytest.fixture(autouse=True)
def guest_has_an_address(testbed: DnsmasqTestbed) -> None:
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")


def lab(*hosts: dict[str, str], **names: list[str]) -> dict[str, Any]:
    """The network with static hosts, and names of addresses below 192.168.100."""
    records = [{"ip": f"192.168.100.{key[1:]}", "names": value} for key, value in names.items()]
    return {**LAB, "hosts": list(hosts), "names": {"hosts": records}}


def static_host(last: int, **options: str) -> dict[str, str]:
    return {"mac": MAC, "ip": f"192.168.100.{last}", **options}


def test_hosts_and_names_are_added_changed_and_removed_without_a_restart(
    testbed: DnsmasqTestbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Freed memory of dnsmasq is filled with garbage: if it still used a removed host, it would crash.
    monkeypatch.setenv("MALLOC_PERTURB_", "165")
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab())
        pid, restarts = daemon.pid, daemon.restarts
        for last in range(210, 216):
            fragment = lab(static_host(last, name=f"web{last}", lease_time="3d"), _9=["nas", f"n{last}"], _10=["nas"])
            assert daemon.converge(fragment, check=True).changes == daemon.converge(fragment).changes
            assert not daemon.converge(fragment).changes
            lease = get_lease(testbed.guest, tmp_path)
            assert (lease["ip"], lease["lease"], lease["hostname"]) == (f"192.168.100.{last}", "259200", f"web{last}")
            assert resolve(testbed.guest, BRIDGE_ADDRESS, f"n{last}.virt.test") == "192.168.100.9"
            assert len(resolve(testbed.guest, BRIDGE_ADDRESS, "nas.virt.test").split()) == 2
            # The guest has a lease by the removed entry: 2.90 crashes if that entry is in a dhcp-hostsdir.
            daemon.converge(lab())
            assert resolve(testbed.guest, BRIDGE_ADDRESS, f"n{last}.virt.test") == "empty"
        assert get_lease(testbed.guest, tmp_path)["lease"] == "43200"
        assert (daemon.pid, daemon.restarts, daemon.signals) == (pid, restarts, 12)


def test_diff_names_network_and_file_and_says_that_nothing_is_restarted(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab())
        (change,) = daemon.converge(lab(_9=["nas"]), check=True).changes
        assert str(change) == "lab: dnsmasq.hosts/lab.names changed, read without a restart"
        assert change.header == f"lab: {tmp_path}/etc/virtnet/dnsmasq.hosts/lab.names"
        assert change.after.endswith("192.168.100.9 nas.virt.test\n")


def test_a_static_host_applies_to_its_network_only_and_those_of_the_system_stay(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    """The same MAC address on the LAN keeps the administrator's settings, before and after."""
    testbed.lan.run("ip", "link", "set", "eth0", "address", LAN_MAC)
    system_hosts, system_names = tmp_path / "theirs.hosts", tmp_path / "theirs.names"
    system_hosts.write_text("52:54:00:00:02:02,10.1.0.141,other\n")
    system_names.write_text("10.1.0.9 printer.lan.test\n")
    config = (
        "dhcp-range=10.1.0.100,10.1.0.150,1h\ndhcp-host=52:54:00:00:02:03,10.1.0.142\n"
        f"dhcp-hostsfile={system_hosts}\naddn-hosts={system_names}\n"
    )

    def observe() -> tuple[str, ...]:
        lease = get_lease(testbed.lan, tmp_path)
        others = []
        for last in ("02", "03"):
            testbed.lan.run("ip", "link", "set", "eth0", "address", f"52:54:00:00:02:{last}")
            others.append(get_lease(testbed.lan, tmp_path)["ip"])
        testbed.lan.run("ip", "link", "set", "eth0", "address", LAN_MAC)
        answer = resolve(testbed.lan, LAN_ADDRESS, "printer.lan.test")
        return lease["lease"], lease.get("hostname", ""), *others, answer

    testbed.lan.run("ip", "address", "replace", "10.1.0.5/24", "dev", "eth0")
    try:
        with serving(testbed, tmp_path, config) as daemon:
            before = observe()
            assert before == ("3600", "", "10.1.0.141", "10.1.0.142", "10.1.0.9")
            daemon.converge(lab())
            daemon.converge(
                lab({"mac": LAN_MAC, "name": "web", "ip": "192.168.100.60", "lease_time": "3d"}, _9=["nas"])
            )
            assert daemon.signals == 1
            assert observe() == before
            with pytest.raises(VirtnetError, match=r"duplicate dhcp-host IP address .* of .*/lab.dhcp"):
                daemon.converge({**lab(), "address": "10.1.0.1/24", "ranges": [],
                                 "hosts": [{"mac": MAC, "ip": "10.1.0.142"}]})  # fmt: skip
    finally:
        testbed.lan.run("ip", "address", "replace", "10.1.0.5/24", "dev", "eth0")


def test_a_name_without_an_address_needs_a_restart(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    """dnsmasq reads only at its start which names other guests may not have."""
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab())
        daemon.converge(lab({"mac": MAC, "name": "web"}))
        assert (daemon.restarts, daemon.signals) == (2, 0)


def test_networks_of_one_private_instance_change_without_a_restart(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    other = {"name": "two", "interface": "virt1", "address": "192.168.101.1/24", "instance": "private"}
    other["domain"] = "two.test"
    with serving(testbed, tmp_path, "bind-dynamic\nexcept-interface=virt*\n") as daemon:
        daemon.converge({**lab(), "instance": "private"}, other)
        starts = list(daemon.private.starts)
        daemon.converge({**lab(static_host(77), _9=["nas"]), "instance": "private"}, other)
        assert (daemon.private.starts, daemon.private.signals) == (starts, ["_shared"])
        assert get_lease(testbed.guest, tmp_path)["ip"] == "192.168.100.77"
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nas.virt.test") == "192.168.100.9"
        daemon.converge({**lab(), "instance": "private"}, other)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nas.virt.test") == "empty"
        assert daemon.private.starts == starts


@pytest.mark.parametrize("signal_effect", ["lost", "deadly"])
def test_a_reload_without_effect_is_followed_by_a_restart(
    testbed: DnsmasqTestbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal_effect: str
) -> None:
    monkeypatch.setattr(dnsmasq_verify, "_READ_TIMEOUT", 1.0)

    def kill() -> None:
        pid = daemon.pid
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: has_ended(pid), 20)

    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab())
        daemon.restarts = 0
        monkeypatch.setattr(daemon, "reload", kill if signal_effect == "deadly" else lambda: None)
        daemon.converge(lab(_9=["nas"]))
        assert daemon.restarts == 1
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nas.virt.test") == "192.168.100.9"


def test_no_signal_is_sent_if_a_dhcp_hostsdir_would_crash_dnsmasq(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    folder = tmp_path / "hosts.d"
    folder.mkdir()
    with serving(testbed, tmp_path, f"dhcp-hostsdir={folder}\n") as daemon:
        daemon.converge(lab())
        daemon.converge(lab(_9=["nas"]))
        is_safe = parse_version(run([PROGRAM, "--version"]).stdout) >= (2, 93)
        assert daemon.signals == int(is_safe)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nas.virt.test") == "192.168.100.9"


@pytest.mark.parametrize("first", [lab(_9=["nas"]), lab(static_host(77)), lab()], ids=["names", "hosts", "later"])
def test_an_unreadable_file_is_reported_and_rolled_back(
    testbed: DnsmasqTestbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: dict[str, Any]
) -> None:
    monkeypatch.setattr(dnsmasq_verify, "_READ_TIMEOUT", 1.0)
    hosts = tmp_path / "etc/virtnet/dnsmasq.hosts"
    hosts.mkdir(parents=True)
    hosts.chmod(0o700)
    with serving(testbed, tmp_path) as daemon:
        if first == lab():
            daemon.converge(first)
        before = daemon.fragments
        fragment = lab(_9=["nas"]) if first == lab() else first
        with pytest.raises(
            DnsmasqFailed, match=r"new files: it runs, but has not read .*/lab\.(names|dhcp).*; put back: "
        ):
            daemon.converge(fragment)
        assert daemon.fragments == before
        # The folder is removed with its last file.
        hosts.mkdir(exist_ok=True)
        hosts.chmod(0o755)
        daemon.converge(fragment)
        assert not daemon.converge(fragment).changes


def test_dnsmasq_can_read_its_folders_with_any_umask(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        old = os.umask(0o077)
        try:
            daemon.converge(lab(_9=["nas"]))
        finally:
            os.umask(old)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nas.virt.test") == "192.168.100.9"


def test_records_that_are_read_only_at_start_need_a_restart(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(_9=["nas"]))
        daemon.restarts = 0
        fragment = lab(_9=["nas"])
        fragment["names"]["cname"] = [{"name": "files", "target": "nas"}]
        daemon.converge(fragment)
        assert (daemon.restarts, daemon.signals) == (1, 0)
        assert "192.168.100.9" in resolve(testbed.guest, BRIDGE_ADDRESS, "files.virt.test")


def test_an_interrupted_reload_is_repeated(
    testbed: DnsmasqTestbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the write and the signal: the files are new, and dnsmasq has not read them."""

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab())
        with monkeypatch.context() as patched:
            patched.setattr(daemon, "reload", die)
            with pytest.raises(Killed):
                daemon.converge(lab(_9=["nas"]))
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nas.virt.test") == "empty"
        daemon.converge(lab(_9=["nas"]))
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nas.virt.test") == "192.168.100.9"
        assert not daemon.converge(lab(_9=["nas"])).changes
