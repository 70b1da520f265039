# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd-resolved: the network's server and domains as settings of its bridge.

Only names of the domain and of the network's addresses are asked there: the link is no default route. The domain is
also searched, so that short names resolve; it comes after the host's own. The settings end with the link, and outlast a
restart of systemd-resolved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from ..core.command import find, run
from ..core.errors import CommandFailed
from . import resolv_conf
from .provider import RESOLVED, Entry, Held, Surroundings

# The answers are not signed, and not encrypted either: the server is on this very host.
_PLAIN = ("default-route", "dnssec", "dnsovertls")
_LINK = re.compile(r"^Link \d+ \(([^)]+)\): ?(.*)$")
_RUNS = "run/systemd/resolve/stub-resolv.conf"


class Resolved:
    """By resolvectl, which talks to it over D-Bus."""

    name = RESOLVED

    def read(self, root: str, interfaces: Sequence[str]) -> Held:
        """The settings of those of the links that have a server."""
        if not interfaces or find("resolvectl") is None or not os.path.exists(os.path.join(root, _RUNS)):
            return {}
        try:
            lists = {word: parse_list(run(["resolvectl", word]).stdout) for word in ("dns", "domain", *_PLAIN)}
        except CommandFailed:
            # It is being stopped; what it holds is not known then.
            return {}
        held = [name for name in interfaces if lists["dns"].get(name) or lists["domain"].get(name)]
        return {name: _text({word: found.get(name, []) for word, found in lists.items()}) for name in held}

    def target(self, entries: Sequence[Entry], around: Surroundings) -> Held:
        """The settings of each network's bridge."""
        return {
            one.interface: _text(
                {
                    "dns": one.addresses,
                    "domain": [*([one.domain] if one.domain else []), *(f"~{zone}" for zone in one.zones)],
                    **dict.fromkeys(_PLAIN, ["no"]),
                }
            )
            for one in entries
        }

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Set all of a link, or nothing of ours any more."""
        for name, text in changes.items():
            if text is None:
                # A link that went took its settings along.
                if os.path.exists(f"/sys/class/net/{name}"):
                    run(["resolvectl", "revert", name])
                continue
            for line in text.splitlines():
                word, *values = line.split()
                run(["resolvectl", word, name, *(values or [""])])


def _text(settings: Mapping[str, Sequence[str]]) -> str:
    """One line for each setting; the order of domains means nothing, that of servers does."""
    sorted_ = {**settings, "domain": sorted(settings.get("domain", ()))}
    return "".join(f"{' '.join([word, *sorted_.get(word, ())])}\n" for word in ("dns", "domain", *_PLAIN))


def parse_list(text: str) -> dict[str, list[str]]:
    """What ``resolvectl dns`` and its like print, by link."""
    matches = (_LINK.match(line) for line in text.splitlines())
    return {
        match.group(1): [resolv_conf.plain_address(word) for word in match.group(2).split()]
        for match in matches
        if match
    }
