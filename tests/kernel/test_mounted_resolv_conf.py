# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A resolv.conf that cannot be replaced: one that is mounted, as in containers, is written in place, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from torture.host import Host, RunKilled, differences, new_host
from torture.plans import installation, site, teardown
from torture.scenario import error_of

LAB = {"name": "lab", "ipv4": {"address": "192.168.60.1/24"}, "dns": {"domain": "lab.test"}}
MOUNT = "cp /etc/resolv.conf /run/mounted; mount --bind /run/mounted /etc/resolv.conf"
PROTECTED = {
    "is read-only": f"{MOUNT}; mount -o remount,bind,ro /etc/resolv.conf",
    "is protected from changes (chattr +i)": "chattr +i /etc/resolv.conf",
}


def run_without_change(host: Host, tasks: Any) -> None:
    assert not error_of(host.run_tasks(tasks))
    again = host.run_tasks(tasks)
    assert not error_of(again) and not [answer for answer in again["answers"] if answer["changed"]]


def test_a_mounted_file_is_written_in_place_and_is_as_before_after_teardown() -> None:
    with new_host() as host:
        host.run_tasks(installation())
        host.sh(f"printf 'search a\\nnameserver 203.0.113.1' >/etc/resolv.conf; {MOUNT}")
        before = host.sh("cat /run/mounted; stat -c %i /run/mounted")
        run_without_change(host, site([LAB]))
        written = host.sh("cat /run/mounted")
        assert written == host.sh("cat /etc/resolv.conf")
        assert "nameserver 192.168.60.1\n" in written and "search a lab.test\n" in written
        run_without_change(host, site([{**LAB, "state": "inactive"}]))
        assert host.sh("cat /run/mounted; stat -c %i /run/mounted") == before
        run_without_change(host, site([LAB]))
        assert not error_of(host.run_tasks(teardown()))
        assert host.sh("cat /run/mounted; stat -c %i /run/mounted") == before


def test_a_run_that_is_killed_before_it_writes_in_place_is_completed_by_the_next() -> None:
    with new_host() as host:
        host.run_tasks(installation())
        host.sh(MOUNT)
        for _time in range(2):
            steps = host.run_tasks(site([LAB]))["steps"]
            host.run_tasks(site([{**LAB, "state": "inactive"}]))
        with pytest.raises(RunKilled):
            host.run_tasks(site([LAB]), step=steps.index("open /etc/resolv.conf") + 1)
        assert "192.168.60.1" not in host.sh("cat /run/mounted")
        run_without_change(host, site([LAB]))
        assert "nameserver 192.168.60.1\n" in host.sh("cat /run/mounted")


def test_a_mounted_file_keeps_its_lines_where_the_disk_is_full() -> None:
    small = "mkdir /run/small; mount -t tmpfs -o size=4k none /run/small"
    lines = "(echo nameserver 203.0.113.1; yes '# a line of the host' | head -c 4040) >/run/small/file"
    with new_host() as host:
        host.run_tasks(installation())
        host.sh(f"{small}; {lines}; mount --bind /run/small/file /etc/resolv.conf")
        before = host.sh("cat /run/small/file")
        error = error_of(host.run_tasks(site([LAB])))
        assert "cannot write /etc/resolv.conf: No space left on device; everything that the run has changed" in error
        assert host.sh("cat /run/small/file") == before


@pytest.mark.parametrize("fault", PROTECTED)
def test_a_file_that_cannot_be_written_is_refused_before_any_change(fault: str) -> None:
    with new_host() as host:
        host.run_tasks(installation())
        host.sh(PROTECTED[fault])
        before = host.snapshot()
        for check in (True, False):
            error = error_of(host.run_tasks(site([LAB]), check=check))
            assert error.startswith(
                "virt_network: network 'lab': resolver: 'auto' needs other lines in /etc/resolv.conf"
            )
            assert f"which {fault}; make it writable, or use 'none'" in error
            assert not differences(before, host.snapshot())
        run_without_change(host, site([{**LAB, "dns": {"host_resolver": False}}]))
        tasks = site([LAB])
        for name, options in tasks:
            options.update({"resolver": "none"} if name in ("virt_network", "resolvconf_entry") else {})
        run_without_change(host, tasks)
        host.sh("chattr -i /etc/resolv.conf 2>/dev/null || true")


def test_the_error_about_a_folder_in_its_place_names_the_network() -> None:
    with new_host() as host:
        host.run_tasks(installation())
        host.sh("rm /etc/resolv.conf; mkdir /etc/resolv.conf")
        error = error_of(host.run_tasks(site([LAB])))
        assert error == "virt_network: network 'lab': resolver: /etc/resolv.conf is a folder, not a file; move it away"
