# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes: JSON files that the engine keeps for itself, and the check of their content when they are read.

A damaged note, or one of another version, raises ValueError at once, and nothing later has to expect it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from .files import read_text

T = TypeVar("T")

# How a JSON value of a field is checked, by the annotation of the field. Others are checked by their readers.
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "Sequence[str]": lambda value: isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value),
    "Mapping[str, str]": lambda value: (
        isinstance(value, dict) and all(isinstance(item, str) for pair in value.items() for item in pair)
    ),
}


def read_note(path: str) -> Any:
    """The value of a note, None if there is no file; raises ValueError if it cannot be read."""
    try:
        text = read_text(path)
        return None if text is None else json.loads(text)
    except OSError as error:
        raise ValueError(error.strerror) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_object(path: str) -> dict[str, Any]:
    """A note that is a JSON object, {} if there is no file; raises ValueError for any other note."""
    return as_object(read_note(path) or {})


def as_object(value: Any) -> dict[str, Any]:
    """A JSON object; raises ValueError for any other value."""
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def as_list(value: Any) -> list[Any]:
    """A JSON array; raises ValueError for any other value."""
    if not isinstance(value, (list, tuple)):
        raise ValueError("it is not a JSON array")
    return list(value)


def as_record(kind: Callable[..., T], value: Any) -> T:
    """A data class from a JSON object of its fields; raises ValueError.

    Fields with a default may be missing.
    """
    values = as_object(value)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name, content in values.items():
        if name not in known:
            raise ValueError(f"{name} is unknown")
        if not _CHECKS.get(str(known[name].type), lambda _value: True)(content):
            raise ValueError(f"{name} is not of the type {known[name].type}")
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{name} is missing")
    return kind(**values)
