# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of options for the tables of fields.py: how a value is read, how it is written, its type for Ansible.

An empty name, MAC address or domain is written as null.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .fields import Kind
from .options import Options, Value


def _or_null(value: str) -> str | None:
    return value or None


def _as_options(value: Any) -> dict[str, Any]:
    options: dict[str, Any] = value.as_options()
    return options


def _each_as_options(values: Sequence[Any]) -> list[dict[str, Any]]:
    return [_as_options(value) for value in values]


def _by_caller(_options: Options, name: str) -> NoReturn:
    raise AssertionError(f"the caller of read() has to give {name}")


def _list_of(reader: Callable[[Options, str], Sequence[Any]]) -> Kind[Sequence[str]]:
    return Kind(lambda options, name: tuple(map(str, reader(options, name))), "list", elements="str", write=list)


def _read_interfaces(options: Options, name: str) -> Sequence[str]:
    value = options.raw(name)
    # Ansible makes a list of an empty text.
    if value in ("", [""]):
        return ()
    if not isinstance(value, (list, tuple)):
        return (options.interface(name),)
    names = options.interfaces(name)
    for i, interface_name in enumerate(names):
        if interface_name in names[:i]:
            options.error(f"{name}[{i}]", f"{interface_name!r} is listed twice; list each interface once")
    return tuple(names)


boolean = Kind(lambda options, name: options.boolean(name), "bool")
interface = Kind(lambda options, name: options.interface(name), write=_or_null)
mac = Kind(lambda options, name: options.mac(name), write=_or_null)
domain = Kind(lambda options, name: options.domain(name), write=_or_null)
# The empty string is none; it is written as it is.
domain_or_empty = Kind(lambda options, name: options.domain(name) if options.raw(name) != "" else "")
ipv4_cidr: Kind[ipaddress.IPv4Interface] = Kind(lambda options, name: options.ipv4_cidr(name), write=str)
ipv6_cidr: Kind[ipaddress.IPv6Interface] = Kind(lambda options, name: options.ipv6_cidr(name), write=str)
cidr = Kind(lambda options, name: str(options.cidr(name)))
address = Kind(lambda options, name: str(options.address(name)))
interfaces = _list_of(Options.interfaces)
macs = _list_of(Options.macs)
# One is written as a text, as it was before there could be several.
interface_or_list: Kind[Sequence[str]] = Kind(
    _read_interfaces,
    "list",
    elements="str",
    write=lambda names: list(names) if len(names) > 1 else next(iter(names), None),
)
cidrs = _list_of(Options.cidrs)
addresses = _list_of(Options.addresses)


def text(longest: int = 255) -> Kind[str]:
    """A text without control characters. An empty one is written as it is."""
    return Kind(lambda options, name: options.text(name, longest=longest))


def matching(pattern: re.Pattern[str], what: str) -> Kind[str]:
    """A text that matches a pattern as a whole."""
    return Kind(lambda options, name: options.matching(name, pattern, what))


def integer(least: int, most: int) -> Kind[int]:
    """A whole number within bounds."""
    return Kind(lambda options, name: options.integer(name, least=least, most=most), "int")


def choice(*choices: str) -> Kind[str]:
    """One of a few words."""
    return Kind(lambda options, name: options.choice(name, choices), choices=choices)


def choices(*words: str) -> Kind[Sequence[str]]:
    """A list of a few words, whose order has no meaning."""

    def read_words(options: Options, name: str) -> Sequence[str]:
        given = options.choices(name, words)
        return tuple(word for word in words if word in given)

    return Kind(read_words, "list", elements="str", choices=words, write=list)


def group(cls: type[Value], reader: Callable[[Options], Value]) -> Kind[Value]:
    """The options of a class inside an option; ``reader`` refuses unknown ones."""
    return Kind(lambda options, name: reader(options.group(name)), "dict", write=_as_options, table=cls)


def group_by_caller(cls: type[Value]) -> Kind[Value]:
    """The same where it depends on other options: the caller of ``read`` gives the value."""
    return Kind(_by_caller, "dict", write=_as_options, table=cls)


def groups_by_caller(cls: type[Value]) -> Kind[Sequence[Value]]:
    """A list of such groups."""
    return Kind(_by_caller, "list", elements="dict", write=_each_as_options, table=cls)
