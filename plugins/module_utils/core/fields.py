# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table of options: the fields of a data class name their options, with kind and default.

``stp: bool = option(boolean, False)`` is the whole definition of an option. From the fields of a class follow

- ``read(cls, options)``: an instance from options,
- ``write(spec)``: the options of an instance, fit for JSON, in the order of the fields; ``OptionTable.as_options()``,
- ``argument_spec(cls)``: the types and choices for Ansible.

The kinds are in kinds.py. A field without an option, such as the path of an object, is in none of them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Generic, TypeVar

from .options import REQUIRED, Default, Options, Value

_METADATA = "option"


def _always(_spec: Any) -> bool:
    return True


class Documented(enum.Enum):
    """The default of an option in the documentation."""

    AS_READ = "the default with which it is read"
    BY_OTHERS = "none, since it follows from other options"
    NOWHERE = "the option is one of stored definitions alone, and not documented"


@dataclass(frozen=True)
class Kind(Generic[Value]):
    """What an option can be. ``type``, ``elements`` and ``choices`` in the words of Ansible's argument spec.

    ``table`` is the class with the options of a group, or of each item of a list of groups.
    """

    read: Callable[[Options, str], Value]
    type: str = "str"
    elements: str = ""
    choices: Sequence[str] = ()
    write: Callable[[Value], Any] = lambda value: value
    table: Any = None


@dataclass(frozen=True)
class Option:
    """An option of a table. ``name`` may be a path such as ``dhcp.enabled``; the others: see ``option``.

    ``default`` is REQUIRED for an option that must be given.
    """

    field: str
    name: str
    kind: Kind[Any]
    default: Any
    is_written: Callable[[Any], bool]
    documented: Any


def option(
    kind: Kind[Value],
    default: Default,
    *,
    name: str = "",
    is_written: Callable[[Any], bool] = _always,
    documented: Any = Documented.AS_READ,
) -> Value | Default:
    """A field with an option that may be absent or null, which both mean the default.

    ``name``: of the option, where it is not the name of the field, with the names of the groups that it is in.
    ``is_written``: whether an instance has a use for the option; without one it is not among its options.
    ``documented``: the default that the user is told, where the caller of ``read`` has another; or a ``Documented``.
    """
    metadata = {_METADATA: (name, kind, is_written, documented)}
    made: Any
    if isinstance(default, dict):
        made = field(default_factory=default.copy, metadata=metadata)
    else:
        made = field(default=default, metadata=metadata)
    return made  # type: ignore[no-any-return]


def required(kind: Kind[Value], *, name: str = "") -> Value:
    """A field with an option that must be given."""
    made: Any = field(metadata={_METADATA: (name, kind, _always, Documented.AS_READ)})
    return made  # type: ignore[no-any-return]


def table(cls: Any) -> Iterator[Option]:
    """The options of a class, in the order of its fields."""
    for one in fields(cls):
        if _METADATA in one.metadata:
            name, kind, is_written, documented = one.metadata[_METADATA]
            default = one.default if one.default_factory is MISSING else one.default_factory()
            default = REQUIRED if default is MISSING else default
            yield Option(one.name, name or one.name, kind, default, is_written, documented)


Spec = TypeVar("Spec")


def read(cls: Callable[..., Spec], options: Options, **values: Any) -> Spec:
    """An instance from options; ``values`` are fields that the caller has read, or that have no option.

    The caller refuses unknown options, but for those of groups inside; raises InvalidOption.
    """
    groups = {"": options}
    for one in table(cls):
        path, _dot, name = one.name.rpartition(".")
        if path not in groups:
            groups[path] = _group(options, path)
        is_default = one.default is not REQUIRED and groups[path].has_default(name, one.default)
        if is_default or one.field in values:
            groups[path].raw(name, None)
        else:
            values[one.field] = one.kind.read(groups[path], name)
    for path, group in groups.items():
        if path:
            group.reject_unknown()
    return cls(**values)


def read_all(cls: Callable[..., Spec], options: Options, **values: Any) -> Spec:
    """As read(), for options that belong to the instance alone: an unknown one is refused."""
    spec = read(cls, options, **values)
    options.reject_unknown()
    return spec


def _group(options: Options, path: str) -> Options:
    for name in path.split("."):
        options = options.group(name)
    return options


def write(spec: Any) -> dict[str, Any]:
    """The options of an instance."""
    options: dict[str, Any] = {}
    for one in table(spec):
        if not one.is_written(spec):
            continue
        path, _dot, name = one.name.rpartition(".")
        group = options
        for inner in path.split(".") if path else ():
            group = group.setdefault(inner, {})
        value = getattr(spec, one.field)
        group[name] = None if value is None else one.kind.write(value)
    return options


class OptionTable:
    """The base of a data class whose options are all fields that have one."""

    def as_options(self) -> dict[str, Any]:
        """The options that it has a use for, with every default."""
        return write(self)


def argument_spec(cls: Any) -> dict[str, Any]:
    """The options as Ansible's argument spec has them, without defaults and without the options of groups.

    An option that Ansible fills in would look as if the user had given it, and its errors in groups name no path.
    """
    arguments: dict[str, Any] = {}
    for one in table(cls):
        top, _dot, inner = one.name.partition(".")
        arguments.setdefault(top, {"type": "dict"} if inner else _argument(one.kind))
    return arguments


def _argument(kind: Kind[Any]) -> dict[str, Any]:
    argument: dict[str, Any] = {"type": kind.type}
    if kind.elements:
        argument["elements"] = kind.elements
    if kind.choices:
        argument["choices"] = list(kind.choices)
    return argument
