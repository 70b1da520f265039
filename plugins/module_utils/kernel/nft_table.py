# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The listing of one table of nftables (libnftables-json(5))."""

from __future__ import annotations

from ..core.command import run
from ..core.errors import CommandFailed


def list_table(family: str, name: str) -> str | None:
    """The output of ``nft -j list table FAMILY NAME``; None where there is no such table.

    Raises MissingTool without nft, CommandFailed where nft is older than 1.0 or refuses.
    """
    done = run(["nft", "-j", "list", "table", family, name], check=False)
    if done.code == 0:
        return done.stdout
    if "No such file or directory" in done.stderr:
        return None
    raise CommandFailed(f"nft cannot list the table {family} {name}: {done.stderr.strip()}")
