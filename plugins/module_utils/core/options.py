# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the user: each is read by one method, and an error names the path of the value.

A reader returns the type that its name says, or the type of the default. Without a default the option is required.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar, Union

from .errors import InvalidOption

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

Value = TypeVar("Value")
Default = TypeVar("Default")

# IFNAMSIZ is 16 with the closing NUL (include/uapi/linux/if.h).
INTERFACE_LENGTH = 15
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
# "all" and "default" are folders of /proc/sys/net/ipv4/conf (devinet_sysctl_register() in the kernel's
# net/ipv4/devinet.c). "lo" can be no bridge, no port and no uplink.
_NOT_INTERFACES = {
    "all": "stands for all interfaces in the kernel's settings and cannot be one",
    "default": "stands for the settings of new interfaces in the kernel and cannot be one",
    "lo": "is the host's loopback interface, which carries no network",
}
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_CISCO_MAC = re.compile(r"([0-9a-f]{2})([0-9a-f]{2})\.([0-9a-f]{2})([0-9a-f]{2})\.([0-9a-f]{2})([0-9a-f]{2})")
_CIDR_EXAMPLE = {4: "192.168.30.1/24", 6: "fd00:1::1/64"}
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_DOMAIN = 253
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}

# Characters of a value or a name in an error message.
_LONGEST_SHOWN = 80


class Required(enum.Enum):
    """The default of an option that must be given."""

    REQUIRED = "required"


REQUIRED = Required.REQUIRED


class Options:
    """One mapping of options. Every reader returns the default if the option is absent or null.

    All readers raise InvalidOption.
    """

    def __init__(self, data: Any, path: str = "", owner: str = "") -> None:
        self.path = path
        self.owner = owner
        if not isinstance(data, Mapping):
            self._refuse(path, f"{repr_short(data)} is not a mapping of options")
        self._data: Mapping[str, Any] = data
        self._read: set[str] = set()

    def at(self, name: str) -> str:
        """The path of an option of this mapping. The user may have invented the name, of any length."""
        short = shorten(name, _LONGEST_SHOWN)
        return f"{self.path}.{short}" if self.path else short

    def error(self, name: str, problem: str) -> NoReturn:
        """Refuse an option."""
        self._refuse(self.at(name), problem)

    def _refuse(self, path: str, problem: str) -> NoReturn:
        raise InvalidOption(path, problem, self.owner)

    def given(self, name: str) -> bool:
        """Whether the option is present and not null."""
        return self._data.get(name) is not None

    def as_mapping(self) -> Mapping[str, Any]:
        """All options, unchecked."""
        return self._data

    def other_options(self, *names: str) -> list[str]:
        """The given options except these."""
        return [str(name) for name, value in self._data.items() if name not in names and value is not None]

    def has_default(self, name: str, default: Any) -> bool:
        """Whether the option is absent, or is the empty string where that is the default: templates produce it."""
        return not self.given(name) or (default == "" and self._data[name] == "")

    def raw(self, name: str, default: Any = REQUIRED) -> Any:
        """The value, unchecked."""
        self._read.add(name)
        value = self._data.get(name)
        if value is not None:
            return value
        if default is REQUIRED:
            self._refuse(self.at(name), "is required")
        return default

    def _read_as(self, name: str, default: Default | Required, convert: Callable[[str, Any], Value]) -> Value | Default:
        if default is not REQUIRED and self.has_default(name, default):
            self._read.add(name)
            return default
        return convert(self.at(name), self.raw(name))

    def text(self, name: str, default: Default | Required = REQUIRED, *, longest: int = 255) -> str | Default:
        """A string without control characters."""
        return self._read_as(name, default, lambda path, value: self._text(path, value, longest))

    def _text(self, path: str, value: Any, longest: int = 255) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            self._refuse(path, f"{repr_short(value)} is not a string")
        text = str(value)
        if _CONTROL.search(text):
            self._refuse(path, f"{repr_short(text)} contains a control character or a line break; remove it")
        if len(text) > longest:
            self._refuse(path, f"{repr_short(text)} has {len(text)} characters; at most {longest} are possible")
        return text

    def matching(
        self, name: str, pattern: re.Pattern[str], what: str, default: Default | Required = REQUIRED
    ) -> str | Default:
        """A string that matches a pattern as a whole; ``what`` describes it in the error message."""

        def convert(path: str, value: Any) -> str:
            text = self._text(path, value)
            if not pattern.fullmatch(text):
                self._refuse(path, f"{repr_short(text)} is not {what}")
            return text

        return self._read_as(name, default, convert)

    def boolean(self, name: str, default: Default | Required = REQUIRED) -> bool | Default:
        """true or false, also in the spellings that templates produce."""

        def convert(path: str, value: Any) -> bool:
            if isinstance(value, bool):
                return value
            word = str(value).strip().lower()
            if word not in _TRUE and word not in _FALSE:
                self._refuse(path, f"{repr_short(value)} is neither true nor false")
            return word in _TRUE

        return self._read_as(name, default, convert)

    def integer(self, name: str, default: Default | Required = REQUIRED, *, least: int, most: int) -> int | Default:
        """A whole number within bounds."""
        return self._read_as(name, default, lambda path, value: self._integer(path, value, least, most))

    def _integer(self, path: str, value: Any, least: int, most: int) -> int:
        try:
            number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None:
            self._refuse(path, f"{repr_short(value)} is not a whole number")
        if not least <= number <= most:
            self._refuse(path, f"{number} is out of range; use {least} to {most}")
        return number

    def choice(self, name: str, choices: Sequence[str], default: Default | Required = REQUIRED) -> str | Default:
        """One of a few words."""
        return self._read_as(name, default, lambda path, value: self._choice(path, value, choices))

    def _choice(self, path: str, value: Any, choices: Sequence[str]) -> str:
        text = self._text(path, value)
        if text not in choices:
            words = ", ".join(choices)
            hint = did_you_mean(text, choices)
            self._refuse(path, f"{repr_short(text)} is not possible; use one of {words}{hint}")
        return text

    def choices(self, name: str, choices: Sequence[str]) -> list[str]:
        """A list of a few words."""
        return self._list(name, lambda path, value: self._choice(path, value, choices))

    def interface(self, name: str, default: Default | Required = REQUIRED) -> str | Default:
        """The name of a network interface (dev_valid_name() in the kernel's net/core/dev.c, narrowed)."""
        return self._read_as(name, default, self._interface)

    def _interface(self, path: str, value: Any) -> str:
        text = self._text(path, value)
        if len(text) > INTERFACE_LENGTH:
            self._refuse(
                path,
                f"{repr_short(text)} has {len(text)} characters; an interface name has at most {INTERFACE_LENGTH}",
            )
        if not _INTERFACE.fullmatch(text) or text in (".", "..") or text.startswith("-"):
            self._refuse(path, f"{repr_short(text)} is not an interface name; use letters, digits, '_', '.' and '-'")
        if text in _NOT_INTERFACES:
            self._refuse(path, f"{repr_short(text)} {_NOT_INTERFACES[text]}; use another name")
        return text

    def mac(self, name: str, default: Default | Required = REQUIRED) -> str | Default:
        """A unicast Ethernet address, in lower case with colons."""
        return self._read_as(name, default, self._mac)

    def _mac(self, path: str, value: Any) -> str:
        text = plain_mac(self._text(path, value))
        if not _MAC.fullmatch(text):
            self._refuse(path, f"{repr_short(value)} is not a MAC address; write it as '52:54:00:12:34:56', in quotes")
        if int(text[:2], 16) & 1:
            self._refuse(path, f"{repr_short(text)} is a multicast address; the first byte must be even")
        if text == "00:00:00:00:00:00":
            self._refuse(path, f"{repr_short(text)} is not an address of a device")
        return text

    def macs(self, name: str) -> list[str]:
        """A list of unicast Ethernet addresses."""
        return self._list(name, self._mac)

    def cidr(self, name: str, default: Default | Required = REQUIRED) -> Interface | Default:
        """An address of a host with its prefix length."""
        return self._read_as(name, default, self._cidr)

    def ipv4_cidr(self, name: str, default: Default | Required = REQUIRED) -> ipaddress.IPv4Interface | Default:
        """An IPv4 address of a host with its prefix length."""

        def convert(path: str, value: Any) -> ipaddress.IPv4Interface:
            cidr = self._cidr(path, value)
            if not isinstance(cidr, ipaddress.IPv4Interface):
                self._refuse(path, f"{repr_short(str(value))} is not an IPv4 address; write it as {_CIDR_EXAMPLE[4]}")
            return cidr

        return self._read_as(name, default, convert)

    def ipv6_cidr(self, name: str, default: Default | Required = REQUIRED) -> ipaddress.IPv6Interface | Default:
        """An IPv6 address of a host with its prefix length."""

        def convert(path: str, value: Any) -> ipaddress.IPv6Interface:
            cidr = self._cidr(path, value, _CIDR_EXAMPLE[6])
            if not isinstance(cidr, ipaddress.IPv6Interface):
                self._refuse(path, f"{repr_short(str(value))} is not an IPv6 address; write it as {_CIDR_EXAMPLE[6]}")
            return cidr

        return self._read_as(name, default, convert)

    def _cidr(self, path: str, value: Any, example: str = _CIDR_EXAMPLE[4]) -> Interface:
        text = self._text(path, value)
        try:
            cidr = ipaddress.ip_interface(without_zone(text))
        except ValueError:
            self._refuse(path, f"{repr_short(text)} is not an address with a prefix length; write it as {example}")
        if "/" not in text:
            length = 24 if cidr.version == 4 else 64
            self._refuse(path, f"{repr_short(text)} lacks the prefix length; write it as {cidr.ip}/{length}")
        return cidr

    def address(
        self, name: str, default: Default | Required = REQUIRED, *, version: int | None = None, zone: bool = False
    ) -> Address | Default:
        """An address of a host; with ``zone`` an IPv6 address may be followed by ``%`` and an interface."""
        return self._read_as(name, default, lambda path, value: self._address(path, value, version, zone=zone))

    def ipv4_address(self, name: str, default: Default | Required = REQUIRED) -> ipaddress.IPv4Address | Default:
        """An IPv4 address of a host."""

        def convert(path: str, value: Any) -> ipaddress.IPv4Address:
            return ipaddress.IPv4Address(int(self._address(path, value, 4)))

        return self._read_as(name, default, convert)

    def _address(self, path: str, value: Any, version: int | None = None, *, zone: bool = False) -> Address:
        text = self._text(path, value)
        try:
            interface = text.partition("%")[2]
            address = ipaddress.ip_address(text if zone and _INTERFACE.fullmatch(interface) else without_zone(text))
        except ValueError:
            self._refuse(path, f"{repr_short(text)} is not an IP address")
        if version is not None and address.version != version:
            self._refuse(path, f"{repr_short(text)} is not an IPv{version} address")
        return address

    def domain(self, name: str, default: Default | Required = REQUIRED) -> str | Default:
        """A DNS domain in lower case, without the closing dot (RFC 1035 section 2.3.4 for the lengths)."""

        def convert(path: str, value: Any) -> str:
            text = self._text(path, value).rstrip(".").lower()
            if not _is_domain(text):
                self._refuse(path, f"{repr_short(value)} is not a domain; write it as lab.example")
            return text

        return self._read_as(name, default, convert)

    def host_name(self, name: str, default: Default | Required = REQUIRED) -> str | Default:
        """The name of a host, alone or with a domain (RFC 1123 section 2.1; ``_`` as in names of containers)."""

        def convert(path: str, value: Any) -> str:
            text = self._text(path, value)
            if text.startswith("_") or not _is_domain(text):
                self._refuse(
                    path,
                    f"{repr_short(text)} is not a host name; use letters, digits, '-' and '_', as web, web_1, "
                    "or web.lab.example",
                )
            return text

        return self._read_as(name, default, convert)

    def items(self, name: str) -> list[Any]:
        """A list; a single value is a list of one."""
        value = self.raw(name, [])
        if isinstance(value, (str, Mapping)):
            return [value]
        if not isinstance(value, Sequence):
            self._refuse(self.at(name), f"{repr_short(value)} is not a list")
        return list(value)

    def _list(self, name: str, convert: Callable[[str, Any], Value]) -> list[Value]:
        return [convert(f"{self.at(name)}[{i}]", value) for i, value in enumerate(self.items(name))]

    def interfaces(self, name: str) -> list[str]:
        """A list of interface names."""
        return self._list(name, self._interface)

    def cidrs(self, name: str) -> list[Interface]:
        """A list of addresses with prefix lengths."""
        return self._list(name, self._cidr)

    def addresses(self, name: str) -> list[Address]:
        """A list of addresses."""
        return self._list(name, self._address)

    def integers(self, name: str, *, least: int, most: int) -> list[int]:
        """A list of whole numbers within bounds."""
        return self._list(name, lambda path, value: self._integer(path, value, least, most))

    def each(self, name: str) -> Iterator[Options]:
        """A list of mappings."""
        for i, value in enumerate(self.items(name)):
            yield Options(value, f"{self.at(name)}[{i}]", self.owner)

    def group(self, name: str) -> Options:
        """A mapping inside this one; empty if absent."""
        return Options(self.raw(name, {}), self.at(name), self.owner)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A mapping whose keys the user chooses."""
        value = self.raw(name, {})
        if not isinstance(value, Mapping):
            self._refuse(self.at(name), f"{repr_short(value)} is not a mapping")
        return value

    def reject_unknown(self) -> None:
        """Refuse every option that no reader has read."""
        for name in self._data:
            if name not in self._read:
                hint = did_you_mean(str(name), sorted(self._read))
                self._refuse(self.at(str(name)), f"there is no such option{hint}")


def plain_mac(text: str) -> str:
    """A MAC address in lower case with colons, of one with dashes, or with dots as Cisco writes it; else the text."""
    lower = text.lower()
    match = _CISCO_MAC.fullmatch(lower)
    return ":".join(match.groups()) if match else lower.replace("-", ":")


def _is_domain(text: str) -> bool:
    return len(text) <= _LONGEST_DOMAIN and all(_LABEL.fullmatch(label) for label in text.split("."))


def without_zone(text: str) -> str:
    """The text of an address; raises ValueError for one with a zone, which may be any text (RFC 4007 section 11)."""
    if "%" in text:
        raise ValueError("an address with a zone")
    return text


def repr_short(value: Any) -> str:
    """The repr() of a value for an error message: quoted, printable, short."""
    return shorten(repr(value), _LONGEST_SHOWN)


def shorten(text: str, longest: int) -> str:
    """The text, cut to a length."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``; did you mean 'x'?`` if a known word is similar, else an empty text."""
    # Imported here because it is rarely needed.
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
