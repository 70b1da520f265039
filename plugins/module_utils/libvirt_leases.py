# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases as libvirt keeps them: BRIDGE.status, written by its leaseshelper (src/util/virlease.c), which dnsmasq asks.

A list of ``ip-address``, ``mac-address``, ``hostname``, ``client-id``, ``expiry-time``, and with DHCPv6 of ``iaid`` and
``server-duid``. It is read whenever libvirt starts dnsmasq.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .dnsmasq_leases import Lease, Leases
from .files import File, read_text
from .paths import Paths

# DUID types with a hardware address at their end, after so many octets (RFC 8415 sections 11.2 and 11.4).
_HARDWARE_AFTER = {"00:01:00:01": 8, "00:03:00:01": 4}


def status_path(bridge: str, paths: Paths) -> str:
    """The file of a bridge."""
    return os.path.join(paths.libvirt_leases, f"{bridge}.status")


def read_status(bridge: str, paths: Paths) -> Leases:
    """The leases that libvirt's dnsmasq has given on a bridge; none where there is no such file."""
    return parse_status(read_text(status_path(bridge, paths)) or "")


def parse_status(text: str) -> Leases:
    """The leases of a file of libvirt's; what is no lease is left out."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return Leases()
    items = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    duid = next((str(one["server-duid"]) for one in items if one.get("server-duid")), "")
    return Leases([lease for one in items for lease in _lease(one)], f"duid {duid}" if duid else "")


def _lease(item: Mapping[str, Any]) -> Iterator[Lease]:
    try:
        address = ipaddress.ip_address(item["ip-address"])
        expiry = int(item.get("expiry-time", 0))
    except (KeyError, ValueError, TypeError):
        return
    known_by = item.get("iaid") if address.version == 6 else item.get("mac-address")
    words = (known_by, address, item.get("hostname") or "*", item.get("client-id") or "*")
    # A word with a space in it would be two.
    if known_by and not any(len(str(word).split()) != 1 for word in words):
        yield Lease(expiry, address, " ".join(map(str, (expiry, *words))))


def status_file(bridge: str, leases: Leases, paths: Paths) -> File:
    """The file with these leases."""
    duid = leases.duid.partition(" ")[2]
    items = [item for lease in leases.leases for item in _item(lease, duid)]
    return File(status_path(bridge, paths), json.dumps(items, indent=2) + "\n" if items else "")


def _item(lease: Lease, server_duid: str) -> Iterator[dict[str, Any]]:
    expiry, known_by, address, name, client = lease.line.split(" ")[:5]
    item: dict[str, Any] = {"ip-address": address}
    if lease.address.version == 6:
        mac = _hardware(client)
        # libvirt leaves out what has none, and would then list nothing at all.
        if not mac:
            return
        item.update({"iaid": known_by, "mac-address": mac, "server-duid": server_duid})
    else:
        # A hardware type other than Ethernet stands before the address: 06-52:54:...
        item["mac-address"] = known_by.rpartition("-")[2]
    item.update({key: value for key, value in (("hostname", name), ("client-id", client)) if value != "*"})
    yield {**item, "expiry-time": int(expiry)}


def _hardware(duid: str) -> str:
    after = _HARDWARE_AFTER.get(duid[:11].lower())
    octets = duid.split(":")
    return ":".join(octets[after:]) if after and len(octets) == after + 6 else ""
