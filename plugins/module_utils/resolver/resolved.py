# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd-resolved as the provider: the network's server and domains are settings of its bridge.

It queries that server only for names of the domain and of the network's addresses: the link is no default route. The
domain is also searched, after the host's own, so that short names resolve. The settings end with the link, and survive
a restart of systemd-resolved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from ..core.command import find, run
from ..core.errors import CommandFailed
from . import resolv_conf
from .provider import RESOLVED, ProviderTexts, ResolverState
from .spec import EntrySpec

# Switched off: the answers are neither signed nor encrypted, because the server is on this host.
_SWITCHED_OFF = ("default-route", "dnssec", "dnsovertls")
_LINK = re.compile(r"^Link \d+ \(([^)]+)\): ?(.*)$")
# resolvectl continues a long list on lines that begin with this (its status_print_strv).
_CONTINUATION = " " * len("Global: ")
STUB_FILE = "run/systemd/resolve/stub-resolv.conf"


class Resolved:
    """Uses resolvectl, which calls systemd-resolved over D-Bus."""

    name = RESOLVED

    def read(self, root: str, interfaces: Sequence[str]) -> ProviderTexts:
        """Read the settings of the links that have a server or a domain."""
        lists = _read_lists(("dns", "domain", *_SWITCHED_OFF), root, interfaces)
        names = [name for name in interfaces if any(lists.get(word, {}).get(name) for word in ("dns", "domain"))]
        return {name: _text({word: values.get(name, []) for word, values in lists.items()}) for name in names}

    def read_servers(self, root: str, interfaces: Sequence[str]) -> ProviderTexts:
        """Read the servers of the links alone."""
        servers = _read_lists(("dns",), root, interfaces).get("dns", {})
        return {name: " ".join(servers[name]) for name in interfaces if servers.get(name)}

    def target(self, entries: Sequence[EntrySpec], resolver: ResolverState) -> ProviderTexts:
        """The settings of each network's bridge."""
        return {
            entry.interface: _text(
                {
                    "dns": entry.addresses,
                    "domain": [*([entry.domain] if entry.domain else []), *(f"~{zone}" for zone in entry.zones)],
                    **dict.fromkeys(_SWITCHED_OFF, ["no"]),
                }
            )
            for entry in entries
        }

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Set all settings of a link, or delete ours."""
        for name, text in changes.items():
            if text is None:
                # The settings of a deleted link are gone with it.
                if os.path.exists(f"/sys/class/net/{name}"):
                    run(["resolvectl", "revert", name])
                continue
            for line in text.splitlines():
                word, *values = line.split()
                run(["resolvectl", word, name, *(values or [""])])


def _read_lists(words: Sequence[str], root: str, interfaces: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """The output of resolvectl for these words; empty where there is nothing of ours to read."""
    if not interfaces or find("resolvectl") is None or not os.path.exists(os.path.join(root, STUB_FILE)):
        return {}
    try:
        return {word: parse_list(run(["resolvectl", word]).stdout) for word in words}
    except CommandFailed:
        # It is being stopped, so its settings cannot be read.
        return {}


def _text(settings: Mapping[str, Sequence[str]]) -> str:
    """One line for each setting. The order of servers has a meaning, that of domains has none."""
    sorted_ = {**settings, "domain": sorted(settings.get("domain", ()))}
    return "".join(f"{' '.join([word, *sorted_.get(word, ())])}\n" for word in ("dns", "domain", *_SWITCHED_OFF))


def parse_list(text: str) -> dict[str, list[str]]:
    """The output of ``resolvectl dns`` and similar commands, by link."""
    lists: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        match = _LINK.match(line)
        if match:
            current = lists.setdefault(match.group(1), [])
            line = match.group(2)
        elif not line.startswith(_CONTINUATION):
            # A list of the host itself, or of something else that is no link.
            current = []
        current += map(resolv_conf.plain_address, line.split())
    return lists
