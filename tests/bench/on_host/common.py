# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared by the programs that run on a host: the same networks for all tools, a clock, memory.

Network i is net<i> on the bridge vn-net<i> with 10.x.y.1/24, NAT, and DHCP for .2 to .254.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TIMEOUT = 600.0
LAST = 254
# The end of the range after the change that every tool has to make.
CHANGED_LAST = 199
# Programs by a word of their command line; everything else belongs to the host.
PROGRAMS = {
    "/dnsmasq ": "dnsmasq",
    "/libvirtd": "libvirtd",
    "/NetworkManager ": "NetworkManager",
    "/systemd-networkd": "systemd-networkd",
    "virtnet guard": "virtnet guard",
}


class Stopped(RuntimeError):
    """A tool that cannot continue, and the reason."""


def subnet(i: int) -> str:
    """The first three numbers of a network's addresses."""
    return f"10.{i // 250}.{i % 250}"


def bridge(i: int) -> str:
    return f"vn-net{i}"


def call(*command: str, check: bool = True, timeout: float = TIMEOUT) -> str:
    """Runs a program; raises Stopped with its output."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    if check and result.returncode:
        lines = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise Stopped(f"{' '.join(command)}: {' '.join(lines)[:300]}")
    return result.stdout


def service(verb: str, *units: str) -> None:
    """Runs systemctl; rounds in sequence must not exceed a unit's start limit."""
    call("systemctl", "reset-failed", *units, check=False)
    call("systemctl", verb, *units)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def wait_until(condition: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Stopped(f"not within {timeout:g} s: {what}")
        time.sleep(0.02)


def bridges() -> int:
    """How many bridges of networks are up and have an address."""
    shown = json.loads(call("ip", "-j", "-4", "address", "show", "type", "bridge") or "[]")
    return sum(link.get("ifname", "").startswith("vn-net") and "UP" in link["flags"] for link in shown)


def commands() -> dict[int, str]:
    """The command line of every process."""
    command_lines = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command_lines[int(folder.name)] = (
                (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            )
        except OSError:
            continue
    return command_lines


def serving() -> int:
    """How many dnsmasq processes serve one network each (those of other tools)."""
    return sum("/dnsmasq " in command for command in commands().values())


def kill_dnsmasq() -> None:
    call("pkill", "-9", "dnsmasq", check=False)
    wait_until(lambda: serving() == 0, "dnsmasq ends after SIGKILL", 20)


def clear_kernel(count: int) -> None:
    """Removes bridges and rules, as after a boot."""
    lines = "".join(f"link delete {bridge(i)}\n" for i in range(count))
    subprocess.run(["ip", "-force", "-batch", "-"], input=lines, text=True, check=False, capture_output=True)
    call("nft", "flush", "ruleset")
    if bridges():
        raise Stopped("bridges are left over")


def memory() -> dict[str, dict[str, float]]:
    """Number and PSS in MiB of each program's processes (proc(5), smaps_rollup: a page of n processes counts 1/n)."""
    programs: dict[str, dict[str, float]] = {}
    for pid, command in commands().items():
        name = next((name for word, name in PROGRAMS.items() if word in command), None)
        if name is None:
            continue
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        row = programs.setdefault(name, {"processes": 0, "MiB": 0.0})
        row["processes"] += 1
        row["MiB"] += next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
    return programs


def rules() -> int:
    """Lines of all rulesets that are rules or elements."""
    listed = json.loads(call("nft", "-j", "list", "ruleset"))["nftables"]
    return sum("rule" in item for item in listed)


def inotify() -> str:
    """How many instances of inotify a user may have (inotify(7))."""
    return Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()


def main(actions: Mapping[str, Callable[..., object]], words: Sequence[str] = ()) -> None:
    """Runs one action; prints {"result": ...}, or {"stopped": reason}."""
    verb, *arguments = words or sys.argv[1:]
    try:
        print(json.dumps({"result": actions[verb](*arguments)}))
    except Stopped as error:
        print(json.dumps({"stopped": str(error)}))
    except subprocess.TimeoutExpired as error:
        print(json.dumps({"stopped": f"no end within {error.timeout:g} s: {' '.join(map(str, error.cmd))}"}))


COMMON = {"memory": memory, "rules": rules, "bridges": bridges}
