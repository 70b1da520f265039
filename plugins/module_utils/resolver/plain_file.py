# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A resolv.conf that no program manages, as the provider: a marked block at its beginning, and one at its end.

A libc queries the servers in the order of their lines, and uses the last of several search lists (resolv.conf(5)). So
our server comes first and our search list last. Nothing in between changes: without the blocks the file is the same to
the byte.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence

from ..core.files import File, is_mount_point, write_files, write_in_place
from ..core.untrusted import LARGEST_RESOLV_CONF, read_untrusted_text
from . import resolv_conf
from .owner import RESOLV_CONF
from .provider import PLAIN, ProviderTexts, ResolverState, domains, first_servers
from .spec import EntrySpec

_BEGIN = "# virtnet.linux: begin; written by it, and removed with its networks"
_END = "# virtnet.linux: end"
# Set if the last line of the file had no newline: then it must not keep ours.
_CUT = " (the line before had no end)"
_BLOCK = re.compile(
    rf"(?P<cut>\n?){re.escape(_BEGIN)}(?P<mark>{re.escape(_CUT)})?\n(?P<inside>(?:.*\n)*?){re.escape(_END)}\n"
)
_NAME = "/etc/resolv.conf"


class Plain:
    """Changes the file itself."""

    name = PLAIN

    def read(self, root: str, interfaces: Sequence[str]) -> ProviderTexts:
        """Read the text between the marks."""
        inside = text_in_blocks(read_untrusted_text(os.path.join(root, RESOLV_CONF), LARGEST_RESOLV_CONF) or "")
        return {_NAME: inside} if inside else {}

    def target(self, entries: Sequence[EntrySpec], resolver: ResolverState) -> ProviderTexts:
        """A server before all others, and the host's search list, followed by the domains."""
        if not entries:
            return {}
        search = resolv_conf.parse(without_blocks(resolver.text)).search
        added = [domain for domain in domains(entries) if domain not in search]
        lines = [f"nameserver {server}" for server in first_servers(entries)]
        lines += [f"search {' '.join([*search, *added])}"] if added else []
        return {_NAME: "".join(f"{line}\n" for line in lines)}

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Write the file; its mode stays. Container engines mount one of theirs on it."""
        path = os.path.join(root, RESOLV_CONF)
        before = without_blocks(read_untrusted_text(path, LARGEST_RESOLV_CONF) or "")
        for text in changes.values():
            if is_mount_point(path):
                write_in_place(path, with_blocks(before, text or ""))
                continue
            mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o644
            write_files([File(path, with_blocks(before, text or ""), mode)])


def text_in_blocks(text: str) -> str:
    """The text between our marks."""
    return "".join(match.group("inside") for match in _BLOCK.finditer(text))


def without_blocks(text: str) -> str:
    """The file without our blocks."""
    return _BLOCK.sub(lambda match: "" if match.group("mark") else match.group("cut"), text)


def with_blocks(text: str, inside: str) -> str:
    """The file (without our blocks) with blocks of these lines."""
    lines = inside.splitlines(keepends=True)
    top = "".join(line for line in lines if not line.startswith("search "))
    bottom = "".join(line for line in lines if line.startswith("search "))
    cut = bool(text) and not text.endswith("\n")
    before = f"{_BEGIN}\n{top}{_END}\n" if top else ""
    after = f"{_BEGIN}{_CUT if cut else ''}\n{bottom}{_END}\n" if bottom else ""
    return f"{before}{text}" + ("\n" if cut and after else "") + after
