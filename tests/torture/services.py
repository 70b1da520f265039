# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for ``systemctl`` in a host made of namespaces, where systemd cannot run: starts the real dnsmasq.

It knows ``dnsmasq.service`` as Debian has it, and the units ``virtnet-dnsmasq@NAME.service`` by their template:
command, user, folders, condition. The Molecule scenarios use systemd itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

DNSMASQ = "dnsmasq.service"
_DEFAULTS_FILE = Path("/etc/default/dnsmasq")
DEFAULTS = "CONFIG_DIR=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new\n"
_PID = "/run/dnsmasq/dnsmasq.pid"
_COMMAND = ["/usr/sbin/dnsmasq", "-x", _PID, "-u", "dnsmasq", "-7", DEFAULTS.partition("=")[2].strip(),
            "--local-service"]  # fmt: skip
_HELPER = "/usr/share/dnsmasq/systemd-helper"
_TEMPLATE = Path("/etc/systemd/system/virtnet-dnsmasq@.service")
_CAPABILITIES = "-all,+net_admin,+net_raw,+net_bind_service"
_NOT_LOADED = 5


def instance_of(unit: str) -> str:
    match = re.fullmatch(r"virtnet-dnsmasq@(.+)\.service", unit)
    return match[1] if match else ""


def pid_of(unit: str) -> int:
    """The running main process; never another process that got its number later."""
    path = f"/run/virtnet-dnsmasq/{instance_of(unit)}/pid" if instance_of(unit) else _PID
    with contextlib.suppress(OSError, ValueError):
        pid = int(Path(path).read_text())
        if path.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return 0


def is_known(unit: str) -> bool:
    if unit == DNSMASQ:
        return _DEFAULTS_FILE.exists()
    return (bool(instance_of(unit)) and _TEMPLATE.exists()) or bool(pid_of(unit))


def setting(key: str, name: str) -> str:
    match = re.search(rf"^{key}=(.*)$", _TEMPLATE.read_text(), re.MULTILINE)
    assert match, f"the template has no {key}"
    return match[1].replace("%i", name)


def start(unit: str) -> int:
    if not is_known(unit):
        print(f"Failed to start {unit}: Unit {unit} not found.", file=sys.stderr)
        return _NOT_LOADED
    if pid_of(unit):
        return 0
    name = instance_of(unit)
    if not name:
        Path(_PID).parent.mkdir(exist_ok=True)
        command = _COMMAND
    else:
        if not Path(setting("ConditionPathExists", name)).exists():
            return 0
        for folder in (
            # Else a read-only disk would keep the second file.
            Path("/var/lib") / setting("StateDirectory", name),
            Path("/run") / setting("RuntimeDirectory", name),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            owned = subprocess.run(["chown", "-R", setting("User", name), str(folder)], check=False)
            if owned.returncode:
                return owned.returncode
        user = f"--reuid={setting('User', name)}"
        limits = [f"--{kind}={_CAPABILITIES}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
        before = ["setpriv", user, "--regid=nogroup", "--clear-groups", *limits, "--no-new-privs"]
        command = [*before, *setting("ExecStart", name).split()]
    log = f"/run/virtnet-dnsmasq/{name}/log" if name else "/run/dnsmasq/log"
    result = subprocess.run([*command, f"--log-facility={log}"], capture_output=True, text=True, check=False)
    if result.returncode:
        print(f"Job for {unit} failed: {result.stderr.strip()}", file=sys.stderr)
    return result.returncode


def stop(unit: str) -> int:
    if not is_known(unit):
        print(f"Failed to stop {unit}: Unit {unit} not loaded.", file=sys.stderr)
        return _NOT_LOADED
    pid = pid_of(unit)
    if pid:
        os.kill(pid, signal.SIGTERM)
        # Its command line disappears before its sockets.
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)
    if instance_of(unit):
        folder = Path(f"/run/virtnet-dnsmasq/{instance_of(unit)}")
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)
        for path in (folder, folder.parent):
            with contextlib.suppress(OSError):
                path.rmdir()
    return 0


def show(units: list[str]) -> int:
    blocks = []
    for unit in units:
        pid = pid_of(unit)
        lines = {
            "Id": unit,
            "LoadState": "loaded" if is_known(unit) else "not-found",
            "ActiveState": "active" if pid else "inactive",
            "UnitFileState": "enabled" if unit == DNSMASQ and is_known(unit) else "",
            "MainPID": str(pid),
            "ExecStart": f"{{ path={_HELPER} ; argv[]={_HELPER} exec ; ignore_errors=no ; }}"
            if unit == DNSMASQ and is_known(unit)
            else "",
            "NeedDaemonReload": "no",
        }
        blocks.append("".join(f"{key}={value}\n" for key, value in lines.items()))
    print("\n".join(blocks), end="")
    return 0


def reload_services(units: list[str]) -> int:
    for unit in units:
        pid = pid_of(unit)
        if not pid:
            return 1
        os.kill(pid, signal.SIGHUP)
    return 0


def main(arguments: list[str]) -> int:
    words = [word for word in arguments if not word.startswith("-")]
    verb, units = words[0], words[1:]
    if verb == "show":
        return show(units)
    if verb == "kill":
        return reload_services(units)
    if verb in ("daemon-reload", "reset-failed"):
        return 0
    # One job at a time, as systemd does for one unit.
    with Path("/run/systemctl.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        steps = {"restart": (stop, start), "start": (start,), "stop": (stop,)}[verb]
        return max([0, *(step(unit) for unit in units for step in steps)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
