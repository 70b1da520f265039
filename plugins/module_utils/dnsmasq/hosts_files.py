# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a network that dnsmasq reads again on SIGHUP: guests that it knows, and names of addresses. Pure.

A fragment may name as many of them as it likes, beside those of others (dnsmasq.8, --dhcp-hostsfile, --addn-hosts), and
each row holds for no more than the line of configuration that says the same: ``dhcp-host=`` with the tag of the bridge,
or ``host-record=``. As such lines dnsmasq judges them before they are written, since of a row that it does not
understand it says so in its log alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from .system_config import Line

_DHCP, _NAMES = ".dhcp", ".names"
_READ_BY = {_DHCP: "dhcp-hostsfile", _NAMES: "addn-hosts"}

# 2.90 dies of SIGHUP after an entry of such a folder was removed whose guest has a lease; not seen in 2.93.
_FATAL_FOLDERS = ("dhcp-hostsdir", "dhcp-optsdir")
_CURED = (2, 93)


def dhcp_file(folder: str, network: str) -> str:
    """The guests that a network knows."""
    return os.path.join(folder, f"{network}{_DHCP}")


def names_file(folder: str, network: str) -> str:
    """The names of addresses that a network knows."""
    return os.path.join(folder, f"{network}{_NAMES}")


def hosts_file_network(path: str) -> str:
    """The network that a file is for; '' where it is no such file."""
    stem, end = os.path.splitext(os.path.basename(path))
    return stem if end in _READ_BY else ""


def file_option_lines(paths: Iterable[str]) -> Iterator[str]:
    """The lines of a fragment that name these files."""
    for path in paths:
        yield f"{_READ_BY[os.path.splitext(path)[1]]}={path}"


def as_host_record(row: str) -> str:
    """A row of hosts(5) as the line of configuration that says the same."""
    address, *names = row.split()
    return f"host-record={','.join(names)},{address}"


def as_config_lines(path: str, text: str) -> list[Line]:
    """The rows of a file as lines of configuration; each with the place where it stands."""
    dhcp = path.endswith(_DHCP)
    return [
        Line(f"dhcp-host={row}" if dhcp else as_host_record(row), path, number)
        for number, row in enumerate(text.splitlines(), 1)
        if row.strip() and not row.startswith("#")
    ]


def named_addresses(text: str) -> dict[str, set[str]]:
    """The addresses of each name in a file of names, of records and of static hosts."""
    found: dict[str, set[str]] = {}
    for row in text.splitlines():
        if row.strip() and not row.startswith("#"):
            address, *names = row.split()
            for name in names:
                found.setdefault(name, set()).add(address)
    return found


def survives_sighup(settings: Iterable[str], version: tuple[int, ...]) -> bool:
    """Whether a dnsmasq with settings of these names can be sent SIGHUP."""
    return bool(version and version >= _CURED) or not any(name in _FATAL_FOLDERS for name in settings)


def files_with_rows(files: Mapping[str, str]) -> dict[str, list[str]]:
    """The files that say something, of each network."""
    found: dict[str, list[str]] = {}
    for path, text in files.items():
        network = hosts_file_network(path)
        if network and as_config_lines(path, text):
            found.setdefault(network, []).append(path)
    return found


def files_of_networks(files: Mapping[str, str], networks: Iterable[str]) -> dict[str, str]:
    """Those of some networks, path to content."""
    wanted = set(networks)
    return {path: text for path, text in files.items() if hosts_file_network(path) in wanted}
