# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom the administrator names as the owner of a host's resolv.conf, kept for runs that nobody tells."""

from __future__ import annotations

import json
import os
from collections.abc import Collection

from ..core.errors import InvalidOption
from ..core.files import File, read_note
from ..core.paths import Paths
from .provider import AUTO

# The host's resolver is left alone.
NOBODY = "none"


def _file(paths: Paths) -> str:
    return os.path.join(paths.state, "resolver.json")


def read_choice(paths: Paths) -> str:
    """A provider, ``none``, or ``auto``, which holds unless this host was told otherwise."""
    try:
        return str((read_note(_file(paths)) or {}).get("resolver", AUTO))
    except (ValueError, AttributeError):
        return AUTO


def choice_file(choice: str, paths: Paths) -> File:
    """The file that keeps it."""
    return File(_file(paths), None if choice == AUTO else json.dumps({"resolver": choice}) + "\n")


def check_choice(choice: str | None, providers: Collection[str]) -> str | None:
    """The option ``resolver``; None where it is not given. Raises InvalidOption."""
    known = (AUTO, NOBODY, *providers)
    if choice is not None and choice not in known:
        raise InvalidOption("resolver", f"{choice!r} is not one of {', '.join(known)}")
    return choice
