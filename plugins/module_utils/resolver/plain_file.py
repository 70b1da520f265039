# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A resolv.conf that no program manages: a marked block before what it says, and one after it.

A libc asks the servers in the order of their lines, and of several search lists takes the last (resolv.conf(5)). So the
server comes first and the search list last; nothing in between is touched, and what is left without the blocks is the
file as it was, to the byte.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence

from ..core.files import File, put
from ..core.untrusted import LARGEST_RESOLV_CONF, read_untrusted_text
from . import owner as resolver_owner
from . import resolv_conf
from .provider import PLAIN, Entry, Held, Surroundings, domains, first_servers

_BEGIN = "# virtnet.linux: begin; written by it, and removed with its networks"
_END = "# virtnet.linux: end"
# The file's last line had no end: it is not to get one.
_CUT = " (the line before had no end)"
_BLOCK = re.compile(
    rf"(?P<cut>\n?){re.escape(_BEGIN)}(?P<mark>{re.escape(_CUT)})?\n(?P<inside>(?:.*\n)*?){re.escape(_END)}\n"
)
_NAME = "/etc/resolv.conf"


class Plain:
    """The file itself."""

    name = PLAIN

    def read(self, root: str, interfaces: Sequence[str]) -> Held:
        """What is between the marks."""
        inside = held_in(read_untrusted_text(os.path.join(root, resolver_owner.RESOLV_CONF), LARGEST_RESOLV_CONF) or "")
        return {_NAME: inside} if inside else {}

    def target(self, entries: Sequence[Entry], around: Surroundings) -> Held:
        """A server before all others, and the host's search list with the domains behind it."""
        if not entries:
            return {}
        search = resolv_conf.parse(without(around.text)).search
        added = [domain for domain in domains(entries) if domain not in search]
        lines = [f"nameserver {server}" for server in first_servers(entries)]
        lines += [f"search {' '.join([*search, *added])}"] if added else []
        return {_NAME: "".join(f"{line}\n" for line in lines)}

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Write the file, its mode as it is."""
        path = os.path.join(root, resolver_owner.RESOLV_CONF)
        before = without(read_untrusted_text(path, LARGEST_RESOLV_CONF) or "")
        for text in changes.values():
            mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o644
            put([File(path, with_blocks(before, text or ""), mode)])


def held_in(text: str) -> str:
    """What is between marks of ours."""
    return "".join(match.group("inside") for match in _BLOCK.finditer(text))


def without(text: str) -> str:
    """The file as it is without us."""
    return _BLOCK.sub(lambda match: "" if match.group("mark") else match.group("cut"), text)


def with_blocks(text: str, inside: str) -> str:
    """The file (without us) with the lines of ours."""
    lines = inside.splitlines(keepends=True)
    top = "".join(line for line in lines if not line.startswith("search "))
    bottom = "".join(line for line in lines if line.startswith("search "))
    cut = bool(text) and not text.endswith("\n")
    before = f"{_BEGIN}\n{top}{_END}\n" if top else ""
    after = f"{_BEGIN}{_CUT if cut else ''}\n{bottom}{_END}\n" if bottom else ""
    return f"{before}{text}" + ("\n" if cut and after else "") + after
