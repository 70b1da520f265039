# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command that starts the system's dnsmasq: from ExecStart=, or from the settings of Debian's helper. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

DEBIAN_DEFAULTS = "CONFIG_DIR=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new"


def exec_start_words(text: str) -> tuple[str, ...]:
    """The command in ExecStart as ``systemctl show`` prints it: ``{ path=... ; argv[]=... ; ... }``; () for none."""
    match = re.search(r"argv\[\]=(.*?) ; ", text)
    return tuple(match[1].split()) if match else ()


def debian_command(defaults: str) -> tuple[str, ...] | None:
    """The command that Debian's helper runs, from the text of /etc/default/dnsmasq; None if only a shell could tell.

    Follows /usr/share/dnsmasq/init-system-common. Two options that change no decision here are left out: the trust
    anchors of dns-root-data, and the resolv.conf of resolvconf.
    """
    values = shell_assignments(defaults)
    if values is None:
        return None
    words = ["/usr/sbin/dnsmasq", "-x", "/run/dnsmasq/dnsmasq.pid"]
    for flag, name in (("-m", "MAILHOSTNAME"), ("-t", "MAILTARGET")):
        words += [flag, values[name]] if values.get(name) else []
    words += ["-u", values.get("DNSMASQ_USER") or "dnsmasq"]
    for flag, name in (("-i", "DNSMASQ_INTERFACE"), ("-I", "DNSMASQ_EXCEPT")):
        for interface in values.get(name, "").split():
            words += [flag, interface]
    optional = (
        ("-l", "DHCP_LEASE"),
        ("-s", "DOMAIN_SUFFIX"),
        ("-r", "RESOLV_CONF"),
        ("-c", "CACHESIZE"),
        ("-7", "CONFIG_DIR"),
    )
    for flag, name in optional:
        words += [flag, *values[name].split()] if values.get(name) else []
    return (*words, *values.get("DNSMASQ_OPTS", "").split(), "--local-service")


_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def shell_assignments(text: str) -> Mapping[str, str] | None:
    """The variables that a shell script sets, if it has only plain assignments; else None."""
    values: dict[str, str] = {}
    try:
        for line in text.replace("\\\n", "").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["export"]:
                words = words[1:]
            for word in words:
                match = _ASSIGNMENT.fullmatch(word)
                if match is None:
                    return None
                value = _VARIABLE.sub(lambda name: values.get(name[1] or name[2], ""), match[2])
                if "$" in value or "`" in value:
                    return None
                values[match[1]] = value
    except ValueError:
        return None
    return values
