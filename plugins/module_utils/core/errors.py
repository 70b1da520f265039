# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, said so that a person knows what to do next."""

from __future__ import annotations


class VirtnetError(Exception):
    """Base of every error that the engine raises on purpose; its text is meant for the user.

    What it quotes, of files and programs and names, does nothing to the terminal on which it is shown.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(printable_lines(text))


class InvalidOption(VirtnetError):
    """A value that the user gave cannot be used; nothing has been touched yet.

    ``path`` names the value as the user wrote it (``networks[2].ipv4.dhcp.ranges[0].end``),
    ``owner`` the object it belongs to (``network 'lab'``), where that is known.
    """

    def __init__(self, path: str, problem: str, owner: str = "") -> None:
        self.path = path
        self.problem = problem
        self.owner = owner
        where = f"{path}: " if path else ""
        prefix = f"{owner}: " if owner else ""
        super().__init__(printable(f"{prefix}{where}{problem}"))


def printable(text: str) -> str:
    """A text in one line that does nothing to a terminal: the names of options in it are the user's too.

    Escaped is what Unicode calls Other or Separator (str.isprintable()): control characters of both sets (C0 and C1,
    ECMA-48), DEL, line breaks, and the characters that change the direction of writing (Unicode UAX #9).
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines, with their tabs."""
    return "".join(one if one.isprintable() or one in "\n\t" else repr(one)[1:-1] for one in text)


class MissingTool(VirtnetError):
    """A program or library that the host lacks, with the package that brings it."""

    def __init__(self, tool: str, package: str) -> None:
        self.tool = tool
        self.package = package
        super().__init__(f"{tool} is not installed on this host; install the package {package}")


class CommandFailed(VirtnetError):
    """A program ended with an error or did not end in time."""


class NotRunning(VirtnetError):
    """A service of the host that is needed does not run."""


class NotConverged(VirtnetError):
    """After the changes were made, the host still differs from what was asked for."""


class Locked(VirtnetError):
    """Another run holds the lock; ``note``: what it says there of what it does."""

    def __init__(self, text: str, note: str = "") -> None:
        self.note = note
        super().__init__(text)
