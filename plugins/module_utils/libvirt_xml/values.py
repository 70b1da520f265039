# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values as libvirt's schema takes them, and elements that are put together of such."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .parse import Element, etree

Version = tuple[int, int]

# <title> and <description> of a network.
TITLES_SINCE: Version = (9, 7)

# The patterns of libvirt's basictypes.rng; a value that does not match would make the whole text invalid.
DEVICE = re.compile(r"[a-zA-Z0-9_.\\:/-]+")
ZONE = re.compile(r"[a-zA-Z0-9_-]+")
DNS_NAME = re.compile(r"[a-zA-Z0-9.-]+")
MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
# duidLLT, duidEN, duidLL and duidUUID, narrowed to two digits a byte.
DUID = re.compile(
    r"00:01:00:0[1-9a-f](:[0-9a-f]{2}){10,12}|00:02(:[0-9a-f]{2}){5,128}"
    r"|00:03:00:0[1-9a-f](:[0-9a-f]{2}){6,8}|00:04(:[0-9a-f]{2}){16}"
)
_UUID = r"[a-fA-F0-9]{8}-?([a-fA-F0-9]{4}-?){3}[a-fA-F0-9]{12}"
PARAMETER = {
    "managerid": re.compile(r"0x[0-9a-fA-F]{1,2}|1?\d{1,2}|2[0-4]\d|25[0-5]"),
    "typeid": re.compile(r"0x[0-9a-fA-F]{1,6}|\d{1,7}"),
    "typeidversion": re.compile(r"0x[0-9a-fA-F]{1,2}|1?\d{1,2}|2[0-4]\d|25[0-5]"),
    "instanceid": re.compile(_UUID),
    # libvirt writes it as it is (virNetDevVPortProfileFormat()): what XML escapes would break its own output.
    "profileid": re.compile(r"[^<>&'\"]{1,39}"),
    "interfaceid": re.compile(_UUID),
}
# virtualPortProfile in networkcommon.rng: which parameters go with which type.
PARAMETERS_OF: Mapping[Any, Sequence[str]] = {
    None: tuple(PARAMETER),
    "802.1Qbg": ("managerid", "typeid", "typeidversion", "instanceid"),
    "802.1Qbh": ("profileid",),
    "openvswitch": ("profileid", "interfaceid"),
    "midonet": ("interfaceid",),
}
_SHOWN = re.compile("[\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]*")
UINT = 2**32 - 1


def text_of(value: Any, pattern: re.Pattern[str] = _SHOWN) -> str | None:
    """A string that the schema takes, else None."""
    return value if isinstance(value, str) and value and pattern.fullmatch(value) and _SHOWN.fullmatch(value) else None


def number_of(value: Any, least: int, most: int) -> str | None:
    """A number that the schema takes, else None."""
    good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return str(value) if good else None


def address_of(value: Any, version: int = 0) -> str | None:
    """An address that the schema takes, else None."""
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # A zone (fe80::1%eth0) is not in the schema.
    return str(address) if address and version in (0, address.version) and "%" not in str(address) else None


def put(into: Element, tag: str, **attributes: str | None) -> Element:
    """A new element with those attributes that have a value."""
    return etree().SubElement(into, tag, {name: value for name, value in attributes.items() if value is not None})


def complete(*values: str | None) -> bool:
    """Whether all have a value, for elements that need every attribute."""
    return all(value is not None for value in values)


def items(value: Any) -> Sequence[Mapping[str, Any]]:
    """The mappings of a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
