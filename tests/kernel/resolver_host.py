# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with the real openresolv or Debian's resolvconf, in a mount namespace of its own.

The package is unpacked, not installed: overlays mount it over /usr and /etc, and /run is empty. Nothing of it is
visible outside of the namespace.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .engine_client import PROGRAMS, run_engine
from .testbed import REPOSITORY

CACHE = REPOSITORY / ".build" / "debs"


def package(name: str) -> Path:
    """The file of a Debian package, downloaded once. Raises CalledProcessError if it is not available."""
    CACHE.mkdir(parents=True, exist_ok=True)
    # Test processes run in parallel, and apt creates the file before the download ends.
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cached = sorted(CACHE.glob(f"{name}_*.deb"))
        if not cached:
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                fetch = ["apt-get", "-qq", "download", name]
                if subprocess.run(fetch, cwd=folder, capture_output=True).returncode != 0:
                    subprocess.run(["apt-get", "-qq", "update"], check=True)
                    subprocess.run(fetch, cwd=folder, check=True)
                for file in Path(folder).glob("*.deb"):
                    file.rename(CACHE / file.name)
            cached = sorted(CACHE.glob(f"{name}_*.deb"))
    return cached[-1]


def unpack(name: str, target: Path) -> Path:
    """A package as a tree with a merged /usr, as on current hosts."""
    subprocess.run(["dpkg-deb", "-x", package(name), target], check=True)
    for old in ("sbin", "lib"):
        if (target / old).is_dir():
            subprocess.run(["cp", "-a", f"{target / old}/.", target / "usr" / old], check=True)
    return target


class ResolverHost:
    """Runs programs in the namespace, and the reconciler as a task would."""

    def __init__(self, provider: str, tree: Path, scratch: Path) -> None:
        self.provider = provider
        # The process ends when its standard input is closed, and the namespace with it.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", PROGRAMS / "lay_over.sh", tree, scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def close(self) -> None:
        """Remove the namespace."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(10)

    def run(self, *argv: str | Path, stdin: str = "") -> str:
        """The output of a program in the namespace."""
        result = subprocess.run(
            ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def read(self, path: str) -> str:
        """The content of a file of this host."""
        return self.run("cat", path)

    def write(self, path: str, content: str) -> None:
        """Write a file of this host."""
        self.run("tee", path, stdin=content)

    def resolv_conf(self) -> list[str]:
        """The lines of /etc/resolv.conf without comments and blank lines."""
        return [line for line in self.read("/etc/resolv.conf").splitlines() if line and not line.startswith("#")]

    def uplink(self, text: str, key: str = "eth0.dhcp") -> None:
        """Registers the servers that a DHCP client of the host got."""
        self.run("resolvconf", "-a", key, stdin=text)

    def task(self, *entries: dict[str, Any], purge: bool = False, check: bool = False) -> dict[str, Any]:
        """Run the reconciler."""
        task = {"part": "resolver", "wanted": entries, "purge": purge, "check": check, "root": "/"}
        run = run_engine("engine_task", stdin=json.dumps([task]), mounts=f"/proc/{self._holder.pid}/ns/mnt", timeout=60)
        assert run.returncode == 0, run.stderr
        result: dict[str, Any] = json.loads(run.stdout)[0]
        return result
