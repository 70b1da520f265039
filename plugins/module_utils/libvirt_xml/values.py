# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values in the form that libvirt's schema allows."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

Version = tuple[int, int]

# The version of libvirt from which on a network can have <title> and <description>.
TITLES_SINCE: Version = (9, 7)

# The patterns of libvirt's basictypes.rng. A value that does not match would make the whole document invalid.
DEVICE = re.compile(r"[a-zA-Z0-9_.\\:/-]+")
ZONE = re.compile(r"[a-zA-Z0-9_-]+")
DNS_NAME = re.compile(r"[a-zA-Z0-9.-]+")
MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
# duidLLT, duidEN, duidLL and duidUUID, restricted to two digits per byte.
DUID = re.compile(
    r"00:01:00:0[1-9a-f](:[0-9a-f]{2}){10,12}|00:02(:[0-9a-f]{2}){5,128}"
    r"|00:03:00:0[1-9a-f](:[0-9a-f]{2}){6,8}|00:04(:[0-9a-f]{2}){16}"
)
_UUID = r"[a-fA-F0-9]{8}-?([a-fA-F0-9]{4}-?){3}[a-fA-F0-9]{12}"
PORT_PARAMETERS = {
    "managerid": re.compile(r"0x[0-9a-fA-F]{1,2}|1?\d{1,2}|2[0-4]\d|25[0-5]"),
    "typeid": re.compile(r"0x[0-9a-fA-F]{1,6}|\d{1,7}"),
    "typeidversion": re.compile(r"0x[0-9a-fA-F]{1,2}|1?\d{1,2}|2[0-4]\d|25[0-5]"),
    "instanceid": re.compile(_UUID),
    # libvirt writes it without escaping (virNetDevVPortProfileFormat()), so these characters would break its XML.
    "profileid": re.compile(r"[^<>&'\"]{1,39}"),
    "interfaceid": re.compile(_UUID),
}
# virtualPortProfile in networkcommon.rng: the parameters of each type.
PARAMETERS_BY_PORT_TYPE: Mapping[Any, Sequence[str]] = {
    None: tuple(PORT_PARAMETERS),
    "802.1Qbg": ("managerid", "typeid", "typeidversion", "instanceid"),
    "802.1Qbh": ("profileid",),
    "openvswitch": ("profileid", "interfaceid"),
    "midonet": ("interfaceid",),
}
XML_TEXT = re.compile("[\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]*")
UINT_MAX = 2**32 - 1
# Units of a lease time in seconds, the smallest first.
LEASE_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600}


def schema_text(value: Any, pattern: re.Pattern[str] = XML_TEXT) -> str | None:
    """The value if it is a string that the schema allows, else None."""
    is_text = isinstance(value, str) and value and pattern.fullmatch(value) and XML_TEXT.fullmatch(value)
    return value if is_text else None


def schema_number(value: Any, least: int, most: int) -> str | None:
    """The value as text if it is a number within the bounds, else None."""
    allowed = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return str(value) if allowed else None


def schema_address(value: Any, version: int = 0) -> str | None:
    """The value if it is an address that the schema allows, of the version unless that is 0; else None."""
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # The schema does not allow a zone (fe80::1%eth0).
    return str(address) if address and version in (0, address.version) and "%" not in str(address) else None


def schema_subnet(value: Any) -> str | None:
    """The value if it is a subnet in CIDR notation without host bits, else None."""
    try:
        return str(ipaddress.ip_network(value)) if isinstance(value, str) and "/" in value else None
    except ValueError:
        return None


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not None and not empty."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}


def mappings_in(value: Any) -> Sequence[Mapping[str, Any]]:
    """The mappings in a list; none if the value is not a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
