# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines for dnsmasq, and TFTP folders, that affect more than their network: they are allowed, with a warning.

They come from the administrator, or from the author of the XML. Pure.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.options import repr_short
from ..dhcp.dnsmasq_syntax import Setting, read_lines

_RAW = "dnsmasq.options"

_PROGRAM = "runs a program"
_USER = "changes the user that dnsmasq or its programs run as"
_CONFIGURATION = "has further configuration read from a file, which nobody tests"
_FILE = "has dnsmasq write to a file of the host"
_CONTROL = "lets others control dnsmasq"
_FIREWALL = "lets names that guests ask for change sets of the host's firewall"
_ELSEWHERE = "has dnsmasq answer elsewhere than on the network's bridge"
_TFTP = "gives guests files of the host, all that dnsmasq's user may read"

FURTHER_CONFIGURATION = frozenset(("conf-file", "conf-dir"))
PROGRAMS = ("dhcp-script", "dhcp-luascript", "conf-script")
# log-facility too, if it has a path.
WRITTEN_FILES = ("log-facility", "dumpfile", "dnssec-timestamp")

# dnsmasq(8), version 2.90: all long options that affect more than DHCP and DNS of one network, of those that are not
# refused (records.py).
_DANGERS: Mapping[str, str] = {
    **dict.fromkeys(PROGRAMS, _PROGRAM),
    **dict.fromkeys(("user", "group", "dhcp-scriptuser"), _USER),
    **dict.fromkeys(
        (*FURTHER_CONFIGURATION, "servers-file", "dhcp-hostsfile", "dhcp-hostsdir", "dhcp-optsfile", "dhcp-optsdir"),
        _CONFIGURATION,
    ),
    **dict.fromkeys(WRITTEN_FILES, _FILE),
    **dict.fromkeys(("enable-dbus", "enable-ubus"), _CONTROL),
    **dict.fromkeys(("ipset", "nftset", "connmark-allowlist"), _FIREWALL),
    **dict.fromkeys(("auth-server", "bridge-interface", "shared-network"), _ELSEWHERE),
}

# Files below these folders are for root or a service, or identify the host (hier(7)). /srv, /opt, /usr, /mnt and
# folders of the administrator's own may be for the public.
_PRIVATE = (
    *("/etc", "/root", "/home", "/proc", "/sys", "/dev", "/run", "/boot"),
    *("/var/lib", "/var/log", "/var/spool", "/var/mail", "/var/backups", "/var/cache", "/var/run"),
)
# Debian's tftpd-hpa and dnsmasq's own examples; Fedora's tftp-server.
_PUBLIC = ("/var/lib/tftpboot", "/var/lib/tftp")


def line_dangers(lines: Sequence[str]) -> Iterator[str]:
    """A sentence for each line that affects more than its network, with the line and its option.

    Lines are read as dnsmasq reads them, so that blanks, quotes and comments hide nothing. In a file, dnsmasq knows
    options by their long names only.
    """
    for number, line in enumerate(lines):
        for setting in read_lines(line, _RAW):
            danger = _danger(setting)
            if danger:
                yield f"the line {repr_short(line)} ({_RAW}[{number}]) {danger}; remove it unless that is meant"
                break


def _danger(setting: Setting) -> str:
    if setting.name == "log-facility":
        # A value without slash is a facility of syslog, or "-" for the standard error.
        return _FILE if "/" in (setting.value or "") else ""
    if setting.name == "tftp-root":
        return _TFTP if setting.fields and is_private_folder(setting.fields[0]) else ""
    return _DANGERS.get(setting.name, "")


def acts_when_started(setting: Setting) -> bool:
    """Whether dnsmasq does more with this option when it starts than read files and bind sockets."""
    return _danger(setting) in (_PROGRAM, _CONTROL, _FILE)


def is_private_folder(path: str) -> bool:
    """Whether a folder is, contains, or is inside of one that is not for the public."""
    folder = posixpath.normpath(f"/{path.lstrip('/')}")
    if any(_is_inside(folder, public) for public in _PUBLIC):
        return False
    return any(_is_inside(folder, private) or _is_inside(private, folder) for private in _PRIVATE)


def _is_inside(folder: str, other: str) -> bool:
    return posixpath.commonpath((folder, other)) == other


def tftp_danger(root: str, real: str = "", option: str = "tftp_root") -> str:
    """A sentence for a TFTP folder that is not for the public, or ''; ``real``: its path without symbolic links."""
    if not root or not (is_private_folder(root) or is_private_folder(real or root)):
        return ""
    link = f", which is {repr_short(real)}," if real and posixpath.normpath(real) != posixpath.normpath(root) else ""
    return f"{option} {repr_short(root)}{link} {_TFTP}; give them a folder of their own, such as '/srv/tftp'"


def option_dangers(options: Mapping[str, Any]) -> Iterator[str]:
    """The sentences of line_dangers() and tftp_danger() for the options of a network, which may not be valid."""
    dnsmasq, ipv4 = options.get("dnsmasq"), options.get("ipv4")
    lines = dnsmasq.get("options") if isinstance(dnsmasq, Mapping) else None
    if isinstance(lines, list):
        yield from line_dangers([line for line in lines if isinstance(line, str)])
    dhcp = ipv4.get("dhcp") if isinstance(ipv4, Mapping) else None
    root = dhcp.get("tftp_root") if isinstance(dhcp, Mapping) else None
    danger = tftp_danger(root, option="ipv4.dhcp.tftp_root") if isinstance(root, str) else ""
    if danger:
        yield danger
