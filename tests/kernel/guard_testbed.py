# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with definitions and a running guard: the same program that the service runs.

DHCP and DNS are off, because a namespace has no system dnsmasq; tests/kernel/test_dnsmasq.py and the labs test
these.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernel.engine_client import PROGRAMS
from kernel.polling import wait_until
from kernel.testbed import NamespaceTestbed, script


def network_without_services(name: str, **options: Any) -> dict[str, Any]:
    """Options of a network without DHCP and DNS."""
    ipv4 = {"dhcp": {"enabled": False}, **options.pop("ipv4", {})}
    return {"name": name, "ipv4": ipv4, "dns": {"enabled": False}, **options}


class GuardTestbed(NamespaceTestbed):
    """A testbed with a guard."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (root / "etc").mkdir()
        (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef")
        self.log = root / "journal"
        self.guard: subprocess.Popen[str] | None = None

    def define(self, *networks: dict[str, Any], check: bool = False) -> dict[str, Any]:
        """Runs the module virt_network."""
        arguments = ["check"] if check else []
        plan: dict[str, Any] = json.loads(
            self.host.run_engine("define_networks", str(self.root), *arguments, stdin=json.dumps(networks))
        )
        return plan

    def run_playbook(self, *networks: dict[str, Any]) -> dict[str, Any]:
        """A run of the playbook, without the parts that do not matter here."""
        definitions = self.define(*networks)
        for part, key in (("bridge", "bridges"), ("nft", "rules")):
            result = self.task(part, definitions[key])
            assert not result.get("failed"), result
        # The role goes on to DHCP, DNS and the resolver, which are off here.
        (self.root / "run/virtnet/pending.json").unlink(missing_ok=True)
        return definitions

    def command(self, *arguments: str, check: bool = True) -> str:
        """The host's command ``virtnet``."""
        return self.host.run_engine("virtnet_command", str(self.root), *arguments, check=check)

    def start_guard(self, *, inotify: bool = True) -> None:
        with self.log.open("a") as log:
            command = (sys.executable, "-I", str(PROGRAMS / "virtnet_command.py"), str(self.root), "guard")
            argv = self.host.command(*(() if inotify else script("without_inotify")), *command)
            address = f"@vnt{os.getpid()}{id(self)}"
            self.guard = subprocess.Popen(
                argv, stderr=log, text=True, env={**os.environ, "NOTIFY_SOCKET": address}, start_new_session=True
            )
        wait_until(lambda: "networks run" in self.journal and self.is_idle(), 60)
        # The run that made the networks is finished.
        wait_until(lambda: not (self.root / "run/virtnet/pending.json").exists() and self.is_idle(), 60)

    def is_idle(self) -> bool:
        """Whether the guard waits for events and has no child at work; it may have something scheduled."""
        assert self.guard is not None
        pid = self.guard.pid
        children = [child for child in self.children() if child not in self.children("virtnet-ndp")]
        wchan = Path(f"/proc/{pid}/wchan").read_text()
        return not children and any(word in wchan for word in ("ep_poll", "epoll"))

    def children(self, name: str = "") -> list[int]:
        """The children of the guard, or those of them with a name."""
        assert self.guard is not None
        found = []
        for child in Path(f"/proc/{self.guard.pid}/task/{self.guard.pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if not name or Path(f"/proc/{child}/comm").read_text().strip() == name:
                    found.append(int(child))
        return found

    def has_nothing_scheduled(self) -> bool:
        """Whether the guard is idle and would be so for ever without an event.

        The fourth argument of epoll_wait(2) and epoll_pwait(2) is the timeout: an int that is -1 without one.
        """
        assert self.guard is not None
        # The number of the call and its six arguments, or "running" (proc(5)).
        fields = Path(f"/proc/{self.guard.pid}/syscall").read_text().split()
        return self.is_idle() and len(fields) > 4 and int(fields[4], 16) & 0xFFFFFFFF == 0xFFFFFFFF

    def has_read_all_events(self) -> bool:
        """Whether the guard sleeps and has read all kernel events."""
        assert self.guard is not None
        lines = Path(f"/proc/{self.guard.pid}/net/netlink").read_text().splitlines()
        # sk Eth Pid Groups Rmem ...
        waiting = [fields[4] for fields in map(str.split, lines) if fields[2] == str(self.guard.pid)]
        assert waiting
        return self.is_idle() and set(waiting) == {"0"}

    def stop_guard(self, number: int = signal.SIGTERM) -> int:
        assert self.guard is not None
        self.guard.send_signal(number)
        return self.guard.wait(60)

    def kill_all(self) -> None:
        """Kill the guard and its children, as systemd does with all processes of a unit."""
        assert self.guard is not None
        os.killpg(self.guard.pid, signal.SIGKILL)
        self.guard.wait(60)

    @property
    def journal(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def close(self) -> None:
        if self.guard is not None and self.guard.poll() is None:
            # On SIGTERM the guard waits for its children, which could otherwise still write below the root.
            try:
                self.stop_guard()
            except subprocess.TimeoutExpired:
                self.kill_all()
        super().close()


@contextlib.contextmanager
def new_testbed(root: Path) -> Iterator[GuardTestbed]:
    """A testbed, whose journal is printed in the end."""
    testbed = GuardTestbed(root)
    try:
        yield testbed
    finally:
        print(testbed.journal)
        testbed.close()
