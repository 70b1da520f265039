# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The owner of resolv.conf that the administrator named for this host, stored for runs without that option."""

from __future__ import annotations

import json
import os

from ..core.errors import InvalidOption
from ..core.files import File
from ..core.notes import read_object
from ..core.paths import Paths
from .provider import AUTO, PROVIDER_NAMES

# The choice that there are no entries: the host's resolver stays as it is.
DISABLED = "none"


def _file(paths: Paths) -> str:
    return os.path.join(paths.state, "resolver.json")


def read_choice(paths: Paths) -> str:
    """A provider, ``none``, or ``auto``, which is the default."""
    try:
        return str(read_object(_file(paths)).get("resolver", AUTO))
    except ValueError:
        return AUTO


def choice_file(choice: str, paths: Paths) -> File:
    """The file that stores the choice."""
    return File(_file(paths), None if choice == AUTO else json.dumps({"resolver": choice}) + "\n")


def check_choice(choice: str | None) -> str | None:
    """Check the option ``resolver``; None if it is not given. Raises InvalidOption."""
    known = (AUTO, DISABLED, *PROVIDER_NAMES)
    if choice is not None and choice not in known:
        raise InvalidOption("resolver", f"{choice!r} is not one of {', '.join(known)}")
    return choice
