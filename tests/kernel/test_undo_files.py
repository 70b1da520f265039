# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that meets a read-only folder ends with one error, and the next one converges."""

from __future__ import annotations

from kernel.test_undo import CHANGED, LAB, LEARNT, OLD, fail_at
from torture.host import Host, differences, new_host
from torture.plans import installation, site
from torture.scenario import error_of

FOLDER = "/etc/virtnet"
READ_ONLY = f"mount --bind {FOLDER} {FOLDER}; mount -o remount,bind,ro {FOLDER}"
REASON = "Read-only file system"


def assert_converges(host: Host) -> None:
    assert not error_of(host.run_tasks(site(CHANGED)))
    assert not [one for one in host.run_tasks(site(CHANGED), check=True)["answers"] if one["changed"]]
    assert "file /run/virtnet/pending.json" not in host.snapshot()


def test_definitions_that_cannot_be_stored_leave_all_as_it_was() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB, OLD])])
        before = host.snapshot()
        host.sh(READ_ONLY)
        error = error_of(host.run_tasks(site(CHANGED)))
        host.sh(f"umount {FOLDER}")
        assert error.startswith(f"virt_network: cannot write {FOLDER}/") and REASON in error
        assert not [one for one in differences(before, host.snapshot()) if not one.startswith(LEARNT)]
        assert_converges(host)


def test_a_folder_that_fails_in_the_middle_of_a_run_is_named_and_the_next_run_converges() -> None:
    with new_host() as host:
        host.run_tasks([*installation(), *site([LAB, OLD])])
        error = fail_at("os.rename", READ_ONLY, host, part="AddBridge")
        host.sh(f"umount {FOLDER}")
        assert f"cannot write {FOLDER}/" in error and REASON in error
        assert_converges(host)
