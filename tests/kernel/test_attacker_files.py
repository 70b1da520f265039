# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user dnsmasq as an attacker of root: it replaces files that root reads, writes and removes.

Each hostile file is made by a process of that user, which shows that this user can make it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import SHARED, Layout
from kernel.dnsmasq_testbed import BRIDGE_ADDRESS, LAB_FRAGMENT, Daemon, DnsmasqTestbed, get_lease, resolve, serving
from kernel.guard_testbed import GuardTestbed, network_without_services
from kernel.polling import wait_until

DNSMASQ_USER = "dnsmasq"
SECRET = "root:$y$j9T$secret"
# Seconds for a run that blocks on nothing; a reader of a named pipe blocks for ever.
TIMEOUT = 60.0

SOCKET = 'python3 -c "import socket,sys;socket.socket(1).bind(sys.argv[1])" "$1"'
# A shell script that makes the file, and the expected error; '' if the file is treated like a missing one.
HOSTILE_FILES = {
    "a named pipe": ('mkfifo "$1"', "is a named pipe"),
    "a link to root's": ('ln -s "$2" "$1"', "link of user"),
    "a dangling link": ('ln -s "$2.made" "$1"', ""),
    "a folder": ('mkdir -p "$1/inside"', "is a folder"),
    "a socket": (SOCKET, "is a socket"),
    "a file without end": ('truncate -s 10G "$1"', "10737418240 bytes"),
    "a device": ('ln -s /dev/zero "$1"', "link of user"),
    "no permission": ('echo nonsense >"$1"; chmod 0 "$1"', ""),
    "no leases": ("printf 'x\\033[2J\\n9999999 y 192.168.30.9 z *\\n' >\"$1\"", ""),
}

# With its own instance, and in the instance of OTHER.
LAB: dict[str, Any] = {**LAB_FRAGMENT, "upstream": False}
OPEN: dict[str, Any] = {**LAB_FRAGMENT, "upstream": True}
OTHER: dict[str, Any] = {
    "name": "other",
    "interface": "virt1",
    "address": "192.168.101.1/24",
    "ranges": [{"start": "192.168.101.2", "end": "192.168.101.200"}],
}


def as_dnsmasq(script: str, *arguments: str) -> None:
    """Run a shell script as the user dnsmasq, without any capability."""
    command = [
        "setpriv",
        f"--reuid={DNSMASQ_USER}",
        "--regid=nogroup",
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=-all",
    ]
    subprocess.run([*command, "sh", "-euc", script, "sh", *arguments], check=True, timeout=TIMEOUT, cwd="/")


def make_hostile(what: str, path: str, secret: Path) -> None:
    as_dnsmasq(f'rm -rf "$1"; {HOSTILE_FILES[what][0]}', path, str(secret))


def folder_of_dnsmasq_user(folder: str) -> Path:
    """A folder owned by the user dnsmasq, as its unit creates it."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    shutil.chown(path, DNSMASQ_USER, "nogroup")
    return path


@contextlib.contextmanager
def without_system_dnsmasq(testbed: DnsmasqTestbed, folder: Path) -> Iterator[Daemon]:
    """A host without a system dnsmasq service."""
    daemon = Daemon(testbed.host, folder, installed=False)
    try:
        yield daemon
    finally:
        daemon.private.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n0 52:54:00:00:00:66 192.168.30.66 stolen *\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardTestbed]:
    with contextlib.closing(GuardTestbed(tmp_path)) as testbed:
        yield testbed


@pytest.mark.parametrize("what", HOSTILE_FILES)
def test_leases_are_shown_without_those_of_a_hostile_file(
    guarded: GuardTestbed, tmp_path: Path, secret: Path, what: str
) -> None:
    """``virtnet leases`` and the module virt_network_info: the leases of the other instance, and the error."""
    guarded.define({"name": "lab", "ipv4": {"address": "192.168.30.1/24"}})
    folder = folder_of_dnsmasq_user(Paths(str(tmp_path)).private_leases)
    good = f"0 52:54:00:00:00:07 192.168.30.7 web{'.lab' * 2} *\n0 52:54:00:00:00:08 192.168.30.8 \x1b[2J\u202e *\n"
    as_dnsmasq('printf %s "$2" >"$1"', str(folder / f"{SHARED}.leases"), good)
    make_hostile(what, str(folder / "lab.leases"), secret)
    fault = HOSTILE_FILES[what][1]
    described = guarded.host.run_engine("describe_networks", str(tmp_path), timeout=TIMEOUT)
    shown = guarded.command("leases", check=False)
    for text in (shown, described):
        assert "192.168.30.7" in text and "192.168.30.8" in text and "web.lab.lab" in text
        assert fault in text and ("lab.leases" in text) is bool(fault)
        assert SECRET not in text and "192.168.30.66" not in text and "192.168.30.9" not in text
        assert text.replace("\n", "").isprintable(), repr(text)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and SECRET in secret.read_text()


def test_the_guard_repairs_networks_despite_hostile_files(guarded: GuardTestbed, tmp_path: Path, secret: Path) -> None:
    """In folders of users other than root: leases, and files of systemd-resolved and systemd-networkd."""
    paths = Paths(str(tmp_path))
    guarded.run_playbook(network_without_services("lab", ipv4={"address": "192.168.30.1/24"}))
    leases, resolved_folder = (
        folder_of_dnsmasq_user(paths.private_leases),
        folder_of_dnsmasq_user(str(tmp_path / "run/systemd/resolve")),
    )
    links = folder_of_dnsmasq_user(str(tmp_path / "run/systemd/netif/links"))
    hostile = [leases / "lab.leases", leases / f"{SHARED}.leases", *(links / str(number) for number in range(1, 30))]
    for path in (*hostile, resolved_folder / "stub-resolv.conf", resolved_folder / "resolv.conf"):
        make_hostile("a named pipe", str(path), secret)
    (tmp_path / "etc/resolv.conf").symlink_to(resolved_folder / "stub-resolv.conf")
    start = time.monotonic()
    guarded.start_guard()
    guarded.host.run("ip", "link", "delete", "vn-lab")
    wait_until(lambda: guarded.link("vn-lab"), TIMEOUT)
    wait_until(guarded.is_idle, TIMEOUT)
    assert "resolv.conf is a named pipe, not a file; move it away" in guarded.journal
    assert "lab" in guarded.command("list")
    assert "resolv.conf is a named pipe" in guarded.command("check", check=False)
    assert guarded.stop_guard() == 0
    assert time.monotonic() - start < 2 * TIMEOUT


@pytest.mark.parametrize("what", HOSTILE_FILES)
def test_a_network_comes_to_an_instance_with_a_hostile_lease_file(
    testbed: DnsmasqTestbed, tmp_path: Path, secret: Path, what: str
) -> None:
    """The network's leases move with it, the others are still served, and root writes nothing elsewhere."""
    testbed.bridge("virt1", "192.168.101.1/24")
    with without_system_dnsmasq(testbed, tmp_path) as daemon:
        shared = Layout(daemon.paths).leases(SHARED)
        daemon.converge(OTHER, LAB)
        first = get_lease(testbed.guest, tmp_path, "vmone")["ip"]
        make_hostile(what, shared, secret)
        start = time.monotonic()
        plan = daemon.converge(OTHER, OPEN)
        assert time.monotonic() - start < TIMEOUT
        fault = HOSTILE_FILES[what][1]
        assert [note for note in plan.notes if fault and fault in note and shared in note] or not fault, plan.notes
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == first
        assert not daemon.converge(OTHER, OPEN).changes
        status = os.lstat(shared)
        assert stat.S_ISREG(status.st_mode) and Path(shared).owner() == DNSMASQ_USER
        assert SECRET not in Path(shared).read_text()
        assert SECRET in secret.read_text() and secret.owner() == "root"
        assert not Path(f"{secret}.made").exists()


def test_a_network_leaves_an_instance_with_a_hostile_lease_file(
    testbed: DnsmasqTestbed, tmp_path: Path, secret: Path
) -> None:
    with without_system_dnsmasq(testbed, tmp_path) as daemon:
        daemon.converge(LAB)
        get_lease(testbed.guest, tmp_path, "vmone")
        source = Layout(daemon.paths).leases("lab")
        make_hostile("a named pipe", source, secret)
        (note,) = daemon.converge(OPEN).notes
        assert note == f"leases are not read: {source} is a named pipe, not a file; move it away"
        assert get_lease(testbed.guest, tmp_path, "vmone")["ip"]


def test_the_system_dnsmasq_is_not_restarted_if_it_would_not_start_again(
    testbed: DnsmasqTestbed, tmp_path: Path, secret: Path
) -> None:
    """If the parent of the lease folder belongs to the user dnsmasq, as in Fedora: refused before any change."""
    with serving(testbed, tmp_path, "bind-dynamic\n") as daemon:
        shutil.chown(tmp_path, DNSMASQ_USER)
        make_hostile("a named pipe", f"{tmp_path}/leases", secret)
        pid = daemon.pid
        with pytest.raises(VirtnetError, match=r"would not start again: its lease file .* is a named pipe"):
            daemon.converge(OPEN)
        assert daemon.pid == pid and daemon.fragments == {}
