# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for systemctl on a light host, which has no systemd: services are processes that it starts and stops.

It supports the settings of units that the services of a host with networks use: ExecStart= and similar, forking,
oneshot and notify, RuntimeDirectory=. It ignores users, capabilities and the sandbox of a unit.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

FOLDERS = [Path("/etc/systemd/system"), Path("/usr/lib/systemd/system")]
STATE = Path("/run/stand-in")
TIMEOUT = 60.0


class Unit:
    def __init__(self, name: str) -> None:
        self.name = name if "." in name else f"{name}.service"
        stem, at, rest = self.name.partition("@")
        self.instance = rest.rpartition(".")[0]
        files = [folder / name for folder in FOLDERS for name in (self.name, f"{stem}@.service" if at else self.name)]
        self.file = next((file for file in files if file.is_file()), None)
        self.values: dict[str, list[str]] = {}
        drop_ins = sorted(file for folder in FOLDERS for file in (folder / f"{self.name}.d").glob("*.conf"))
        for file in [*([self.file] if self.file else []), *drop_ins]:
            self._read(file.read_text().replace("\\\n", " "))

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            key, equals, value = line.strip().partition("=")
            if not equals or key.startswith(("#", ";")):
                continue
            if value:
                self.values.setdefault(key, []).append(value.replace("%i", self.instance))
            else:
                self.values.pop(key, None)

    def get(self, key: str, default: str = "") -> str:
        return self.values.get(key, [default])[-1]

    @property
    def record(self) -> Path:
        return STATE / self.name

    @property
    def pid(self) -> int:
        """The pid of the main process; 0 if there is none."""
        try:
            pid = int(self.record.read_text())
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (OSError, ValueError):
            return 0
        return pid if stat.rpartition(")")[2].split()[0] not in "ZX" else 0

    @property
    def active(self) -> str:
        if self.pid or (self.record.exists() and self.record.read_text() == "exited"):
            return "active"
        return "failed" if self.record.exists() and self.record.read_text() == "failed" else "inactive"

    def start(self) -> None:
        if self.active == "active":
            return
        try:
            self._start()
        except (subprocess.SubprocessError, OSError, TimeoutError) as problem:
            self._write("failed")
            sys.exit(f"{self.name}: {problem}")

    def _start(self) -> None:
        for folder in self.get("RuntimeDirectory").split():
            Path("/run", folder).mkdir(parents=True, exist_ok=True)
        for word in ("ExecStartPre", "ExecCondition"):
            self._run_all(word)
        kind = self.get("Type", "simple")
        if kind in ("oneshot", "forking"):
            self._run_all("ExecStart")
            self._write(self._forked() if kind == "forking" else "exited")
        else:
            self._write(str(self._spawn(kind == "notify")))
        self._run_all("ExecStartPost")

    def _run_all(self, word: str) -> None:
        for line in self.values.get(word, []):
            command = shlex.split(line.lstrip("-+!@:"))
            subprocess.run(command, check=not line.startswith("-"), timeout=TIMEOUT, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip

    def _forked(self) -> str:
        file = Path(self.get("PIDFile"))
        deadline = time.monotonic() + TIMEOUT
        while not file.exists() or not file.read_text().strip():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {file}")
            time.sleep(0.01)
        return file.read_text().strip()

    def _spawn(self, notifies: bool) -> int:
        """Starts a daemon, and waits for its READY=1 (sd_notify(3)) if its type is notify."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            name = f"@stand-in-{os.getpid()}"
            notifications.bind(name.replace("@", "\0"))
            notifications.settimeout(TIMEOUT)
            child = subprocess.Popen(
                shlex.split(self.get("ExecStart")), start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "NOTIFY_SOCKET": name},
            )  # fmt: skip
            while notifies and b"READY=1" not in notifications.recv(4096):
                pass
            return child.pid

    def stop(self) -> None:
        if self.active == "active":
            self._run_all("ExecStop")
            pid, deadline = self.pid, time.monotonic() + TIMEOUT
            if pid:
                os.kill(pid, signal.SIGTERM)
            while self.pid:
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.005)
        self.record.unlink(missing_ok=True)

    def kill(self, number: int) -> None:
        if self.pid:
            os.kill(self.pid, number)

    def _write(self, text: str) -> None:
        STATE.mkdir(exist_ok=True)
        self.record.write_text(text)

    def shown(self) -> dict[str, str]:
        enabled = any(list(folder.glob(f"*.wants/{self.name}"))
                      for folder in FOLDERS)  # fmt: skip
        command = self.get("ExecStart").lstrip("-+!@:")
        return {
            "Id": self.name,
            "LoadState": "loaded" if self.file else "not-found",
            "UnitFileState": ("enabled" if enabled else "disabled") if self.file else "",
            "ActiveState": self.active,
            "MainPID": str(self.pid),
            "NeedDaemonReload": "no",
            "ExecStart": f"{{ path={command.split()[0]} ; argv[]={command} ; ignore_errors=no ; }}" if command else "",
        }


def show(units: list[Unit], options: list[str]) -> None:
    properties = [name for option in options for name in option.partition("=")[2].split(",") if "property" in option]
    blocks = []
    for unit in units:
        shown = unit.shown()
        blocks.append("\n".join(f"{key}={shown[key]}" for key in properties or shown if key in shown))
    print("\n\n".join(blocks))


def main() -> None:
    # Links to systemctl with the names of older programs.
    if not sys.argv[1:]:
        print("N 5")
        sys.exit(0 if Path(sys.argv[0]).name == "runlevel" else 1)
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    verb, *names = [word for word in sys.argv[1:] if not word.startswith("-")]
    units = [Unit(name) for name in names]
    work = {
        "show": lambda: show(units, options),
        "start": lambda: [unit.start() for unit in units],
        "stop": lambda: [unit.stop() for unit in units],
        "restart": lambda: [(unit.stop(), unit.start()) for unit in units],
        "kill": lambda: [unit.kill(number_of(options)) for unit in units],
        "is-system-running": lambda: print("running"),
        "daemon-reload": lambda: None,
        "reset-failed": lambda: None,
    }
    if verb not in work:
        sys.exit(f"the stand-in for systemctl does not know {verb}")
    work[verb]()


def number_of(options: list[str]) -> int:
    """The signal in the arguments."""
    name = next((option.partition("=")[2] for option in options if option.startswith("--signal=")), "TERM")
    return signal.Signals["SIG" + re.sub("^SIG", "", name)]


if __name__ == "__main__":
    main()
