# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases as libvirt keeps them: BRIDGE.status, written by its leaseshelper (src/util/virlease.c), which dnsmasq asks.

A list of ``ip-address``, ``mac-address``, ``hostname``, ``client-id``, ``expiry-time``, and with DHCPv6 of ``iaid`` and
``server-duid``. It is read whenever libvirt starts dnsmasq.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.files import File
from ..core.paths import Paths
from ..core.untrusted import read_untrusted_text
from ..dnsmasq.lease_file import CLIENT, Lease, Leases, read_lease

# DUID types with a hardware address at their end, after so many octets (RFC 8415 sections 11.2 and 11.4).
_HARDWARE_AFTER = {"00:01:00:01": 8, "00:03:00:01": 4}


# libvirt writes some 300 bytes for a lease: those of 50000 guests, of which a network has far fewer.
_LIMIT = 16 * 1024 * 1024


def status_path(bridge: str, paths: Paths) -> str:
    """The file of a bridge."""
    return os.path.join(paths.libvirt_leases, f"{bridge}.status")


def read_status(bridge: str, paths: Paths) -> Leases:
    """The leases that libvirt's dnsmasq has given on a bridge; none where there is no file. Raises UnusableFile."""
    return parse_status(read_untrusted_text(status_path(bridge, paths), _LIMIT) or "")


def parse_status(text: str) -> Leases:
    """The leases of a file of libvirt's; what is no lease is left out."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return Leases()
    items = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    duids = (str(item.get("server-duid") or "") for item in items)
    duid = next((duid for duid in duids if CLIENT.fullmatch(duid)), "")
    return Leases([lease for item in items for lease in _lease(item)], f"duid {duid}" if duid else "")


def _lease(item: Mapping[str, Any]) -> Iterator[Lease]:
    address = str(item.get("ip-address", ""))
    known_by = item.get("iaid" if ":" in address else "mac-address")
    words = (item.get("expiry-time", 0), known_by, address, item.get("hostname") or "*", item.get("client-id") or "*")
    lease = read_lease([_word(word) for word in words])
    if lease is not None:
        yield lease


def _word(value: Any) -> str:
    """A string or a number as the file of dnsmasq would have it; '' for what is neither."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    try:
        return str(value)
    except ValueError:
        # A number of more digits than Python turns into a text.
        return ""


def status_file(bridge: str, leases: Leases, paths: Paths) -> File:
    """The file with these leases."""
    duid = leases.duid.partition(" ")[2]
    items = [item for lease in leases.leases for item in _item(lease, duid)]
    return File(status_path(bridge, paths), json.dumps(items, indent=2) + "\n" if items else "")


def _item(lease: Lease, server_duid: str) -> Iterator[dict[str, Any]]:
    item: dict[str, Any] = {"ip-address": str(lease.address)}
    if lease.address.version == 6:
        mac = _hardware(lease.client)
        # libvirt leaves out what has none, and would then list nothing at all.
        if not mac:
            return
        item.update({"iaid": lease.known_by, "mac-address": mac, "server-duid": server_duid})
    else:
        # A hardware type other than Ethernet stands before the address: 06-52:54:...
        item["mac-address"] = lease.known_by.rpartition("-")[2]
    item.update({key: value for key, value in (("hostname", lease.name), ("client-id", lease.client)) if value})
    yield {**item, "expiry-time": lease.expiry}


def _hardware(duid: str) -> str:
    after = _HARDWARE_AFTER.get(duid[:11].lower())
    octets = duid.split(":")
    return ":".join(octets[after:]) if after and len(octets) == after + 6 else ""
