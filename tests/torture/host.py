# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host made of namespaces: its own links, mounts and processes, its own /etc, /var, /run and /usr/local.

outside 203.0.113.1 --- 203.0.113.2 eth0 host (bridges) --- guests, each a namespace in the host

The host ends with its first process, and that ends with this one in any case.
"""

from __future__ import annotations

import json
import os
import py_compile
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture.plans import Tasks
from torture.services import DEFAULTS

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "scripts"
COLLECTIONS = HERE.parents[1] / ".build/collections"
_BYTE_CODE = COLLECTIONS.parent / "pycache"
OUTSIDE, UPLINK = "203.0.113.1", "203.0.113.2"
_COPIED_FILES = ("passwd", "group", "nsswitch.conf", "protocols", "services", "ld.so.cache", "os-release", "iproute2",
         "alternatives", "localtime")  # fmt: skip
# As Debian's packages have them.
_FOLDERS = ("etc/dnsmasq.d", "etc/default", "etc/sysctl.d", "etc/systemd/network", "var/lib/misc", "local/bin",
            "etc/systemd/system/multi-user.target.wants", "local/lib", "work", "bin")  # fmt: skip
# Seconds that a run may take; the engine gives up programs that hang well before.
_TIMEOUT_SECONDS = 400.0
_BYSTANDER_MAC = "52:54:00:aa:00:01"


@dataclass
class Bystander:
    """A bystander; see bystander.py."""

    process: subprocess.Popen[str]

    def counts(self) -> dict[str, Any]:
        """The packets sent and lost since the last call, and the total of bytes received and leases renewed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        counts: dict[str, Any] = json.loads(self.process.stdout.readline())
        return counts


class RunTimeout(Exception):
    """A run did not end in time."""


class RunKilled(Exception):
    """The run was killed as planned."""


class Host:
    """A running host; see ``new_host``."""

    def __init__(self, disk: Path, serving: bool) -> None:
        self.disk = disk
        self.serving = serving
        tmpfs = f"mount -t tmpfs -o mode=755,size=32m none {disk} && echo ready && exec cat"
        self._disk_holder = _start_until_ready(["unshare", "--mount", "--propagation", "private", "sh", "-c", tmpfs])
        self.first: subprocess.Popen[str] | None = None
        self.far_end: subprocess.Popen[str] | None = None
        self.engines: dict[bool, subprocess.Popen[str]] = {}
        self._on_disk("mkdir -p " + " ".join(f"{disk}/{name}" for name in _FOLDERS))
        kept = " ".join(f"/etc/{name}" for name in _COPIED_FILES if Path(f"/etc/{name}").exists())
        self._on_disk(f"cp -a {kept} {disk}/etc/")
        for name, text in (
            ("machine-id", "0123456789abcdef0123456789abcdef\n"),
            ("hosts", "127.0.0.1 localhost\n"),
            ("../var/lib/misc/dnsmasq.leases", ""),
            ("resolv.conf", f"nameserver {OUTSIDE}\n"),
            ("dnsmasq.conf", "no-ping\nbind-dynamic\nexcept-interface=vn-nat\nexcept-interface=vn-iso\n"),
            *([("default/dnsmasq", DEFAULTS)] if serving else []),
        ):
            self._on_disk(f"cat >{disk}/etc/{name}", text)
        # Python compiles a program at each start, unless it is given the byte code.
        byte_code = py_compile.compile(f"{HERE}/services.py", str(_BYTE_CODE / "systemctl.pyc"), doraise=True)
        self._on_disk(f"cat >{disk}/bin/systemctl && chmod 755 {disk}/bin/systemctl",
                      f'#!/bin/sh\nexec {sys.executable} -I -S {byte_code} "$@"\n')  # fmt: skip
        self.boot()

    def _on_disk(self, script: str, stdin: str = "") -> None:
        mount_namespace = f"--mount=/proc/{self._disk_holder.pid}/ns/mnt"
        subprocess.run(["nsenter", mount_namespace, "sh", "-ec", script], input=stdin, text=True, check=True)

    def boot(self) -> None:
        """Boot the host; its disk is unchanged."""
        mount_namespace = f"--mount=/proc/{self._disk_holder.pid}/ns/mnt"
        unshare = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        boot = ["sh", f"{SCRIPTS}/boot.sh", str(self.disk)]
        self.first = _start_until_ready(["nsenter", mount_namespace, *unshare, *boot])
        children = Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children").read_text().split()
        self.pid = int(children[0])
        self.run("sh", "-e", f"{SCRIPTS}/connect.sh", UPLINK, OUTSIDE)
        if self.serving:
            self.sh("systemctl start dnsmasq.service")

    def halt(self) -> None:
        """Power off without a shutdown."""
        if self.first is not None:
            self.first.kill()
            self.first.wait()
            for stream in (self.first.stdin, self.first.stdout):
                assert stream is not None
                stream.close()
            self.first = self.far_end = None
            self.engines.clear()

    def close(self) -> None:
        self.halt()
        self._disk_holder.kill()
        self._disk_holder.wait()

    def argv(self, command: Sequence[str], namespace: str = "") -> list[str]:
        inside = [] if not namespace else ["ip", "netns", "exec", namespace]
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-i", "-u", "--", *inside, *command]

    def environment(self) -> dict[str, str]:
        """The stand-in for systemctl comes first."""
        return {**os.environ, "PATH": os.pathsep.join([f"{self.disk}/bin", os.environ.get("PATH", os.defpath)])}

    def run(
        self, *command: str, namespace: str = "", stdin: str | None = None, check: bool = True,
        timeout: float = 180,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        result = subprocess.run(
            self.argv(command, namespace), input=stdin, text=True, capture_output=True, check=False,
            timeout=timeout, env=self.environment(), cwd="/",
        )  # fmt: skip
        if check and result.returncode:
            raise AssertionError(f"{command}: {result.returncode} {result.stderr}{result.stdout}")
        return result

    def sh(self, script: str) -> str:
        return self.run("sh", "-ec", script).stdout

    def start(self, *command: str, namespace: str = "", **options: Any) -> subprocess.Popen[str]:
        """Start a program in the background; it ends with the host."""
        return subprocess.Popen(self.argv(command, namespace), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                env=self.environment(), cwd="/", **options)  # fmt: skip

    def run_tasks(self, tasks: Tasks, *, first: str = "", **order: Any) -> dict[str, Any]:
        """Run tasks; returns their results and the steps. Raises RunKilled if the run was killed."""
        self.start_tasks(tasks, first=first, **order)
        return self.wait_for_tasks()

    def start_tasks(self, tasks: Tasks, *, first: str = "", second: bool = False, **order: Any) -> None:
        """Start tasks in one of two engine processes."""
        if second not in self.engines:
            self.engines[second] = self.start(sys.executable, f"{HERE}/launch.py", str(COLLECTIONS))
        stdin = self.engines[second].stdin
        assert stdin is not None
        stdin.write(json.dumps({"tasks": tasks, "first": first, **order}) + "\n")
        stdin.flush()

    def wait_for_tasks(self, *, second: bool = False) -> dict[str, Any]:
        """Wait for the results of started tasks."""
        stdout = self.engines[second].stdout
        assert stdout is not None
        if not select.select([stdout], [], [], _TIMEOUT_SECONDS)[0]:
            raise RunTimeout(f"a run did not end within {_TIMEOUT_SECONDS:g} s")
        answer: dict[str, Any] = json.loads(stdout.readline())
        if answer.get("status") in (signal.SIGKILL, signal.SIGALRM):
            raise RunKilled
        assert "answers" in answer, answer
        return answer

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, f"{HERE}/programs/virtnet_command.py", *arguments]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program ``virtnet``."""
        return self.run(*self._command(*arguments), check=False)

    def guard(self) -> subprocess.Popen[str]:
        """Start the guard; its output is discarded."""
        return self.start(*self._command("guard"), stderr=subprocess.DEVNULL)

    def end(self, process: subprocess.Popen[str], number: int) -> None:
        """Send a signal to a started program, not to its parent outside of the host, and wait."""
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(pid), number)
        process.wait()

    def plug(self, bridge: str) -> Bystander:
        """Connect a guest that gets a lease, and start its traffic."""
        if self.far_end is None:
            self.far_end = self.start(sys.executable, f"{HERE}/bystander.py", "serve", namespace="outside")
            assert self.far_end.stdout is not None
            assert self.far_end.stdout.readline() == "ready\n"
        script = f"{self.disk}/bin/udhcpc-script"
        self.run("install", "-m", "755", f"{SCRIPTS}/udhcpc.sh", script)
        self.run("sh", "-e", f"{SCRIPTS}/connect_guest.sh", bridge, _BYSTANDER_MAC, script)
        (link,) = json.loads(self.run("ip", "-4", "-j", "address", "show", "eth0", namespace="guest").stdout)
        address = link["addr_info"][0]["local"]
        (route,) = json.loads(self.run("ip", "-j", "route", "show", "default", namespace="guest").stdout)
        words = ("guest", address, OUTSIDE, route["gateway"], _BYSTANDER_MAC)
        return Bystander(self.start(sys.executable, f"{HERE}/bystander.py", *words, namespace="guest"))

    def snapshot(self) -> dict[str, Any]:
        snapshot: dict[str, Any] = json.loads(self.run(sys.executable, f"{HERE}/snapshot.py", str(self.disk)).stdout)
        return snapshot


def _start_until_ready(command: Sequence[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", command
    return process


@contextmanager
def new_host(*, serving: bool = True) -> Iterator[Host]:
    """A host that ends with the block; ``serving``: it has its own dnsmasq."""
    folder = Path(tempfile.mkdtemp(prefix="vnx-"))
    folder.chmod(0o755)
    host = Host(folder, serving)
    try:
        yield host
    finally:
        host.close()
        shutil.rmtree(folder, ignore_errors=True)


def differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """The differences between two snapshots, a line each."""
    lines = []
    for name in sorted({*expected, *actual}):
        if expected.get(name) != actual.get(name):
            lines.append(f"{name}: {expected.get(name, '(not there)')} -> {actual.get(name, '(not there)')}")
    return lines
