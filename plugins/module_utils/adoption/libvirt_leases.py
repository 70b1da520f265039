# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's lease files BRIDGE.status, which the leaseshelper of its dnsmasq writes (src/util/virlease.c).

A list of ``ip-address``, ``mac-address``, ``hostname``, ``client-id``, ``expiry-time``, and with DHCPv6 of ``iaid`` and
``server-duid``. It is read whenever libvirt starts dnsmasq.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ..core.files import File
from ..core.paths import Paths
from ..core.untrusted import read_untrusted_text
from ..dnsmasq.lease_file import CLIENT, Lease, Leases, read_lease

# DUID types that end with a hardware address, and the index of its first octet (RFC 8415 sections 11.2 and 11.4).
_MAC_INDEX = {"00:01:00:01": 8, "00:03:00:01": 4}

# libvirt writes some 300 bytes for a lease, so this is enough for 50000 guests.
_MAX_BYTES = 16 * 1024 * 1024


def status_path(bridge: str, paths: Paths) -> str:
    """The path of a bridge's lease file."""
    return os.path.join(paths.libvirt_leases, f"{bridge}.status")


def read_status(bridge: str, paths: Paths) -> Leases:
    """The leases that libvirt's dnsmasq has given on a bridge; none where there is no file. Raises UnusableFile."""
    return parse_status(read_untrusted_text(status_path(bridge, paths), _MAX_BYTES) or "")


def parse_status(text: str) -> Leases:
    """The leases in the text of a lease file of libvirt; entries that are no leases are ignored."""
    try:
        content = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return Leases()
    entries = [entry for entry in content if isinstance(entry, dict)] if isinstance(content, list) else []
    duids = (str(entry.get("server-duid") or "") for entry in entries)
    duid = next((duid for duid in duids if CLIENT.fullmatch(duid)), "")
    leases = [lease for entry in entries if (lease := _lease(entry)) is not None]
    return Leases(leases, f"duid {duid}" if duid else "")


def _lease(entry: Mapping[str, Any]) -> Lease | None:
    address = str(entry.get("ip-address", ""))
    known_by = entry.get("iaid" if ":" in address else "mac-address")
    name, client = entry.get("hostname") or "*", entry.get("client-id") or "*"
    return read_lease([_field(value) for value in (entry.get("expiry-time", 0), known_by, address, name, client)])


def _field(value: Any) -> str:
    """A string or a number as a field of dnsmasq's lease file; '' for a value of another type."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    try:
        return str(value)
    except ValueError:
        # Python does not convert numbers of some thousand digits to text.
        return ""


def status_file(bridge: str, leases: Leases, paths: Paths) -> File:
    """libvirt's lease file with these leases."""
    duid = leases.duid.partition(" ")[2]
    entries = [entry for lease in leases.leases if (entry := _entry(lease, duid))]
    return File(status_path(bridge, paths), json.dumps(entries, indent=2) + "\n" if entries else "")


def _entry(lease: Lease, server_duid: str) -> dict[str, Any]:
    """The entry of a lease; empty for a DHCPv6 lease without a MAC address, with which libvirt would list no lease."""
    entry: dict[str, Any] = {"ip-address": str(lease.address)}
    if lease.address.version == 6:
        mac = _mac_in_duid(lease.client)
        if not mac:
            return {}
        entry.update({"iaid": lease.known_by, "mac-address": mac, "server-duid": server_duid})
    else:
        # A hardware type other than Ethernet stands before the address: 06-52:54:...
        entry["mac-address"] = lease.known_by.rpartition("-")[2]
    entry.update({key: value for key, value in (("hostname", lease.name), ("client-id", lease.client)) if value})
    return {**entry, "expiry-time": lease.expiry}


def _mac_in_duid(duid: str) -> str:
    index = _MAC_INDEX.get(duid[:11].lower())
    octets = duid.split(":")
    return ":".join(octets[index:]) if index and len(octets) == index + 6 else ""
