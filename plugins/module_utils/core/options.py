# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what the user wrote: option by option, with errors that carry the path of the value."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Union

from .errors import InvalidOption

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# IFNAMSIZ is 16 with the closing NUL (include/uapi/linux/if.h).
INTERFACE_LENGTH = 15
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
# Names of folders in /proc/sys/net/ipv4/conf (devinet_sysctl_register() in the kernel's net/ipv4/devinet.c); and what
# is never a bridge, a port or a way out.
_NOT_INTERFACES = {
    "all": "stands for all interfaces in the kernel's settings and cannot be one",
    "default": "stands for the settings of new interfaces in the kernel and cannot be one",
    "lo": "is the host's loopback interface, which carries no network",
}
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}

# Of a value or a name in an error.
_LONGEST_SHOWN = 80

MISSING: Any = object()


class Options:
    """One mapping of the user's; every reader takes the default when the option is absent or null.

    All readers raise InvalidOption.
    """

    def __init__(self, data: Any, path: str = "", owner: str = "") -> None:
        self.path = path
        self.owner = owner
        if not isinstance(data, Mapping):
            self._refuse(path, f"{shown(data)} is not a mapping of options")
        self._data: Mapping[str, Any] = data
        self._read: set[str] = set()

    def at(self, name: str) -> str:
        """The path of an option of this mapping; names may be of the user's making, of any length."""
        short = shortened(name, _LONGEST_SHOWN)
        return f"{self.path}.{short}" if self.path else short

    def error(self, name: str, problem: str) -> NoReturn:
        """Refuse an option."""
        self._refuse(self.at(name), problem)

    def _refuse(self, path: str, problem: str) -> NoReturn:
        raise InvalidOption(path, problem, self.owner)

    def given(self, name: str) -> bool:
        """Whether the user gave the option."""
        return self._data.get(name) is not None

    def everything(self) -> Mapping[str, Any]:
        """All that the user gave, as it is."""
        return self._data

    def beside(self, *names: str) -> list[str]:
        """The options that the user gave besides these."""
        return [str(name) for name, value in self._data.items() if name not in names and value is not None]

    def raw(self, name: str, default: Any = MISSING) -> Any:
        """The value as it is."""
        self._read.add(name)
        value = self._data.get(name)
        if value is not None:
            return value
        if default is MISSING:
            self._refuse(self.at(name), "is required")
        return default

    def _read_as(self, name: str, default: Any, convert: Callable[[str, Any], Any]) -> Any:
        value = self.raw(name, default)
        return value if value is default else convert(self.at(name), value)

    def text(self, name: str, default: Any = MISSING, *, longest: int = 255) -> Any:
        """A string without control characters."""
        return self._read_as(name, default, lambda path, value: self._text(path, value, longest))

    def _text(self, path: str, value: Any, longest: int = 255) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            self._refuse(path, f"{shown(value)} is not a string")
        text = str(value)
        if _CONTROL.search(text):
            self._refuse(path, f"{shown(text)} contains a control character or a line break; remove it")
        if len(text) > longest:
            self._refuse(path, f"{shown(text)} has {len(text)} characters; at most {longest} are possible")
        return text

    def matching(self, name: str, pattern: re.Pattern[str], what: str, default: Any = MISSING) -> Any:
        """A string that matches a pattern as a whole; ``what`` says what it must be."""

        def convert(path: str, value: Any) -> str:
            text = self._text(path, value)
            if not pattern.fullmatch(text):
                self._refuse(path, f"{shown(text)} is not {what}")
            return text

        return self._read_as(name, default, convert)

    def boolean(self, name: str, default: Any = MISSING) -> Any:
        """true or false, also in the spellings that templates produce."""

        def convert(path: str, value: Any) -> bool:
            if isinstance(value, bool):
                return value
            word = str(value).strip().lower()
            if word not in _TRUE and word not in _FALSE:
                self._refuse(path, f"{shown(value)} is neither true nor false")
            return word in _TRUE

        return self._read_as(name, default, convert)

    def integer(self, name: str, default: Any = MISSING, *, least: int, most: int) -> Any:
        """A whole number within bounds."""

        def convert(path: str, value: Any) -> int:
            try:
                number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
            except ValueError:
                number = None
            if number is None:
                self._refuse(path, f"{shown(value)} is not a whole number")
            if not least <= number <= most:
                self._refuse(path, f"{number} is out of range; use {least} to {most}")
            return number

        return self._read_as(name, default, convert)

    def choice(self, name: str, choices: Sequence[str], default: Any = MISSING) -> Any:
        """One of a few words."""

        def convert(path: str, value: Any) -> str:
            text = self._text(path, value)
            if text not in choices:
                words = ", ".join(choices)
                self._refuse(path, f"{shown(text)} is not possible; use one of {words}{guess(text, choices)}")
            return text

        return self._read_as(name, default, convert)

    def interface(self, name: str, default: Any = MISSING) -> Any:
        """The name of a network interface (dev_valid_name() in the kernel's net/core/dev.c, narrowed)."""
        return self._read_as(name, default, self._interface)

    def _interface(self, path: str, value: Any) -> str:
        text = self._text(path, value)
        if len(text) > INTERFACE_LENGTH:
            self._refuse(
                path, f"{shown(text)} has {len(text)} characters; an interface name has at most {INTERFACE_LENGTH}"
            )
        if not _INTERFACE.fullmatch(text) or text in (".", "..") or text.startswith("-"):
            self._refuse(path, f"{shown(text)} is not an interface name; use letters, digits, '_', '.' and '-'")
        if text in _NOT_INTERFACES:
            self._refuse(path, f"{shown(text)} {_NOT_INTERFACES[text]}; use another name")
        return text

    def mac(self, name: str, default: Any = MISSING) -> Any:
        """A unicast Ethernet address, in lower case with colons."""

        def convert(path: str, value: Any) -> str:
            text = self._text(path, value).lower().replace("-", ":")
            if not _MAC.fullmatch(text):
                self._refuse(path, f"{shown(value)} is not a MAC address; write it as '52:54:00:12:34:56', in quotes")
            if int(text[:2], 16) & 1:
                self._refuse(path, f"{shown(text)} is a multicast address; the first byte must be even")
            if text == "00:00:00:00:00:00":
                self._refuse(path, f"{shown(text)} is not an address of a device")
            return text

        return self._read_as(name, default, convert)

    def cidr(self, name: str, default: Any = MISSING, *, version: int | None = None) -> Any:
        """An address of a host with its prefix length."""
        return self._read_as(name, default, lambda path, value: self._cidr(path, value, version))

    def _cidr(self, path: str, value: Any, version: int | None = None) -> Interface:
        text = self._text(path, value)
        example = "fd00:1::1/64" if version == 6 else "192.168.30.1/24"
        try:
            result = ipaddress.ip_interface(without_zone(text))
        except ValueError:
            self._refuse(path, f"{shown(text)} is not an address with a prefix length; write it as {example}")
        if "/" not in text:
            self._refuse(path, f"{shown(text)} lacks the prefix length; write it as {example}")
        if version is not None and result.version != version:
            self._refuse(path, f"{shown(text)} is not an IPv{version} address; write it as {example}")
        return result

    def address(self, name: str, default: Any = MISSING, *, version: int | None = None, zone: bool = False) -> Any:
        """An address of a host; with ``zone`` an IPv6 address may be followed by ``%`` and an interface."""
        return self._read_as(name, default, lambda path, value: self._address(path, value, version, zone=zone))

    def _address(self, path: str, value: Any, version: int | None = None, *, zone: bool = False) -> Address:
        text = self._text(path, value)
        try:
            interface = text.partition("%")[2]
            result = ipaddress.ip_address(text if zone and _INTERFACE.fullmatch(interface) else without_zone(text))
        except ValueError:
            self._refuse(path, f"{shown(text)} is not an IP address")
        if version is not None and result.version != version:
            self._refuse(path, f"{shown(text)} is not an IPv{version} address")
        return result

    def domain(self, name: str, default: Any = MISSING) -> Any:
        """A DNS domain in lower case, without the closing dot (RFC 1035 section 2.3.4 for the lengths)."""

        def convert(path: str, value: Any) -> str:
            text = self._text(path, value).rstrip(".").lower()
            if not text or len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
                self._refuse(path, f"{shown(value)} is not a domain; write it as lab.example")
            return text

        return self._read_as(name, default, convert)

    def host_label(self, name: str, default: Any = MISSING) -> Any:
        """One label of a host name (RFC 1123 section 2.1)."""

        def convert(path: str, value: Any) -> str:
            text = self._text(path, value)
            if not _LABEL.fullmatch(text) or "_" in text:
                self._refuse(path, f"{shown(text)} is not a host name; use letters, digits and '-', at most 63")
            return text

        return self._read_as(name, default, convert)

    def items(self, name: str) -> list[Any]:
        """A list; a single value is a list of one."""
        value = self.raw(name, [])
        if isinstance(value, (str, Mapping)):
            return [value]
        if not isinstance(value, Sequence):
            self._refuse(self.at(name), f"{shown(value)} is not a list")
        return list(value)

    def interfaces(self, name: str) -> list[str]:
        """A list of interface names."""
        return [self._interface(f"{self.at(name)}[{i}]", value) for i, value in enumerate(self.items(name))]

    def cidrs(self, name: str) -> list[Interface]:
        """A list of addresses with prefix lengths."""
        return [self._cidr(f"{self.at(name)}[{i}]", value) for i, value in enumerate(self.items(name))]

    def addresses(self, name: str) -> list[Address]:
        """A list of addresses."""
        return [self._address(f"{self.at(name)}[{i}]", value) for i, value in enumerate(self.items(name))]

    def each(self, name: str) -> Iterator[Options]:
        """A list of mappings."""
        for i, value in enumerate(self.items(name)):
            yield Options(value, f"{self.at(name)}[{i}]", self.owner)

    def group(self, name: str) -> Options:
        """A mapping inside this one; empty when absent."""
        return Options(self.raw(name, {}), self.at(name), self.owner)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A mapping whose keys are the user's."""
        value = self.raw(name, {})
        if not isinstance(value, Mapping):
            self._refuse(self.at(name), f"{shown(value)} is not a mapping")
        return value

    def close(self) -> None:
        """Refuse every option that nobody read."""
        for name in self._data:
            if name not in self._read:
                self._refuse(self.at(str(name)), f"there is no such option{guess(str(name), sorted(self._read))}")


def without_zone(text: str) -> str:
    """The text of an address; raises ValueError for one with a zone, which may be any text (RFC 4007 section 11)."""
    if "%" in text:
        raise ValueError("an address with a zone")
    return text


def shown(value: Any) -> str:
    """A value for an error message: quoted, printable, short."""
    return shortened(repr(value), _LONGEST_SHOWN)


def shortened(text: str, longest: int) -> str:
    """As much of a text as an error message can hold."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def guess(word: str, known: Sequence[str]) -> str:
    """``; did you mean 'x'?`` where a known word is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
