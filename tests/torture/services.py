# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for ``systemctl`` in a host made of namespaces, where systemd cannot run: starts the real dnsmasq.

It knows ``dnsmasq.service`` as Debian has it, and the units ``virtnet-dnsmasq@NAME.service`` by their template:
command, user, folders, condition. The Molecule scenarios use systemd itself.

A run of the engine asks for the state of units some ten times. Python starts three times as fast for that, because what
other libraries than os are for is imported where it is done.
"""

from __future__ import annotations

import os
import sys

DNSMASQ = "dnsmasq.service"
_DEFAULTS_FILE = "/etc/default/dnsmasq"
DEFAULTS = "CONFIG_DIR=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new\n"
_PID = "/run/dnsmasq/dnsmasq.pid"
_COMMAND = ["/usr/sbin/dnsmasq", "-x", _PID, "-u", "dnsmasq", "-7", DEFAULTS.partition("=")[2].strip(),
            "--local-service"]  # fmt: skip
_HELPER = "/usr/share/dnsmasq/systemd-helper"
_TEMPLATE = "/etc/systemd/system/virtnet-dnsmasq@.service"
_INSTANCE_START, _INSTANCE_END = "virtnet-dnsmasq@", ".service"
_CAPABILITIES = "-all,+net_admin,+net_raw,+net_bind_service"
_NOT_LOADED = 5


def instance_of(unit: str) -> str:
    if not (unit.startswith(_INSTANCE_START) and unit.endswith(_INSTANCE_END)):
        return ""
    return unit[len(_INSTANCE_START) : -len(_INSTANCE_END)]


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def pid_of(unit: str) -> int:
    """The running main process; never another process that got its number later."""
    path = f"/run/virtnet-dnsmasq/{instance_of(unit)}/pid" if instance_of(unit) else _PID
    try:
        pid = int(read(path))
        return pid if path.encode() in read(f"/proc/{pid}/cmdline") else 0
    except (OSError, ValueError):
        return 0


def is_known(unit: str) -> bool:
    if unit == DNSMASQ:
        return os.path.exists(_DEFAULTS_FILE)
    return (bool(instance_of(unit)) and os.path.exists(_TEMPLATE)) or bool(pid_of(unit))


def setting(key: str, name: str) -> str:
    values = [line.partition("=")[2] for line in read(_TEMPLATE).decode().splitlines() if line.startswith(f"{key}=")]
    assert values, f"the template has no {key}"
    return values[0].replace("%i", name)


def start(unit: str) -> int:
    import subprocess

    if not is_known(unit):
        print(f"Failed to start {unit}: Unit {unit} not found.", file=sys.stderr)
        return _NOT_LOADED
    if pid_of(unit):
        return 0
    name = instance_of(unit)
    if not name:
        os.makedirs(os.path.dirname(_PID), exist_ok=True)
        command = _COMMAND
    else:
        if not os.path.exists(setting("ConditionPathExists", name)):
            return 0
        for folder in (
            # Else a read-only disk would keep the second file.
            "/var/lib/" + setting("StateDirectory", name),
            "/run/" + setting("RuntimeDirectory", name),
        ):
            os.makedirs(folder, exist_ok=True)
            owned = subprocess.run(["chown", "-R", setting("User", name), folder], check=False)
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
    import contextlib
    import signal
    import time
    from pathlib import Path

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
    import signal

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
    import fcntl

    # One job at a time, as systemd does for one unit.
    with open("/run/systemctl.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        steps = {"restart": (stop, start), "start": (start,), "stop": (stop,)}[verb]
        return max([0, *(step(unit) for unit in units for step in steps)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
