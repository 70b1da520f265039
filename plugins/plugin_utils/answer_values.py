# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Typed readers of the values in a host's answer. Pure.

A reader returns a plain value of Python, bounded in size and free of control characters, or raises BadAnswer with the
path of the value. A value that is missing or null is the reader's default; without a default it is required.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
T = TypeVar("T")

# The name of a network, as plugins/module_utils/nft/spec.py has it.
NETWORK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
# legal_hostname() in dnsmasq's src/util.c, for every label; lengths by RFC 1035 section 2.3.4.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,62})*")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*")
# Hardware addresses have up to 16 bytes (RFC 2131 section 2, chaddr). DUIDs and client ids: at most 255 bytes.
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,15}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]{1,1024}")
# Scope ids ("%eth0"), which ipaddress accepts with any text, and netmasks in place of prefix lengths are left out.
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_CIDR = re.compile(r"[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}")

_SHOWN = 60
_LARGEST = 2**63 - 1


class BadAnswer(Exception):
    """A host's answer cannot be used; ``path`` names the value, such as ``networks[2].leases[0].ip``."""

    def __init__(self, host: str, path: str, problem: str) -> None:
        self.host = host
        self.path = path
        self.problem = problem
        """One sentence without the host, for a place that names it already."""
        self.sentence = f"{path}: {problem}" if path else problem
        super().__init__(f"host {plain(host, 255)}: {self.sentence}")


def plain(text: str, longest: int) -> str:
    """A text in one line that does nothing to a terminal or a page: what cannot be printed is replaced, also
    surrogates, which no encoding can write, and marks that reverse the direction of writing."""
    cut = str.__str__(text)[: longest + 1]
    kept = "".join(one if one.isprintable() else " " if one in "\t\n\r" else "\ufffd" for one in cut)
    return kept if len(kept) <= longest else f"{kept[: longest - 3]}..."


def shown(value: Any) -> str:
    """A value for an error message, of any size and depth: bounded before it is formatted."""
    if isinstance(value, str):
        return plain(repr(str.__str__(value)[:_SHOWN]), _SHOWN + 20) + ("..." if len(value) > _SHOWN else "")
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return f"a value of type {plain(type(value).__name__, _SHOWN)}"


@dataclass
class Budget:
    """How many more items all lists of an answer together may have."""

    left: int


class Values:
    """One mapping of an answer; ``budget`` is shared by all mappings inside it, None for no limit."""

    def __init__(self, host: str, value: Any, path: str = "", budget: Budget | None = None) -> None:
        self.host = host
        self.path = path
        self._budget = budget
        if not isinstance(value, Mapping):
            self._refuse(path, f"{shown(value)} is not a mapping")
        self._data: Mapping[str, Any] = value

    def at(self, name: str) -> str:
        """The path of a value."""
        return f"{self.path}.{name}" if self.path else name

    def refuse(self, name: str, problem: str) -> NoReturn:
        """Refuse a value of this mapping."""
        self._refuse(self.at(name), problem)

    def _refuse(self, path: str, problem: str) -> NoReturn:
        raise BadAnswer(self.host, path, problem)

    def given(self, name: str) -> bool:
        """Whether there is a value other than null."""
        return self._data.get(name) is not None

    def is_list(self, name: str) -> bool:
        """Whether the value is a list."""
        return isinstance(self._data.get(name), (list, tuple))

    def _value(self, name: str, default: T | None) -> Any:
        value = self._data.get(name)
        if value is None and default is None:
            self.refuse(name, "is missing")
        return value

    def text(self, name: str, default: str | None = None, *, longest: int = 255) -> str:
        """Any text; what cannot be printed in it is replaced, and what is longer is cut."""
        value = self._value(name, default)
        return default if value is None and default is not None else self._text(self.at(name), value, longest)

    def _text(self, path: str, value: Any, longest: int) -> str:
        if not isinstance(value, str):
            self._refuse(path, f"{shown(value)} is not a text")
        return plain(value, longest)

    def _matching(self, name: str, pattern: re.Pattern[str], what: str, default: str | None) -> str:
        value = self._value(name, default)
        if default is not None and (value is None or value == default):
            return default
        if not isinstance(value, str) or not pattern.fullmatch(value):
            self.refuse(name, f"{shown(value)} is not {what}")
        return str.__str__(value)

    def network_name(self, name: str) -> str:
        """The name of a network."""
        return self._matching(name, NETWORK_NAME, "the name of a network", None)

    def domain(self, name: str, default: str | None = None) -> str:
        """A DNS domain."""
        return self._matching(name, _DOMAIN, "a domain", default)

    def host_name(self, name: str, default: str | None = None) -> str:
        """A host name that an administrator wrote."""
        return self._matching(name, _HOST_NAME, "a host name", default)

    def mac(self, name: str, default: str | None = None) -> str:
        """A hardware address in lower case."""
        return self._matching(name, _MAC, "a MAC address", default).lower()

    def macs(self, name: str, *, most: int) -> tuple[str, ...]:
        """A hardware address, or a list of them, in lower case."""
        if not isinstance(self._data.get(name), (list, tuple)):
            return tuple(filter(None, [self.mac(name, "")]))
        items = (Values(self.host, {path: item}, "", self._budget).mac(path) for path, item in self._items(name, most))
        return tuple(items)

    def identifier(self, name: str, default: str | None = None) -> str:
        """A client id or DUID."""
        return self._matching(name, _IDENTIFIER, "a client id or DUID", default)

    def chosen_by_guest(self, name: str, longest: int = 1024) -> str:
        """A text that the guest chose, '' for none and for one too long. Raises BadAnswer where it is no text.

        The guest's choice cannot make its host's answer bad: the caller drops what it cannot use.
        """
        value = self._data.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(name, f"{shown(value)} is not a text")
        return str.__str__(value) if len(value) <= longest else ""

    def interface(self, name: str, default: str | None = None) -> str:
        """The name of a network interface (dev_valid_name() in the kernel's net/core/dev.c) that can be printed."""
        value = self._value(name, default)
        if default is not None and (value is None or value == default):
            return default
        return self._interface(self.at(name), value)

    def _interface(self, path: str, value: Any) -> str:
        fits = isinstance(value, str) and 0 < len(value) <= 15 and value.isprintable() and not set(value) & set(" /")
        if not fits:
            self._refuse(path, f"{shown(value)} is not the name of an interface")
        return str.__str__(value)

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of a few words."""
        value = self._value(name, default)
        if value is None and default is not None:
            return default
        word = next((one for one in choices if isinstance(value, str) and one == value), None)
        if word is None:
            self.refuse(name, f"{shown(value)} is not one of {', '.join(choices)}")
        return word

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """true or false."""
        value = self._value(name, default)
        if value is None and default is not None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, f"{shown(value)} is neither true nor false")
        return value

    def integer(self, name: str, *, least: int = 0, most: int = _LARGEST) -> int:
        """A whole number within bounds."""
        value = self._value(name, None)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.refuse(name, f"{shown(value)} is not a whole number from {least} to {most}")
        return int(value)

    def optional_integer(self, name: str, *, least: int = 0, most: int = _LARGEST) -> int | None:
        """The same, None for none."""
        return self.integer(name, least=least, most=most) if self.given(name) else None

    def address(self, name: str, version: int | None = None) -> Address:
        """An IP address without a scope."""
        value = self._value(name, None)
        if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
            self.refuse(name, f"{shown(value)} is not an IP address")
        try:
            address = ipaddress.ip_address(str.__str__(value))
        except ValueError:
            self.refuse(name, f"{shown(value)} is not an IP address")
        if version not in (None, address.version):
            self.refuse(name, f"{shown(value)} is not an IPv{version} address")
        return address

    def optional_address(self, name: str, version: int | None = None) -> Address | None:
        """The same, None for none."""
        return self.address(name, version) if self.given(name) else None

    def _interface_address(self, path: str, value: Any) -> Interface:
        if not isinstance(value, str) or not _CIDR.fullmatch(value):
            self._refuse(path, f"{shown(value)} is not an address with a prefix length")
        try:
            return ipaddress.ip_interface(str.__str__(value))
        except ValueError:
            self._refuse(path, f"{shown(value)} is not an address with a prefix length")

    def cidr(self, name: str) -> Interface:
        """An address with its prefix length."""
        return self._interface_address(self.at(name), self._value(name, None))

    def _items(self, name: str, most: int) -> Iterator[tuple[str, Any]]:
        value = self._data.get(name)
        if value is None:
            return
        if not isinstance(value, (list, tuple)):
            self.refuse(name, f"{shown(value)} is not a list")
        if len(value) > most:
            self.refuse(name, f"the list has {len(value)} items; at most {most} are accepted")
        if self._budget is not None:
            self._budget.left -= len(value)
            if self._budget.left < 0:
                self.refuse(name, "the lists of the answer have too many items together")
        for i, item in enumerate(value):
            yield f"{self.at(name)}[{i}]", item

    def texts(self, name: str, *, most: int, longest: int = 255) -> tuple[str, ...]:
        """A list of texts, as by ``text``."""
        return tuple(self._text(path, item, longest) for path, item in self._items(name, most))

    def interfaces(self, name: str, *, most: int) -> tuple[str, ...]:
        """A list of names of interfaces."""
        return tuple(self._interface(path, item) for path, item in self._items(name, most))

    def cidrs(self, name: str, *, most: int) -> tuple[Interface, ...]:
        """A list of addresses with their prefix lengths."""
        return tuple(self._interface_address(path, item) for path, item in self._items(name, most))

    def each(self, name: str, *, most: int) -> Iterator[Values]:
        """A list of mappings."""
        for path, item in self._items(name, most):
            yield Values(self.host, item, path, self._budget)

    def mapping(self) -> Mapping[str, Any]:
        """All values, unchecked."""
        return self._data

    def group(self, name: str) -> Values:
        """A mapping inside this one; empty when there is none."""
        value = self._data.get(name)
        return Values(self.host, {} if value is None else value, self.at(name), self._budget)


def host_name_or_nothing(text: str) -> str:
    """A host name as dnsmasq accepts one, else ''."""
    return text if _HOST_NAME.fullmatch(text) else ""


def mac_or_nothing(text: str) -> str:
    """A hardware address in lower case, else ''."""
    return text.lower() if _MAC.fullmatch(text) else ""


def identifier_or_nothing(text: str) -> str:
    """A client id or DUID, else ''."""
    return text if _IDENTIFIER.fullmatch(text) else ""
