# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scenarios with a fault that a run depends on: a failing program, the disk, the power; or two runs at once."""

from __future__ import annotations

import random
import re
import signal
import time

from lab.run import eventually
from torture.host import differences
from torture.scenario import TIMEOUT_DIVISOR, Outcome, Scenario, before_step, error_of, run_and_kill

TOOLS = ("nft", "dnsmasq", "systemctl", "ip", "tc", "ss")
# A hanging program has a child, as scripts have; the engine must end that too.
HANG = "sleep 987 & wait"
FAIL = "echo 'the test has it fail' >&2; exit 1"
_WRAPPER = """#!/bin/sh
n=$(($(cat {count} 2>/dev/null || echo 0) + 1))
echo $n >{count}
[ $n -ne {number} ] || {{ {fault}; }}
exec {real} "$@"
"""


def _wrapper_folder(scenario: Scenario) -> str:
    return f"{scenario.host.disk}/wrap"


def wrap(scenario: Scenario, tool: str, number: int, fault: str) -> str:
    """A folder with a wrapper of a program that causes a fault at its N-th call."""
    folder, host = _wrapper_folder(scenario), scenario.host
    real = host.sh(f"command -v {tool}").strip()
    text = _WRAPPER.format(count=f"{folder}/count", number=number, fault=fault, real=real)
    host.run(
        "sh", "-ec", f"rm -rf {folder}; mkdir {folder}; cat >{folder}/{tool}; chmod 755 {folder}/{tool}", stdin=text
    )
    return folder


def calls(scenario: Scenario, tool: str) -> int:
    """The number of calls since the program was wrapped."""
    return int(scenario.host.sh(f"cat {_wrapper_folder(scenario)}/count 2>/dev/null || echo 0"))


def check_message(outcome: Outcome, message: str) -> None:
    """Record a failure if the message is a traceback or an internal error."""
    if "Traceback" in message:
        outcome.fail(f"a traceback: {message[-1500:]}")
    elif re.search(r"errno|exception|\berror\(|NoneType|<class", message, re.IGNORECASE):
        outcome.fail(f"an error that is none for users: {message}")


def tool_fails(scenario: Scenario, name: str, tool: str, number: int, fault: str) -> Outcome:
    """The N-th call of a program fails or hangs; then the plan is run again. Starts and ends with the plan."""
    word = "hanging" if fault == HANG else "failing"
    outcome = Outcome(f"{tool} {word}", f"{name}, call {number} of {tool}")
    folder = wrap(scenario, tool, number, fault)
    result = scenario.host.run_tasks(scenario.plans[name], first=folder, timeout_divisor=TIMEOUT_DIVISOR)
    if calls(scenario, tool) < number:
        outcome.kind = ""
    check_message(outcome, error_of(result))
    children = scenario.host.sh("pgrep -x sleep || true").split()
    if children:
        outcome.fail("a child of a program that hung is left behind")
        scenario.host.sh(f"kill {' '.join(children)}")
    scenario.host.sh(f"rm -rf {folder}")
    scenario.verify(outcome, name)
    return outcome


DISKS = {
    "disk full": ("cat /dev/zero >{disk}/full 2>/dev/null || true", "rm {disk}/full"),
    "/run full": ("cat /dev/zero >/run/full 2>/dev/null || true", "rm /run/full"),
    # Files that are open for writing keep a file system from becoming read-only, but not a separate mount.
    **{
        f"{folder} read-only": (
            f"mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}",
            f"umount {folder}",
        )
        for folder in ("/etc", "/var", "/proc/sys")
    },
}


def disk_fails(scenario: Scenario, name: str, number: int, kind: str) -> Outcome:
    """From a step on, a folder cannot be written; then it can again, and the plan is run again."""
    outcome = Outcome(kind, before_step(scenario, name, number)[0])
    fault, remedy = (text.format(disk=scenario.host.disk) for text in DISKS[kind])
    result = scenario.host.run_tasks(scenario.plans[name], step=number, fault=fault)
    check_message(outcome, error_of(result))
    scenario.host.sh(remedy)
    scenario.verify(outcome, name)
    return outcome


def reboot(scenario: Scenario, name: str, number: int) -> Outcome:
    """The power fails at a step; the boot restores the definitions; then the plan is run again. Without a bystander."""
    outcome = Outcome("power lost, booted, run again", before_step(scenario, name, number)[0])
    run_and_kill(scenario, outcome, name, {"step": number})
    scenario.host.halt()
    scenario.host.boot()
    result = scenario.host.command("restore")
    if result.returncode:
        outcome.fail(f"the boot did not restore all: {result.stderr}")
    check_message(outcome, result.stderr)
    scenario.host.sh("rm -f /run/virtnet/resolver-ready")
    scenario.verify(outcome, name)
    return outcome


def two_runs_at_once(scenario: Scenario, name: str, rng: random.Random) -> Outcome:
    """Two runs of one plan at the same time: the lock serializes them, and both succeed."""
    pause = rng.uniform(0, 0.3)
    outcome = Outcome("two runs at once", f"{name}, {pause:.3f} s apart")
    scenario.host.start_tasks(scenario.plans[name])
    time.sleep(pause)
    scenario.host.start_tasks(scenario.plans[name], second=True)
    for second in (False, True):
        message = error_of(scenario.host.wait_for_tasks(second=second))
        check_message(outcome, message)
        if message:
            outcome.fail(f"one of them failed: {message}")
    scenario.verify(outcome, name)
    return outcome


def guard_killed(scenario: Scenario, rng: random.Random) -> Outcome:
    """Networks exist; a fault, the guard killed while it repairs, and started again."""
    fault = rng.choice(
        ("nft flush ruleset", "ip link delete vn-nat", "ip link set vn-iso down", "rm /etc/dnsmasq.d/virtnet-*",
         "ip address flush dev vn-routed", "echo 0 >/proc/sys/net/ipv4/ip_forward", "ip link delete vn-routed")
    )  # fmt: skip
    after = rng.uniform(0, 2.0)
    outcome = Outcome("guard killed, started again", f"{fault}; after {after:.3f} s")
    guard = scenario.host.guard()
    scenario.host.sh(f"{fault} 2>/dev/null || true")
    time.sleep(after)
    scenario.host.end(guard, signal.SIGKILL)
    if "rm /etc/dnsmasq" not in fault:
        scenario.host.sh(f"{fault} 2>/dev/null || true")
    guard = scenario.host.guard()
    if not eventually(lambda: not _differences_to_running(scenario), 60.0, 0.3):
        outcome.converged = False
        outcome.fail("60 s later: " + "; ".join(_differences_to_running(scenario))[:1500])
    scenario.host.end(guard, signal.SIGTERM)
    return outcome


def _differences_to_running(scenario: Scenario) -> list[str]:
    """Runtime records, and the guard itself, are not part of the desired state."""
    changed = differences(scenario.expected["first run"], scenario.host.snapshot())
    return [line for line in changed if not line.startswith(("file /run/virtnet", "process "))]
