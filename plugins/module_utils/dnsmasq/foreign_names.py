# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that the administrator's own configuration of dnsmasq has, and files of names that it reads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

from ..core.untrusted import UnusableFile
from .config_reader import Reader
from .system_config import Config

# Each says of names to whom they belong (dnsmasq.8); a name is a whole field.
_SETTINGS = ("host-record", "dynamic-host", "cname", "interface-name", "dhcp-host")


def names_used_by_administrator(
    wanted: Collection[str], config: Config, reader: Reader, hosts_file: str
) -> frozenset[str]:
    """Those of some names, all in lower case, that this configuration gives to somebody; ``hosts_file``: /etc/hosts."""
    if not wanted:
        return frozenset()
    names = set(wanted)
    found = {field.lower() for setting in config.named(*_SETTINGS) for field in setting.fields} & names
    for setting in config.named("address"):
        found |= {part.lower() for part in (setting.value or "").split("/")[1:-1]} & names
    for path in _files(config, reader, hosts_file):
        for row in _text(reader, path).splitlines():
            found |= {word.lower() for word in row.partition("#")[0].split()[1:]} & names
    return frozenset(found)


def _text(reader: Reader, path: str) -> str:
    # Whether dnsmasq can use such a file is between it and the administrator.
    with contextlib.suppress(UnusableFile):
        return reader.text(path) or ""
    return ""


def _files(config: Config, reader: Reader, hosts_file: str) -> Iterator[str]:
    if not config.named("no-hosts"):
        yield hosts_file
    for setting in config.named("addn-hosts", "hostsdir"):
        path = os.path.join("/", setting.value or "")
        names = reader.names(path)
        yield from (os.path.join(path, name) for name in names)
        if not names and not os.path.isdir(path):
            yield path
