# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard sees other firewalls start and change, and has them let packets of networks pass again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.guard_testbed import GuardTestbed, network_without_services, new_testbed
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, Namespace
from kernel.unpacked import unpacked

LAB = network_without_services("lab", ipv4={"address": "192.168.30.1/24"})
OUR_RULE = '--comment "virtnet.linux" -j ACCEPT'


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuardTestbed]:
    """A host with a guest, whose programs include those of the folder ``bin``."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}", prepend=":")
    with new_testbed(tmp_path) as testbed:
        testbed.host.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", check=False)
        testbed.run_playbook(LAB)
        testbed.start_guard()
        yield testbed


@pytest.fixture
def guest(testbed: GuardTestbed) -> Namespace:
    guest = testbed.add_guest("vn-lab", "192.168.30.50/24", "192.168.30.1")
    wait_until(lambda: guest.pings(OUTSIDE))
    return guest


def start_docker(testbed: GuardTestbed) -> None:
    """The rules with which docker.service starts: its chain, and a policy that drops."""
    testbed.host.run("iptables-restore", stdin=(
        "*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\n:DOCKER-USER -\n-A FORWARD -j DOCKER-USER\nCOMMIT\n"
    ))  # fmt: skip


def test_guests_are_let_pass_again_when_docker_starts_or_its_chain_is_flushed(
    testbed: GuardTestbed, guest: Namespace
) -> None:
    start_docker(testbed)
    for _time in range(2):
        wait_until(lambda: OUR_RULE in testbed.host.run("iptables", "-S", "DOCKER-USER"))
        wait_until(lambda: guest.pings(OUTSIDE))
        wait_until(testbed.is_idle)
        testbed.host.run("iptables", "-F", "DOCKER-USER")
    wait_until(lambda: guest.pings(OUTSIDE))
    assert "Repaired: rule in DOCKER-USER (iptables-nft): created." in testbed.journal


def test_elements_of_others_wake_no_repair_and_their_rules_one(testbed: GuardTestbed) -> None:
    lock = testbed.root / "run/virtnet/lock"
    # The guard examines conflicts a moment after its start, which takes the lock too.
    wait_until(testbed.has_nothing_scheduled)
    start = lock.stat().st_mtime_ns
    testbed.host.run("nft", "add table inet ban; add set inet ban s { type ipv4_addr; }")
    wait_until(lambda: lock.stat().st_mtime_ns > start and testbed.has_nothing_scheduled())
    before = lock.stat().st_mtime_ns
    for number in range(200):
        testbed.host.run("nft", "add", "element", "inet", "ban", "s", f"{{ 198.51.100.{number} }}")
    wait_until(testbed.has_read_all_events)
    assert lock.stat().st_mtime_ns == before
    testbed.host.run("nft", "add chain inet ban c")
    wait_until(lambda: lock.stat().st_mtime_ns > before)


def install_ufw(root: Path) -> None:
    """ufw as its package leaves it: disabled, with the rules that it is shipped with."""
    files = unpacked("ufw", "ufw").root
    for source in [*(files / "usr/share/ufw").glob("*.rules"), files / "usr/share/ufw/ufw.conf"]:
        shutil.copy(source, root / "etc/ufw" / source.name)
    for script in (files / "usr/share/ufw").glob("*.init"):
        shutil.copy(script, root / "etc/ufw" / script.name)
    (root / "etc/ufw/applications.d").mkdir()
    (root / "etc/default").mkdir()
    shutil.copy(files / "etc/default/ufw", root / "etc/default/ufw")
    for folder in ("lib/ufw", "usr/share/ufw"):
        shutil.copytree(files / folder, root / folder)
    program = root / "bin/ufw"
    program.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={files / 'usr/lib/python3/dist-packages'}\n"
        f'exec /usr/bin/python3 {files / "usr/sbin/ufw"} --rootdir={root} --datadir={root} "$@"\n'
    )
    program.chmod(0o755)


def test_guests_are_let_pass_when_ufw_is_enabled_and_after_it_was_reset(
    testbed: GuardTestbed, guest: Namespace
) -> None:
    (testbed.root / "etc/ufw").mkdir()
    install_ufw(testbed.root)
    for _time in range(2):
        testbed.host.run("ufw", "--force", "enable")
        wait_until(lambda: "route allow in on vn-lab" in testbed.host.run("ufw", "show", "added"))
        wait_until(lambda: guest.pings(OUTSIDE))
        wait_until(testbed.is_idle)
        testbed.host.run("ufw", "--force", "reset")
    assert "Repaired: rules of ufw: " in testbed.journal
