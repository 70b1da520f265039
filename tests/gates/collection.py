# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies the published part of the collection to where a gate reads it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def shipped(additional: Sequence[str] = ()) -> list[str]:
    """Files of the tarball, and those whose path starts with one of `beside`: tracked by git, or not ignored."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text())["build_ignore"]
    names = [name for name in filter(None, listed.stdout.split("\0")) if (ROOT / name).is_file()]
    return [
        name
        for name in names
        if name.startswith(tuple(additional))
        or not any(fnmatch(name.partition("/")[0], pattern) for pattern in ignored)
    ]


def copy(target: Path, additional: Sequence[str] = (), keep: Sequence[str] = ()) -> None:
    """Makes `target` contain the published files and nothing else, except folders `keep` that its users made."""
    kept = {target / name for name in keep}
    if target.is_dir():
        for old in sorted(target.rglob("*"), reverse=True):
            if any(path == old or path in old.parents for path in kept):
                continue
            if old.is_symlink() or not old.is_dir():
                old.unlink()
            elif not any(old.iterdir()):
                old.rmdir()
    for name in shipped(additional):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
