# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""openresolv and Debian's resolvconf as providers: entries under /run.

If a local resolver is told which server knows which domain, each network has a private entry. Otherwise programs query
the servers of resolv.conf one after another, and use the first answer. So our server comes first, under a key that both
tools put before all others, and the domains come last. That server forwards other names to the other servers, in their
order. Its address must not be in 127.0.0.0/8: both tools leave out all other servers then.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

from ..core.command import find, run
from ..core.files import list_folder, read_text
from . import resolv_conf
from .provider import DEBIAN, OPENRESOLV, ProviderTexts, ResolverState, domains, first_servers, is_loopback
from .spec import EntrySpec

KEY_ENDING = ".virtnet"
# Both sort lo.* before all other keys (interface_order in resolvconf.conf(5), /etc/resolvconf/interface-order).
FIRST = "lo.virtnet"
LAST = "search.virtnet"

# Entries with a metric come after those without; openresolv pads it with zeros to seven digits and sorts by that text.
_LAST_METRIC = "999999"
_PRIVATE = "# private\n"
_METRIC = "# metric "

# Subscribers of openresolv that tell a local resolver which server knows which domain (resolvconf.conf(5)).
_DOMAIN_SUBSCRIBERS = ("dnsmasq_conf", "unbound_conf", "named_zones", "pdnsd_conf", "pdns_zones")


class Resolvconf:
    """One of the two tools."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, root: str, interfaces: Sequence[str]) -> ProviderTexts:
        """Read the files: ``resolvconf -l`` does not list flags, and Debian's omits some entries."""
        folder = entries_folder(root, self.name)
        base = os.path.dirname(folder)
        # Debian's tool has neither metrics, which are files named METRIC KEY, nor private entries.
        names = list_folder(os.path.join(base, "metrics")) if self.name == OPENRESOLV else []
        metrics = {key: metric for metric, _space, key in (name.partition(" ") for name in names)}
        entries = {}
        for key in list_folder(folder, KEY_ENDING):
            text = read_text(os.path.join(folder, key))
            if text is not None:
                private = self.name == OPENRESOLV and os.path.exists(os.path.join(base, "private", key))
                entries[key] = _flags_text(private, metrics.get(key, "").lstrip("0")) + _canonical(text)
        return entries

    def target(self, entries: Sequence[EntrySpec], resolver: ResolverState) -> ProviderTexts:
        """Private entries, or one entry at the beginning and one at the end."""
        if not entries:
            return {}
        if resolver.supports_split_dns:
            return {
                f"{entry.interface}{KEY_ENDING}": _PRIVATE + _text(entry.addresses, entry.domain) for entry in entries
            }
        last = _text((), " ".join(domains(entries)))
        metric = _flags_text(False, _LAST_METRIC) if self.name == OPENRESOLV else ""
        return {FIRST: _text(first_servers(entries), ""), **({LAST: metric + last} if last else {})}

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Pass each entry to resolvconf, which writes resolv.conf and updates local resolvers; deletions first."""
        deleted = [key for key, text in changes.items() if text is None]
        if deleted and self.name == OPENRESOLV:
            # It deletes several at once, and writes resolv.conf only once. -f: a missing entry is no error.
            run(["resolvconf", "-f", "-d", *deleted])
        elif find("resolvconf"):
            for key in deleted:
                run(["resolvconf", "-d", key])
        for key, text in changes.items():
            if text is not None:
                flags = _flags(text) if self.name == OPENRESOLV else []
                run(["resolvconf", *flags, "-a", key], stdin=_without_flags(text))


def _text(servers: Sequence[str], search: str) -> str:
    # Not "domain": that would also become the domain of the host, if no other entry has one.
    lines = [f"search {search}"] if search else []
    return "".join(f"{line}\n" for line in [*lines, *(f"nameserver {server}" for server in servers)])


def _canonical(text: str) -> str:
    entry = resolv_conf.parse(text)
    rest = [*(f"options {option}" for option in entry.options), *entry.rest]
    return _text(entry.servers, " ".join(entry.search)) + "".join(f"{line}\n" for line in rest)


def _flags_text(private: bool, metric: str) -> str:
    return _PRIVATE if private else f"{_METRIC}{metric}\n" if metric else ""


def _flags(text: str) -> list[str]:
    first = text.partition("\n")[0]
    if f"{first}\n" == _PRIVATE:
        return ["-p"]
    return ["-m", first[len(_METRIC) :]] if first.startswith(_METRIC) else []


def _without_flags(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def parse_version(text: str) -> str:
    """The provider with this output of ``resolvconf --version``; empty for systemd's and unknown ones."""
    words = text.split()
    if words[:1] == ["openresolv"]:
        return OPENRESOLV
    return DEBIAN if words[:2] == ["Debian", "resolvconf"] else ""


def installed() -> str:
    """Which of the two is installed; empty for none."""
    path = find("resolvconf")
    # The replacement by systemd is a link to resolvectl; it has no keys and no list.
    if path is None or os.path.basename(os.path.realpath(path)) == "resolvectl":
        return ""
    return parse_version(run(["resolvconf", "--version"]).stdout)


def parse_settings(text: str) -> dict[str, str]:
    """The simple assignments in resolvconf.conf of openresolv, which is a shell script."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return {}
    pairs = (word.partition("=") for word in words)
    return {name: value for name, equals, value in pairs if equals and name.isidentifier()}


def _settings(root: str) -> dict[str, str]:
    return parse_settings(read_text(os.path.join(root, "etc/resolvconf.conf")) or "")


def has_local_resolver(root: str) -> bool:
    """Whether the host queries a local resolver, and openresolv tells it about domains.

    Debian's default settings name files of resolvers that are not installed, so the file or its folder must exist.
    """
    settings = _settings(root)
    return any(is_loopback(server) for server in settings.get("name_servers", "").split()) and any(
        _usable(settings.get(name, "")) for name in _DOMAIN_SUBSCRIBERS
    )


def _usable(path: str) -> bool:
    folder = os.path.dirname(path)
    return bool(path) and (os.path.exists(path) or (folder != "/etc" and os.path.isdir(folder)))


def entries_folder(root: str, name: str) -> str:
    """The folder of its entries, which may not exist."""
    base = os.path.join(root, "run/resolvconf")
    if name == DEBIAN:
        return os.path.join(base, "interface")
    base = _settings(root).get("state_dir") or base
    # openresolv 3.17 calls it keys, older ones interfaces.
    keys = os.path.join(base, "keys")
    return keys if os.path.isdir(keys) else os.path.join(base, "interfaces")
