# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Owners and modes of our files on a host, compared with those in the security guide."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .host import Host

GUIDE = Path(__file__).resolve().parents[2] / "docs/docsite/rst/security.rst"
_TABLE_HEADER = '    :header: "path", "owner", "folders", "files"'
# Files of systemd itself, and of libvirt's daemon with a similar name.
_FOREIGN_PATTERNS = ("/run/systemd/*", "*/systemd-private-*", "*virtnetworkd*", "/run/udev/*")


@dataclass(frozen=True)
class Row:
    """One line of the guide: a pattern for paths, and their owner and mode."""

    pattern: str
    owner: str
    folders: str
    files: str

    def is_about(self, path: str) -> bool:
        """Whether the pattern matches a path, or one of its parents."""
        return fnmatchcase(path, self.pattern) or fnmatchcase(path, f"{self.pattern}/*")


@dataclass(frozen=True)
class Entry:
    """A file or folder (``d``) of the host."""

    kind: str
    owner: str
    mode: str
    path: str


def rows() -> list[Row]:
    """The guide's table; later lines are more specific."""
    lines = iter(GUIDE.read_text().splitlines())
    for line in lines:
        if line == _TABLE_HEADER:
            break
    rows = []
    for line in lines:
        if line and not line.startswith("    "):
            break
        if line.lstrip().startswith('"'):
            path, owner, folders, files = next(csv.reader([line.strip()], skipinitialspace=True))
            rows.append(Row(path.strip("`"), owner, folders, files))
    return rows


def own_entries(host: Host) -> list[Entry]:
    """All paths with our name on a host, without links."""
    text = host.run(
        ["find", "/etc", "/usr/local", "/var", "/run", "(", "-type", "f", "-o", "-type", "d", "-o", "-type", "s", ")",
         "-path", "*virtnet*", "-printf", "%y %u %m %p\\n"]
    )  # fmt: skip
    entries = [Entry(*line.split(" ", 3)) for line in text.splitlines()]
    return [entry for entry in entries if not any(fnmatchcase(entry.path, pattern) for pattern in _FOREIGN_PATTERNS)]


def deviations(host: Host) -> list[str]:
    """Paths that differ from the guide, or are not in it."""
    lines = []
    for entry in own_entries(host):
        matching = [row for row in rows() if row.is_about(entry.path)]
        if not matching:
            lines.append(f"{entry.path} is not in the guide")
            continue
        row = matching[-1]
        expected = (row.owner, row.folders if entry.kind == "d" else row.files)
        if (entry.owner, entry.mode) != expected:
            lines.append(f"{entry.path}: {entry.owner} {entry.mode} instead of {' '.join(expected)}")
    return lines
