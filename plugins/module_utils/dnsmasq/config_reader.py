# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the configuration of the system's dnsmasq: every file that it reads at its start but our own fragments.

Files are followed as in dnsmasq's src/option.c, read_opts(), one_file() and case '7'. Our fragments are left out, so
that no decision depends on what we wrote ourselves.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence

from ..core.command import run
from ..core.untrusted import read_untrusted_text
from ..dhcp.dnsmasq_syntax import Setting, read_arguments, read_lines
from .system_config import DEFAULT_FILE, Config, Folder, Line, is_fragment_file

# Lists of blocked domains have some ten megabytes.
_LARGEST_FILE = 512 * 1024 * 1024


class HostReader:
    """Reads the files of this host."""

    def text(self, path: str) -> str | None:
        """The content of a file; None if it does not exist. Raises UnusableFile, as for a named pipe."""
        return "" if os.path.realpath(path) == os.devnull else read_untrusted_text(path, _LARGEST_FILE)

    def names(self, folder: str) -> Sequence[str]:
        """The names of the regular files in a folder; none if the folder does not exist."""
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def identity(self, path: str) -> Hashable:
        """A value that is equal for two paths of the same file; None if there is no such file."""
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino

    def output(self, command: str) -> str:
        """The standard output of a command of the configuration, run by the shell as dnsmasq does it."""
        return run(["sh", "-c", command], check=False).stdout


def read_config(command: Sequence[str], reader: HostReader, own_folder: str) -> Config:
    """What dnsmasq reads if it is started with ``command``; ``own_folder`` is the folder of our fragments."""
    return _ConfigWalk(reader, own_folder).result(command)


class _ConfigWalk:
    """Follows a configuration from file to file and collects its settings and lines."""

    def __init__(self, reader: HostReader, own_folder: str) -> None:
        self.reader = reader
        self.own_folder = os.path.normpath(own_folder)
        self.own_identity = reader.identity(own_folder)
        self.seen: set[Hashable] = set()
        self.settings: list[Setting] = []
        self.folders: list[Folder] = []
        self.lines: list[Line] = []

    def result(self, command: Sequence[str]) -> Config:
        """Read everything in dnsmasq's order: the file of the first -C on the command line comes last."""
        main_file: str | None = None
        arguments: list[str] = []
        for argument in read_arguments(command[1:]):
            setting = argument.setting
            if setting.name == "conf-file" and main_file is None:
                main_file = setting.value or ""
                continue
            if not self.follow(setting) and setting.name != "test":
                arguments += argument.words
        main_file = DEFAULT_FILE if main_file is None else main_file
        self.file(main_file)
        return Config(
            program=command[0] if command else "dnsmasq",
            arguments=tuple(arguments),
            main_file=main_file,
            own_folder=self.own_folder,
            settings=tuple(self.settings),
            folders=tuple(self.folders),
            lines=tuple(self.lines),
        )

    def follow(self, setting: Setting) -> bool:
        """Add a setting, and the content of the files that it names; whether it is one that names files."""
        self.settings.append(setting)
        if setting.name == "conf-file":
            self.file(setting.value or "")
        elif setting.name == "conf-dir" and setting.fields and setting.fields[0]:
            self.folder(setting)
        elif setting.name == "conf-script" and setting.value:
            self.content(self.reader.output(setting.value), f"the output of {setting.value}")
        return setting.name in ("conf-file", "conf-dir", "conf-script")

    def file(self, path: str) -> None:
        """Read a file, unless it was read before or is one of our fragments."""
        if path in ("", "-"):
            return
        path = os.path.join("/", path)
        identity = self.reader.identity(path)
        if identity is None or identity in self.seen or self._is_own(path):
            return
        self.seen.add(identity)
        self.content(self.reader.text(path) or "", path)

    def content(self, content: str, origin: str) -> None:
        """Add the settings of a text; ``origin`` is the file or the command that it comes from."""
        rows = content.split("\n")
        for setting in read_lines(content, origin):
            row = Line(rows[setting.line - 1], origin, setting.line)
            if not self.follow(setting) and self.lines[-1:] != [row]:
                self.lines.append(row)

    def folder(self, setting: Setting) -> None:
        """Read the files of a conf-dir setting in the order of their names."""
        path = os.path.join("/", setting.fields[0])
        folder = Folder(setting, self._is_own_folder(path))
        self.folders.append(folder)
        for name in sorted(self.reader.names(path)):
            if folder.reads(name):
                self.file(os.path.join(path, name))

    def _is_own_folder(self, path: str) -> bool:
        if os.path.normpath(path) == self.own_folder:
            return True
        return self.own_identity is not None and self.reader.identity(path) == self.own_identity

    def _is_own(self, path: str) -> bool:
        folder, name = os.path.split(path)
        return is_fragment_file(name) and self._is_own_folder(folder)
