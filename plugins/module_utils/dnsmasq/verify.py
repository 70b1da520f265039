# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a dnsmasq serves a network as it shall, and has read again what it was told to."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import time
from collections.abc import Collection

from ..core.inotify import Readers
from . import probe
from .hosts_files import named_addresses
from .spec import FragmentSpec

# Seconds. What is waited for takes milliseconds; who waits in vain restarts dnsmasq.
_READING = 15.0


def unserved(spec: FragmentSpec, pid: int, dns: bool) -> str:
    """What a network lacks; '' for nothing."""
    for bridge in spec.addresses if dns else ():
        if probe.is_held(spec.interface, bridge.ip) and not probe.answers(bridge.ip):
            return f"it runs, but does not answer DNS queries to {bridge.ip} on {spec.interface}"
    ports = {port for _address, port in probe.listening(pid)}
    if spec.dhcp and probe.DHCP_PORT not in ports:
        return f"it runs, but does not listen for DHCP (UDP port 67), which {spec.name} needs"
    if spec.dhcp6 and probe.DHCP6_PORT not in ports:
        return f"it runs, but does not listen for DHCPv6 (UDP port 547), which {spec.name} needs"
    return ""


def unknown(spec: FragmentSpec, before: str, after: str) -> str:
    """A name that is new in a file of names, and that dnsmasq does not know so; '' for none."""
    known, wanted = named_addresses(before), named_addresses(after)
    for name, listed in wanted.items():
        for version in (4, 6) if listed != known.get(name) else ():
            mine = {one for one in listed if ipaddress.ip_address(one).version == version}
            # Where a name has several, the administrator may have dnsmasq tell one of them.
            if mine and not mine & probe.addresses(spec.bridge.ip, name, version):
                return name
    return ""


class Reading:
    """Sees which of some files are read to the end, from its making on: what dnsmasq cannot read it only logs."""

    def __init__(self, files: Collection[str]) -> None:
        self._left = set(files)
        self._watched: Readers | None = None
        # Of these the kernel has few for each user; then ``possible`` is false, and nothing is known.
        with contextlib.suppress(OSError):
            self._watched = Readers()
            self._watched.add(files)

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        if self._watched is not None:
            self._watched.close()

    @property
    def possible(self) -> bool:
        """Whether anything can be seen."""
        return self._watched is not None

    def unread(self, files: Collection[str], pid: int) -> str:
        """A file that a process, while it lives, has not read after some patience; '' for none."""
        mine, deadline = set(files), time.monotonic() + _READING
        while self._watched is not None and mine & self._left:
            if time.monotonic() > deadline or not probe.listening(pid):
                return min(mine & self._left)
            select.select(self._watched.filenos(), [], [], 0.2)
            self._left -= {path for path, _mask in self._watched.receive()}
        return ""
