# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trials in which a run is not killed, but something that it needs fails: a program, the disk, the power, its luck."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Callable

from torture.host import unlike
from torture.trials import HURRY, Course, Trial, cut, failure, step

TOOLS = ("nft", "dnsmasq", "systemctl", "ip", "tc", "ss")
# A program that hangs has a child, as scripts have: that must not be left behind either.
HANG = "sleep 987 & wait"
FAIL = "echo 'the test has it fail' >&2; exit 1"
_WRAPPER = """#!/bin/sh
n=$(($(cat {count} 2>/dev/null || echo 0) + 1))
echo $n >{count}
[ $n -ne {number} ] || {{ {harm}; }}
exec {real} "$@"
"""


def _tidy(course: Course) -> str:
    return f"{course.host.disk}/wrap"


def wrap(course: Course, tool: str, number: int, harm: str) -> str:
    """A folder with a program that stands before the real one and does harm at the N-th call."""
    folder, host = _tidy(course), course.host
    real = host.sh(f"command -v {tool}").strip()
    text = _WRAPPER.format(count=f"{folder}/count", number=number, harm=harm, real=real)
    host.run(
        "sh", "-ec", f"rm -rf {folder}; mkdir {folder}; cat >{folder}/{tool}; chmod 755 {folder}/{tool}", stdin=text
    )
    return folder


def calls(course: Course, tool: str) -> int:
    """How often it was called since it was wrapped."""
    return int(course.host.sh(f"cat {_tidy(course)}/count 2>/dev/null || echo 0"))


def judge(trial: Trial, said: str) -> None:
    """What a user is told is one clear error."""
    if "Traceback" in said:
        trial.flaw(f"a traceback: {said[-1500:]}")
    elif re.search(r"errno|exception|\berror\(|NoneType|<class", said, re.IGNORECASE):
        trial.flaw(f"an error that is none for users: {said}")


def tool_fails(course: Course, name: str, tool: str, number: int, harm: str) -> Trial:
    """The N-th call of a program fails or hangs; then the plan is run again. From the plan's begin to its end."""
    word = "hanging" if harm == HANG else "failing"
    trial = Trial(f"{tool} {word}", f"{name}, call {number} of {tool}")
    folder = wrap(course, tool, number, harm)
    done = course.host.play(course.plans[name], first=folder, hurry=HURRY)
    if calls(course, tool) < number:
        trial.kind = ""
    judge(trial, failure(done))
    left = course.host.sh("pgrep -x sleep || true").split()
    if left:
        trial.flaw("a child of a program that hung is left behind")
        course.host.sh(f"kill {' '.join(left)}")
    course.host.sh(f"rm -rf {folder}")
    course.end(trial, name)
    return trial


DISKS = {
    "disk full": ("cat /dev/zero >{disk}/full 2>/dev/null || true", "rm {disk}/full"),
    "/run full": ("cat /dev/zero >/run/full 2>/dev/null || true", "rm /run/full"),
    # What is open for writing there already does not keep a mount of its own from being read-only.
    **{
        f"{folder} read-only": (
            f"mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}",
            f"umount {folder}",
        )
        for folder in ("/etc", "/var", "/proc/sys")
    },
}


def disk_fails(course: Course, name: str, number: int, kind: str) -> Trial:
    """From a step on nothing can be written somewhere; then it can, and the plan is run again."""
    trial = Trial(kind, step(course, name, number)[0])
    harm, cure = (text.format(disk=course.host.disk) for text in DISKS[kind])
    done = course.host.play(course.plans[name], step=number, harm=harm)
    judge(trial, failure(done))
    course.host.sh(cure)
    course.end(trial, name)
    return trial


def reboot(course: Course, name: str, number: int) -> Trial:
    """Power lost at a step; the boot restores what is defined; then the plan is run again. No bystander lives on."""
    trial = Trial("power lost, booted, run again", step(course, name, number)[0])
    cut(course, trial, name, {"step": number})
    course.host.halt()
    course.host.boot()
    done = course.host.command("restore")
    if done.returncode:
        trial.flaw(f"the boot did not restore all: {done.stderr}")
    judge(trial, done.stderr)
    course.host.sh("rm -f /run/virtnet/resolver-ready")
    course.end(trial, name)
    return trial


def at_once(course: Course, name: str, chance: random.Random) -> Trial:
    """Two runs of one plan at the same time: the lock has them take turns, and both end well."""
    pause = chance.uniform(0, 0.3)
    trial = Trial("two runs at once", f"{name}, {pause:.3f} s apart")
    course.host.begin(course.plans[name])
    time.sleep(pause)
    course.host.begin(course.plans[name], second=True)
    for second in (False, True):
        said = failure(course.host.finish(second=second))
        judge(trial, said)
        if said:
            trial.flaw(f"one of them failed: {said}")
    course.end(trial, name)
    return trial


def guard_killed(course: Course, chance: random.Random) -> Trial:
    """Where the networks run: harm, the guard killed at an instant of its work, and started again."""
    harm = chance.choice(
        ("nft flush ruleset", "ip link delete vn-nat", "ip link set vn-iso down", "rm /etc/dnsmasq.d/virtnet-*",
         "ip address flush dev vn-routed", "echo 0 >/proc/sys/net/ipv4/ip_forward", "ip link delete vn-routed")
    )  # fmt: skip
    after = chance.uniform(0, 2.0)
    trial = Trial("guard killed, started again", f"{harm}; after {after:.3f} s")
    guard = course.host.guard()
    course.host.sh(f"{harm} 2>/dev/null || true")
    time.sleep(after)
    course.host.end(guard, signal.SIGKILL)
    if "rm /etc/dnsmasq" not in harm:
        course.host.sh(f"{harm} 2>/dev/null || true")
    guard = course.host.guard()
    if not _eventually(lambda: not _unlike_running(course)):
        trial.converged = False
        trial.flaw("60 s later: " + "; ".join(_unlike_running(course))[:1500])
    course.host.end(guard, signal.SIGTERM)
    return trial


def _unlike_running(course: Course) -> list[str]:
    """Notes below /run, and the guard itself, are not part of what a host shall be."""
    found = unlike(course.wanted["first run"], course.host.snapshot())
    return [line for line in found if not line.startswith(("file /run/virtnet", "process "))]


def _eventually(condition: Callable[[], bool], patience: float = 60.0) -> bool:
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.3)
    return True
