# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names in the administrator's own configuration of dnsmasq, and in the hosts files that it reads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

from ..core.untrusted import UnusableFile
from .config_reader import HostReader
from .system_config import Config

# Settings that assign names (dnsmasq.8); each name is a whole field.
_SETTINGS = ("host-record", "dynamic-host", "cname", "interface-name", "dhcp-host")


def names_used_by_administrator(
    names: Collection[str], config: Config, reader: HostReader, hosts_file: str
) -> frozenset[str]:
    """The names, of ``names`` in lower case, that this configuration assigns; ``hosts_file``: /etc/hosts."""
    if not names:
        return frozenset()
    candidates = set(names)
    used = {field.lower() for setting in config.named(*_SETTINGS) for field in setting.fields} & candidates
    for setting in config.named("address"):
        used |= {part.lower() for part in (setting.value or "").split("/")[1:-1]} & candidates
    for path in _hosts_files(config, reader, hosts_file):
        for row in _text(reader, path).splitlines():
            used |= {word.lower() for word in row.partition("#")[0].split()[1:]} & candidates
    return frozenset(used)


def _text(reader: HostReader, path: str) -> str:
    # A file that cannot be read is the administrator's, who has dnsmasq read it; it does not stop our run.
    with contextlib.suppress(UnusableFile):
        return reader.text(path) or ""
    return ""


def _hosts_files(config: Config, reader: HostReader, hosts_file: str) -> Iterator[str]:
    if not config.named("no-hosts"):
        yield hosts_file
    for setting in config.named("addn-hosts", "hostsdir"):
        path = os.path.join("/", setting.value or "")
        names = reader.names(path)
        yield from (os.path.join(path, name) for name in names)
        if not names and not os.path.isdir(path):
            yield path
