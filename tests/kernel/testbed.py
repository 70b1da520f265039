# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host, its guests and the outside, each a network namespace; the engine runs in the host's.

outside 203.0.113.1 --- 203.0.113.2 host (bridges) --- guests
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from .engine_client import PROGRAMS, run_engine

REPOSITORY = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("probe.py")
# For programs that need the standard library alone: faster to start, and not measured, since no engine code runs.
PYTHON = (sys.executable, "-S")

# Seconds that a command may take on a busy machine.
TIMEOUT = 60

T = TypeVar("T")

OUTSIDE = "203.0.113.1"
UPLINK = "203.0.113.2"


def script(name: str) -> tuple[str, ...]:
    """The command that runs a program of tests/kernel/programs that needs the standard library alone."""
    return (*PYTHON, str(PROGRAMS / f"{name}.py"))


class Task(NamedTuple):
    """A run of the module ``bridge`` or ``nft``."""

    part: str
    desired: Sequence[Mapping[str, Any]]
    check: bool = False
    purge: bool = False


def call(*command: str, check: bool = True, stdin: str | None = None, timeout: float = TIMEOUT) -> str:
    """Run a command; returns what it printed."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, input=stdin, timeout=timeout)
    if check and result.returncode:
        raise AssertionError(f"{command} failed: {result.stderr}{result.stdout}")
    return result.stdout


def in_parallel(*functions: Callable[[], T]) -> list[T]:
    """The results of queries that run in parallel: all that time out share one timeout."""
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


class Namespace:
    """One network namespace; all processes in it end with it."""

    # Variables of all programs in it, besides those of the tests.
    environment: Mapping[str, str] = {}

    def __init__(self, name: str) -> None:
        self.name = f"vnt-{uuid4().hex[:6]}-{name}"
        self.processes: list[subprocess.Popen[str]] = []
        call("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str, check: bool = True, stdin: str | None = None, timeout: float = TIMEOUT) -> str:
        return call(*self.command(*command), check=check, stdin=stdin, timeout=timeout)

    def start(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(self.command(*command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def run_engine(
        self, name: str, *arguments: str, check: bool = True, stdin: str = "", timeout: float = TIMEOUT
    ) -> str:
        """As ``run`` of ``engine_script``, but faster."""
        network = f"/run/netns/{self.name}"
        result = run_engine(
            name, *arguments, stdin=stdin, network=network, environment=self.environment, timeout=timeout
        )
        if check and result.returncode:
            raise AssertionError(f"{name} {arguments} failed: {result.stderr}{result.stdout}")
        return result.stdout

    def json(self, *command: str) -> Any:
        return json.loads(self.run(*command) or "[]")

    def serve(self, port: int = 8000) -> None:
        """A TCP and UDP service that replies with the client's address; a sink on the next port."""
        process = self.start(*PYTHON, str(PROBE), "serve", str(port))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    def ask(self, address: str, port: int = 8000, protocol: str = "tcp", source: str = "") -> str:
        """Our address as the service at an address sees it, or '' if the service is unreachable."""
        arguments = [source] if source else []
        return self.run(*PYTHON, str(PROBE), "ask", protocol, address, str(port), *arguments).strip()

    def pings(self, address: str) -> bool:
        return "1 received" in self.run("ping", "-c1", "-W3", address, check=False)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        call("ip", "netns", "delete", self.name, check=False)


class NamespaceTestbed:
    """The host, the outside and the guests."""

    bridge_type = "linux"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = self.new_host()
        self.outside = Namespace("outside")
        self.namespaces = [self.host, self.outside]
        self.add_veth(self.outside, "eth0", f"{OUTSIDE}/24", "eth0")
        self.host.run("ip", "address", "add", f"{UPLINK}/24", "dev", "eth0")
        self.host.run("ip", "route", "add", "default", "via", OUTSIDE)

    def new_host(self) -> Namespace:
        return Namespace("host")

    def plug(self, bridge: str, tap: str) -> None:
        """Attach a link of the host to a bridge."""
        self.host.run("ip", "link", "set", tap, "master", bridge)

    def add_veth(self, namespace: Namespace, device: str, address: str, host_link: str) -> None:
        peer = ("peer", "name", device, "netns", namespace.name)
        self.host.run("ip", "link", "add", host_link, "type", "veth", *peer)
        self.host.run("ip", "link", "set", host_link, "up")
        namespace.run("ip", "link", "set", device, "up")
        namespace.run("ip", "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))

    def add_guest(self, bridge: str, address: str, gateway: str = "") -> Namespace:
        """A guest with a fixed address, connected to a bridge."""
        namespace = Namespace(f"g{len(self.namespaces)}")
        self.namespaces.append(namespace)
        tap = f"tap{len(self.namespaces)}"
        self.add_veth(namespace, "eth0", address, tap)
        self.plug(bridge, tap)
        if gateway:
            namespace.run("ip", "route", "add", "default", "via", gateway)
        return namespace

    def task(self, part: str, desired: Sequence[Mapping[str, Any]], *, check: bool = False, purge: bool = False) -> Any:
        """Run a reconciler in the host as its module would."""
        return self.tasks(Task(part, desired, check, purge))[0]

    def tasks(self, *tasks: Task) -> list[Any]:
        """Run several in sequence in one process."""
        runs = [
            {"part": t.part, "wanted": t.desired, "check": t.check, "purge": t.purge, "root": str(self.root)}
            for t in tasks
        ]
        results: list[Any] = json.loads(self.host.run_engine("engine_task", stdin=json.dumps(runs)))
        return results

    def link(self, name: str) -> Any:
        """A link of the host as ip shows it, or None."""
        for item in self.host.json("ip", "-d", "-j", "address", "show"):
            if item["ifname"] == name:
                # Values that the kernel changes by itself: a timer, and the carrier a moment after the link is up.
                item.get("linkinfo", {}).get("info_data", {}).pop("gc_timer", None)
                item.pop("operstate", None)
                item["flags"] = [flag for flag in item["flags"] if flag != "NO-CARRIER"]
                return item
        return None

    def close(self) -> None:
        for namespace in self.namespaces:
            namespace.close()
