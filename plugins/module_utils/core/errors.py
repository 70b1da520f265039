# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the engine. Each text says what is wrong and what to do about it."""

from __future__ import annotations


class VirtnetError(Exception):
    """The base of all errors that the engine raises on purpose; the text is for the user.

    Control characters in quoted files, programs and names are escaped.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(printable_lines(text))


class InvalidOption(VirtnetError):
    """A value given by the user is invalid; nothing has been changed yet.

    ``path`` is the option (``networks[2].ipv4.dhcp.ranges[0].end``), ``owner`` the object it belongs to (``network
    'lab'``), if known.
    """

    def __init__(self, path: str, problem: str, owner: str = "") -> None:
        self.path = path
        self.problem = problem
        self.owner = owner
        where = f"{path}: " if path else ""
        prefix = f"{owner}: " if owner else ""
        super().__init__(printable(f"{prefix}{where}{problem}"))


def printable(text: str) -> str:
    """A text in one line, in which everything that could control a terminal is escaped.

    That is what Unicode calls Other or Separator (str.isprintable()): control characters of both sets (C0 and C1,
    ECMA-48), DEL, line breaks, and the characters that change the direction of writing (Unicode UAX #9).
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def printable_lines(text: str) -> str:
    """The same for a text that keeps its lines and tabs."""
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


class WrongUsage(VirtnetError):
    """The words of a command cannot be used."""


class MissingTool(VirtnetError):
    """A program or library is not installed; ``package`` is its package."""

    def __init__(self, tool: str, package: str) -> None:
        self.tool = tool
        self.package = package
        super().__init__(f"{tool} is not installed on this host; install the package {package}")


class CommandFailed(VirtnetError):
    """A program failed or did not end in time, or the kernel refused a request."""


class NotRunning(VirtnetError):
    """A required service of the host does not run."""


class NotConverged(VirtnetError):
    """The host still differs from the desired state after the changes."""


class Locked(VirtnetError):
    """Another run holds the lock; ``status``: what it does (core.lock.set_lock_status())."""

    def __init__(self, text: str, status: str = "") -> None:
        self.status = status
        super().__init__(text)
