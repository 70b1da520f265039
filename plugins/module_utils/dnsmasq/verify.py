# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verifies that a dnsmasq serves a network, and that it has read its hosts files."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import time
from collections.abc import Collection

from ..core.inotify import ReadWatcher
from . import probe
from .hosts_files import named_addresses
from .spec import FragmentSpec

# Seconds. dnsmasq reads a file within milliseconds; after this time it is restarted.
_READ_TIMEOUT = 15.0


def service_problem(spec: FragmentSpec, pid: int, dns: bool) -> str:
    """What the dnsmasq of a network does not do; '' for nothing. ``dns``: it has to answer DNS queries."""
    for bridge in spec.addresses if dns else ():
        if probe.interface_has_address(spec.interface, bridge.ip) and not probe.answers_dns(bridge.ip, spec.dns_port):
            return f"it runs, but does not answer DNS queries to {bridge.ip} on {spec.interface}"
    ports = {port for _address, port in probe.listening(pid)}
    if spec.dhcp and spec.dhcp_port not in ports:
        return f"it runs, but does not listen for DHCP (UDP port {spec.dhcp_port}), which {spec.name} needs"
    if spec.dhcp6 and probe.DHCP6_PORT not in ports:
        return f"it runs, but does not listen for DHCPv6 (UDP port 547), which {spec.name} needs"
    return ""


def unknown_name(spec: FragmentSpec, before: str, after: str) -> str:
    """A name that a change of a file of names has added or moved, and that dnsmasq does not resolve so; '' for none."""
    known, desired = named_addresses(before), named_addresses(after)
    for name, addresses in desired.items():
        for version in (4, 6) if addresses != known.get(name) else ():
            of_family = {address for address in addresses if ipaddress.ip_address(address).version == version}
            # For a name with several addresses, the administrator may have dnsmasq answer with one of them.
            if of_family and not of_family & probe.resolve_addresses(spec.bridge.ip, name, version, spec.dns_port):
                return name
    return ""


class ReadWatch:
    """Watches from its creation on which of some files are read; dnsmasq only logs that it cannot read a file.

    Not ``available`` where the user has no inotify instance left: then nothing is known, and nothing counts as unread.
    """

    def __init__(self, files: Collection[str]) -> None:
        self._unread = set(files)
        self._watch: ReadWatcher | None = None
        with contextlib.suppress(OSError):
            self._watch = ReadWatcher()
            self._watch.add(files)

    def __enter__(self) -> ReadWatch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.close()

    @property
    def available(self) -> bool:
        """Whether files are watched."""
        return self._watch is not None

    def first_unread(self, files: Collection[str], pid: int) -> str:
        """One of these files that has not been read, after a timeout or when the process has ended; '' for none."""
        expected, deadline = set(files), time.monotonic() + _READ_TIMEOUT
        while self._watch is not None and expected & self._unread:
            if time.monotonic() > deadline or not probe.listening(pid):
                return min(expected & self._unread)
            select.select(self._watch.filenos(), [], [], 0.2)
            self._unread -= {path for path, _mask in self._watch.receive()}
        return ""
