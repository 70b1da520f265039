# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Light hosts: a network namespace, an overlay of one root, and a chroot; no systemd. A hundred fit where four
systemd containers do.

Each also has its own mount and pid namespace, so that all its processes end with the first one. Its changes to the
root are in memory. ``on_host/systemctl.py`` is a stand-in for systemctl.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.store import FOLDER

from lab import image, netns
from lab.host import ENVIRONMENT
from lab.internet import ADDRESS, PREFIX, Internet
from lab.podman import podman
from lab.progress import step
from lab.run import Failed, eventually, run

PREFIX_OF_NAMES = "virtnet-benchlight."
STATE = Path("/run/virtnet-bench-light")
IMAGE = "trixie-bench"
TIMEOUT = 60
PROGRAMS = Path(__file__).with_name("programs")


def root() -> Path:
    """The root that all share: that of an image, with the stand-in for systemctl."""
    reference = image.ensure(IMAGE)
    folder = FOLDER / f"root-{reference.rpartition(':')[2]}"
    if not folder.is_dir():
        for older in FOLDER.glob("root-*"):
            shutil.rmtree(older)
        with step("unpack the root of light hosts"):
            archive, new_root = FOLDER / "root.tar", FOLDER / "fresh"
            shutil.rmtree(new_root, ignore_errors=True)
            new_root.mkdir(parents=True)
            podman("image", "save", "--format", "docker-archive", "--output", str(archive), reference, timeout=300)
            with tarfile.open(archive) as image_archive:
                (layer,) = [name for name in image_archive.getnames() if name.endswith(".tar") and "/" not in name]
                image_archive.extract(layer, FOLDER, filter="data")
            run(["tar", "-x", "-f", str(FOLDER / layer), "-C", str(new_root)], 300)
            archive.unlink()
            (FOLDER / layer).unlink()
            new_root.rename(folder)
    program = folder / "usr/bin/systemctl"
    program.unlink()
    stand_in = Path(__file__).with_name("on_host") / "systemctl.py"
    program.write_text(f"#!/usr/bin/python3\n{stand_in.read_text()}")
    program.chmod(0o755)
    return folder


@dataclass(frozen=True)
class LightHost:
    number: int

    @property
    def name(self) -> str:
        return f"light{self.number}"

    @property
    def namespace(self) -> str:
        return f"{PREFIX_OF_NAMES}{self.name}"

    @property
    def state(self) -> Path:
        return STATE / self.name

    @property
    def pid(self) -> int:
        """The machine's pid of the first process."""
        try:
            return int((STATE / f"{self.name}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def start(self, lower: Path, internet: Internet) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        netns.make(self.namespace)
        internet.plug(self.namespace, f"host{self.number}", f"52:54:00:01:00:{self.number:02x}")
        inside = netns.inside(self.namespace, ["ip", "-batch", "-"])
        run(inside, stdin=f"address add 203.0.113.{self.number + 10}/{PREFIX} dev eth0\n"
                          f"link set eth0 up\nroute add default via {ADDRESS}\n")  # fmt: skip
        unshared = [
            "unshare",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
        ]
        first_process = (PROGRAMS / "reaper.py").read_text()
        boot = ["sh", str(PROGRAMS / "boot_light_host.sh"), str(lower), str(self.state), self.name, ADDRESS]
        command = [*unshared, *boot, first_process]
        log = STATE / f"{self.name}.log"
        with log.open("w") as sink:
            parent = subprocess.Popen(
                netns.inside(self.namespace, command), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                start_new_session=True, env=ENVIRONMENT,
            )  # fmt: skip
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        if not eventually(lambda: children.read_text().strip() != "", TIMEOUT):
            raise Failed(f"{self.name} has no first process: {log.read_text()}")
        (STATE / f"{self.name}.pid").write_text(children.read_text().split()[0])
        # Its command line is Python's once the chroot is done.
        line = Path(f"/proc/{self.pid}/cmdline")
        if not eventually(lambda: line.read_bytes().startswith(b"/usr/bin/python3"), TIMEOUT):
            raise Failed(f"{self.name} has not come up: {log.read_text()}")
        self.run(["systemctl", "start", "dnsmasq.service"])

    def command(self, command: list[str]) -> list[str]:
        """The command line, for use on the machine, that runs a command on this host."""
        if not self.pid:
            raise Failed(f"{self.name} does not run")
        words = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd=/root"]
        return ["nsenter", f"--target={self.pid}", *words, "--", *command]

    def run(self, command: list[str]) -> str:
        return run(self.command(command), env=ENVIRONMENT)


class LightHosts:
    """So many hosts and their internet, for the duration of the block."""

    def __init__(self, count: int) -> None:
        self.hosts = [LightHost(number + 1) for number in range(count)]
        self.internet = Internet(f"{PREFIX_OF_NAMES}internet", STATE)

    def __enter__(self) -> list[LightHost]:
        remove_all()
        STATE.mkdir(parents=True, exist_ok=True)
        lower = root()
        try:
            with step(f"start {len(self.hosts)} light hosts"), ThreadPoolExecutor(4) as pool:
                self.internet.ensure()
                list(pool.map(lambda host: host.start(lower, self.internet), self.hosts))
        except BaseException:
            remove_all()
            raise
        return self.hosts

    def __exit__(self, *_: object) -> None:
        remove_all()


def remove_all() -> None:
    """Removes all hosts, also those of a killed run; all processes in a namespace end with it."""
    # The first process of a pid namespace ignores SIGTERM; with it all others end.
    for file in STATE.glob("light*.pid"):
        host = LightHost(int(file.stem.removeprefix("light")))
        if host.pid and netns.holds(host.namespace, host.pid):
            os.kill(host.pid, signal.SIGKILL)
    for namespace in netns.path("").glob(f"{PREFIX_OF_NAMES}*"):
        netns.drop(namespace.name)
    shutil.rmtree(STATE, ignore_errors=True)
