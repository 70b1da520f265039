# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of the user with which a private instance would not start, or would do nothing, and that no start can try.

A start would write the files and run the programs that they name (dangerous_options.acts_when_started()).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from ..core.errors import VirtnetError
from ..core.files import is_open_file, is_open_folder
from ..core.options import repr_short
from ..dhcp.dnsmasq_syntax import Setting, read_lines
from .dangerous_options import FURTHER_CONFIGURATION, PROGRAMS, WRITTEN_FILES
from .system_config import Line

# ProtectSystem=strict and ProtectHome= of the unit (private_files.py, systemd.exec(5)). The folders for temporary files
# are its own.
_HIDDEN = ("/home", "/root", "/run/user")
_WRITABLE = ("/tmp", "/var/tmp", "/var/lib/virtnet/dnsmasq")
# Files that others made there: PrivateTmp= gives the service folders of its own.
UNSEEN = (*_HIDDEN, "/tmp", "/var/tmp")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_READ = (
    *("addn-hosts", "hostsdir", "dhcp-hostsfile", "dhcp-hostsdir", "dhcp-optsfile", "dhcp-optsdir"),
    *("servers-file", "resolv-file"),
)
_DROP_IN = "or allow it in a drop-in of virtnet-dnsmasq@.service (systemctl edit virtnet-dnsmasq@.service)"


def refuse_beyond_unit(lines: Sequence[Line], compile_options: str, *, has_drop_in: bool) -> None:
    """Raise VirtnetError for the first line that the unit, or this dnsmasq, cannot put into force.

    ``compile_options``: as ``dnsmasq --version`` says them. ``has_drop_in``: the administrator changed the unit.
    """
    for line in lines:
        for setting in read_lines(line.text, line.file):
            problem = _problem(setting, compile_options, has_drop_in=has_drop_in)
            if problem:
                owner = f"network {line.network!r}: dnsmasq.options: " if line.network else ""
                place = f"{owner}{replace(setting, line=line.number)}"
                raise VirtnetError(f"dnsmasq would not start, nothing was changed: {place}: {problem}")


def closed_files(lines: Sequence[str]) -> list[str]:
    """The files and folders that these lines name, and that a dnsmasq reads without which it serves (seen with 2.90).

    Those which are missing, or which its user may not read, it tells its log alone.
    """
    settings = [setting for line in lines for setting in read_lines(line, "")]
    paths = [setting.fields[0] for setting in settings if setting.name in _READ and setting.fields[0].startswith("/")]
    return [path for path in paths if _is_below(path, UNSEEN) or not (is_open_file(path) or is_open_folder(path))]


def closed_file_notes(lines: Sequence[str], closed: Collection[str]) -> Iterator[str]:
    """A sentence for each line that names one of the files ``closed``."""
    for number, line in enumerate(lines):
        for setting in read_lines(line, ""):
            if setting.name in _READ and setting.fields and setting.fields[0] in closed:
                yield (
                    f"the line {repr_short(line)} (dnsmasq.options[{number}]) has no effect as long as there is no "
                    f"{repr_short(setting.fields[0])} that everybody may read, and not below {', '.join(UNSEEN)}; "
                    "make it, and restart the network's dnsmasq"
                )


def _problem(setting: Setting, compile_options: str, *, has_drop_in: bool) -> str:
    path = setting.fields[0] if setting.fields else ""
    bus = {"enable-dbus": "DBus", "enable-ubus": "UBus"}.get(setting.name, "")
    if bus and f"no-{bus}" in compile_options.split():
        return f"this dnsmasq is built without {bus}; leave it out"
    if setting.name in PROGRAMS and path.startswith("/"):
        if not has_drop_in and _is_below(path, UNSEEN):
            return f"the service does not see that folder; put the program elsewhere, {_DROP_IN}"
        if not (os.path.isfile(path) and os.access(path, os.R_OK | os.X_OK)):
            return "there is no such program; make it first"
    if setting.name in FURTHER_CONFIGURATION and not has_drop_in and _is_below(path, UNSEEN):
        return f"the service does not see that folder; put the file elsewhere, {_DROP_IN}"
    if setting.name in WRITTEN_FILES and path.startswith("/") and path not in _DEVICES:
        folder = os.path.dirname(path)
        if not has_drop_in and not _is_below(path, _WRITABLE):
            return f"the service may write below {', '.join(_WRITABLE)} alone; choose one of these, {_DROP_IN}"
        if folder not in _WRITABLE and not os.path.isdir(folder):
            return f"there is no folder {folder}; make it first"
    return ""


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(os.path.normpath(path).startswith(f"{folder}/") for folder in folders)
