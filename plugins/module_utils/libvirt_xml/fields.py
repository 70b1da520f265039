# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Elements of libvirt's network XML whose attributes are values of options: one table to read, write and document them.

A new attribute of such an element is one line here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.options import Address, repr_short
from .values import DEVICE, DNS_NAME, UINT_MAX, XML_TEXT, schema_address, schema_number, schema_text, without_empty

if TYPE_CHECKING:
    from .parse import Checker, Element


@dataclass(frozen=True)
class Kind:
    """How a value is read from an attribute and written to one.

    ``read``: element, name of the attribute, checker -> value, None where the attribute is missing; raises
    InvalidOption. ``write``: value -> text, None where the schema does not allow the value.
    """

    read: Callable[[Element, str, Checker], Any]
    write: Callable[[Any], str | None]


@dataclass(frozen=True)
class Field:
    """An attribute, and the key of its value in the option. An element without a required field is not written."""

    attribute: str
    key: str
    kind: Kind
    required: bool = False


def read_boolean(
    element: Element, name: str, checker: Checker, default: bool, words: tuple[str, str] = ("yes", "no")
) -> bool:
    """An attribute that is yes or no; raises InvalidOption."""
    value = element.get(name)
    if value is None:
        return default
    if value not in words:
        checker.refuse(element, f"{name}={repr_short(value)} is neither {words[0]} nor {words[1]}")
    return bool(value == words[0])


def read_number(element: Element, name: str, checker: Checker) -> int | None:
    """An attribute that is a whole number, None where it is missing; raises InvalidOption."""
    value = element.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        checker.refuse(element, f"{name}={repr_short(value)} is not a whole number")
    return int(value)


def read_required_address(element: Element, name: str, checker: Checker) -> Address:
    """An attribute that is an IP address; raises InvalidOption."""
    value = element.get(name)
    try:
        return ipaddress.ip_address(value or "")
    except ValueError:
        checker.refuse(element, f"{name}={repr_short(value)} is not an IP address")


def read_address(element: Element, name: str, checker: Checker) -> str | None:
    """An attribute that is an IP address, None where it is missing; raises InvalidOption."""
    return None if element.get(name) is None else str(read_required_address(element, name, checker))


def _read_text(element: Element, name: str, _checker: Checker) -> str | None:
    text: str | None = element.get(name)
    return text


def _text(pattern: re.Pattern[str] = XML_TEXT) -> Kind:
    return Kind(_read_text, lambda value: schema_text(value, pattern))


def _word(*words: str) -> Kind:
    return Kind(_read_text, lambda value: value if value in words else None)


def _number(least: int, most: int) -> Kind:
    return Kind(read_number, lambda value: schema_number(value, least, most))


_ADDRESS = Kind(read_address, schema_address)
_UNREAD_IPV4_ADDRESS = Kind(_read_text, lambda value: schema_address(value, 4))
# yes, or no attribute.
_FLAG = Kind(
    lambda element, name, checker: read_boolean(element, name, checker, False) or None,
    lambda value: "yes" if value is True else None,
)

FORWARDER = (Field("domain", "domain", _text(DNS_NAME)), Field("addr", "address", _ADDRESS))
TXT = (Field("name", "name", _text(DNS_NAME), required=True), Field("value", "value", _text(), required=True))
SRV = (
    Field("service", "service", _text(), required=True),
    Field("protocol", "protocol", _word("tcp", "udp"), required=True),
    Field("domain", "domain", _text(DNS_NAME)),
    Field("target", "target", _text()),
    *(Field(name, name, _number(0, 65535)) for name in ("port", "priority", "weight")),
)
# Records of <dns>: option, element, fields.
DNS_RECORDS = (("dns.forwarders", "forwarder", FORWARDER), ("dns.txt", "txt", TXT), ("dns.srv", "srv", SRV))
BOOTP = (Field("file", "file", _text(), required=True), Field("server", "server", _text(DNS_NAME)))
NAT_ADDRESSES = tuple(Field(name, name, _UNREAD_IPV4_ADDRESS, required=True) for name in ("start", "end"))
NAT_PORTS = tuple(Field(name, name, _number(1, 65535), required=True) for name in ("start", "end"))
# Ranges of <nat>: option, element, fields.
NAT_RANGES = (("nat.source", "address", NAT_ADDRESSES), ("nat.ports", "port", NAT_PORTS))
LIMITS = tuple(Field(name, name, _number(1, UINT_MAX)) for name in ("average", "peak", "burst"))
# libvirt has a guaranteed share for inbound traffic of portgroups only.
PORTGROUP_LIMITS = {"inbound": (*LIMITS, Field("floor", "floor", _number(1, UINT_MAX))), "outbound": LIMITS}
NETWORK_LIMITS = {"inbound": LIMITS, "outbound": LIMITS}
VLAN_TAG = (
    Field("id", "id", _number(0, 4095), required=True),
    Field("nativeMode", "native_mode", _word("tagged", "untagged")),
)
PORTGROUP = (
    Field("name", "name", _text(DEVICE), required=True),
    Field("default", "default", _FLAG),
    Field("trustGuestRxFilters", "trust_guest_rx_filters", _FLAG),
)


def read_fields(element: Element | None, fields: Sequence[Field], checker: Checker) -> dict[str, Any]:
    """The values of an element; nothing for no element. Raises InvalidOption."""
    if element is None:
        return {}
    return without_empty({field.key: field.kind.read(element, field.attribute, checker) for field in fields})


def attributes_for(values: Any, fields: Sequence[Field]) -> dict[str, str]:
    """The attributes of an element; none where a required one has no value that the schema allows."""
    if not isinstance(values, Mapping):
        return {}
    texts = {field.attribute: field.kind.write(values.get(field.key)) for field in fields}
    if any(field.required and texts[field.attribute] is None for field in fields):
        return {}
    return {name: text for name, text in texts.items() if text is not None}


def is_allowed(values: Mapping[str, Any], fields: Sequence[Field]) -> bool:
    """Whether the schema allows the values of all fields."""
    attributes = attributes_for(values, fields)
    return bool(attributes) and all(field.attribute in attributes or values.get(field.key) is None for field in fields)


def paths_of(element: str, option: str, fields: Sequence[Field]) -> dict[str, str]:
    """The options of an element's attributes by their paths in the XML, for the schema table."""
    return {f"{element}@{field.attribute}": f"{option}.{field.key}" for field in fields}
