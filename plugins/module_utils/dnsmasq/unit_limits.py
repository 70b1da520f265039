# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of the user with which a private instance would not start, or would do nothing, and that no start can try.

A start would write the files and run the programs that they name (dangerous_options.acts_when_started()).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from ..core.errors import VirtnetError
from ..dhcp.dnsmasq_syntax import Setting, read_lines
from .dangerous_options import PROGRAMS, WRITTEN_FILES
from .system_config import Line

# ProtectSystem=strict and ProtectHome= of the unit (private_files.py, systemd.exec(5)). The folders for temporary files
# are its own.
_HIDDEN = ("/home", "/root", "/run/user")
_WRITABLE = ("/tmp", "/var/tmp", "/var/lib/virtnet/dnsmasq")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_DROP_IN = "or allow it in a drop-in of virtnet-dnsmasq@.service (systemctl edit virtnet-dnsmasq@.service)"


def refuse_beyond_unit(lines: Sequence[Line], compile_options: str, *, has_drop_in: bool) -> None:
    """Raise VirtnetError for the first line that the unit, or this dnsmasq, cannot put into force.

    ``compile_options``: as ``dnsmasq --version`` says them. ``has_drop_in``: the administrator changed the unit.
    """
    for line in lines:
        for setting in read_lines(line.text, line.file):
            problem = _problem(setting, compile_options, has_drop_in=has_drop_in)
            if problem:
                raise VirtnetError(
                    f"dnsmasq would not start, nothing was changed: {replace(setting, line=line.number)}: {problem}"
                )


def _problem(setting: Setting, compile_options: str, *, has_drop_in: bool) -> str:
    path = setting.fields[0] if setting.fields else ""
    bus = {"enable-dbus": "DBus", "enable-ubus": "UBus"}.get(setting.name, "")
    if bus and f"no-{bus}" in compile_options.split():
        return f"this dnsmasq is built without {bus}; leave it out"
    if setting.name in PROGRAMS and path.startswith("/"):
        if not has_drop_in and _is_below(path, _HIDDEN):
            return f"the service does not see that folder; put the program elsewhere, {_DROP_IN}"
        if not (os.path.isfile(path) and os.access(path, os.R_OK | os.X_OK)):
            return "there is no such program; make it first"
    if setting.name in WRITTEN_FILES and path.startswith("/") and path not in _DEVICES:
        folder = os.path.dirname(path)
        if not has_drop_in and not _is_below(path, _WRITABLE):
            return f"the service may write below {', '.join(_WRITABLE)} alone; choose one of these, {_DROP_IN}"
        if folder not in _WRITABLE and not os.path.isdir(folder):
            return f"there is no folder {folder}; make it first"
    return ""


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(os.path.normpath(path).startswith(f"{folder}/") for folder in folders)
