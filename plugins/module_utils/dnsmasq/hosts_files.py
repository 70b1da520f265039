# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts files of a network: static hosts, and names of addresses. dnsmasq reads them again on SIGHUP. Pure.

dnsmasq reads any number of such files (dnsmasq.8, --dhcp-hostsfile, --addn-hosts). A row means the same as a line of
configuration: ``dhcp-host=`` with the tag of the bridge, or ``host-record=``. Each row is validated as its equivalent
configuration line with ``dnsmasq --test``; errors in hosts files are only logged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from .system_config import Line, lines_of

_DHCP, _NAMES = ".dhcp", ".names"
_OPTION = {_DHCP: "dhcp-hostsfile", _NAMES: "addn-hosts"}

# 2.90 crashes on SIGHUP if an entry of such a folder was removed and its guest has a lease; not seen in 2.93.
_FATAL_SETTINGS = ("dhcp-hostsdir", "dhcp-optsdir")
_FIXED_IN = (2, 93)


def dhcp_file(folder: str, network: str) -> str:
    """The path of the file of static hosts of a network."""
    return os.path.join(folder, f"{network}{_DHCP}")


def names_file(folder: str, network: str) -> str:
    """The path of the file of names of a network."""
    return os.path.join(folder, f"{network}{_NAMES}")


def hosts_file_network(path: str) -> str:
    """The network of a hosts file, from its path; '' for any other path."""
    network, suffix = os.path.splitext(os.path.basename(path))
    return network if suffix in _OPTION else ""


def file_option_lines(paths: Iterable[str]) -> Iterator[str]:
    """The lines of a fragment that have dnsmasq read these hosts files."""
    for path in paths:
        yield f"{_OPTION[os.path.splitext(path)[1]]}={path}"


def as_host_record(row: str) -> str:
    """A row of hosts(5) as the equivalent configuration line."""
    address, *names = row.split()
    return f"host-record={','.join(names)},{address}"


def _rows(path: str, text: str) -> list[Line]:
    return [line for line in lines_of(path, text) if line.text.strip() and not line.text.startswith("#")]


def as_config_lines(path: str, text: str) -> list[Line]:
    """The rows of a hosts file as configuration lines, each with its place in the file."""
    convert = "dhcp-host={}".format if path.endswith(_DHCP) else as_host_record
    return [Line(convert(row.text), path, row.number, hosts_file_network(path)) for row in _rows(path, text)]


def named_addresses(text: str) -> dict[str, set[str]]:
    """The addresses of each name in a file of names."""
    addresses: dict[str, set[str]] = {}
    for row in _rows("", text):
        address, *names = row.text.split()
        for name in names:
            addresses.setdefault(name, set()).add(address)
    return addresses


def survives_sighup(settings: Iterable[str], version: tuple[int, ...]) -> bool:
    """Whether a dnsmasq with settings of these names keeps running on SIGHUP."""
    return bool(version and version >= _FIXED_IN) or not any(name in _FATAL_SETTINGS for name in settings)


def files_with_rows(files: Mapping[str, str]) -> dict[str, list[str]]:
    """The paths of the hosts files with rows, by network."""
    paths: dict[str, list[str]] = {}
    for path, text in files.items():
        network = hosts_file_network(path)
        if network and as_config_lines(path, text):
            paths.setdefault(network, []).append(path)
    return paths


def files_of_networks(files: Mapping[str, str], networks: Iterable[str]) -> dict[str, str]:
    """The hosts files of some networks, path to content."""
    names = set(networks)
    return {path: text for path, text in files.items() if hosts_file_network(path) in names}
