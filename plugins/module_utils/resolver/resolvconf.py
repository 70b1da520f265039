# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entries that openresolv or Debian's resolvconf keeps under /run.

Where a local resolver is told which server knows which domain, each network has a private entry. Otherwise programs
ask the servers of resolv.conf one after another, and take the first one's word: so a server of ours comes first, under
a key that both tools put before all others, and the domains come last. That server forwards what it does not know to
the others, in their order. An address of 127.0.0.0/8 would not do: both tools leave out the others beside it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

from ..core.command import find, run
from ..core.files import read_text
from . import resolv_conf
from .provider import DEBIAN, OPENRESOLV, Entry, Held, Surroundings, domains, first_servers, is_loopback

KEY_ENDING = ".virtnet"
# Both sort lo.* before all else (interface_order in resolvconf.conf(5), /etc/resolvconf/interface-order).
FIRST = "lo.virtnet"
LAST = "search.virtnet"

# Entries with a metric come after those without; openresolv pads it with zeros to seven digits and sorts by that text.
_LAST_METRIC = "999999"
_PRIVATE = "# private\n"
_METRIC = "# metric "

# Subscribers of openresolv that tell a local resolver which server knows which domain (resolvconf.conf(5)).
_DOMAIN_SUBSCRIBERS = ("dnsmasq_conf", "unbound_conf", "named_zones", "pdnsd_conf", "pdns_zones")


class Resolvconf:
    """Either of the two."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, root: str, interfaces: Sequence[str]) -> Held:
        """From the files: ``resolvconf -l`` says nothing about flags, and Debian's omits some entries."""
        folder = entries_folder(root, self.name)
        base = os.path.dirname(folder)
        metrics = _metrics(os.path.join(base, "metrics")) if self.name == OPENRESOLV else {}
        found = {}
        for key in _names(folder):
            text = read_text(os.path.join(folder, key)) if key.endswith(KEY_ENDING) else None
            if text is None:
                continue
            private = self.name == OPENRESOLV and os.path.exists(os.path.join(base, "private", key))
            found[key] = _flags_text(private, metrics.get(key, "").lstrip("0")) + _canonical(text)
        return found

    def target(self, entries: Sequence[Entry], around: Surroundings) -> Held:
        """Private entries, or one at the beginning and one at the end."""
        if not entries:
            return {}
        if around.told:
            return {f"{one.interface}{KEY_ENDING}": _PRIVATE + _text(one.addresses, one.domain) for one in entries}
        last = _text((), " ".join(domains(entries)))
        metric = _flags_text(False, _LAST_METRIC) if self.name == OPENRESOLV else ""
        return {FIRST: _text(first_servers(entries), ""), **({LAST: metric + last} if last else {})}

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Hand each entry to resolvconf, which writes resolv.conf and tells local resolvers; removals first."""
        gone = [key for key, text in changes.items() if text is None]
        if gone and self.name == OPENRESOLV:
            # It removes many at once, and writes resolv.conf once for them all. -f: one that is gone is no error.
            run(["resolvconf", "-f", "-d", *gone])
        elif find("resolvconf"):
            for key in gone:
                run(["resolvconf", "-d", key])
        for key, text in changes.items():
            if text is not None:
                flags = _flags(text) if self.name == OPENRESOLV else []
                run(["resolvconf", *flags, "-a", key], stdin=_without_flags(text))


def _text(servers: Sequence[str], search: str) -> str:
    # "search" and not "domain": the latter would also become the host's own domain where no other entry names one.
    lines = [f"search {search}"] if search else []
    return "".join(f"{line}\n" for line in [*lines, *(f"nameserver {server}" for server in servers)])


def _canonical(text: str) -> str:
    found = resolv_conf.parse(text)
    rest = [*(f"options {one}" for one in found.options), *found.rest]
    return _text(found.servers, " ".join(found.search)) + "".join(f"{line}\n" for line in rest)


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
    """The provider that says this to ``resolvconf --version``; empty for systemd's and unknown ones."""
    words = text.split()
    if words[:1] == ["openresolv"]:
        return OPENRESOLV
    return DEBIAN if words[:2] == ["Debian", "resolvconf"] else ""


def installed() -> str:
    """Which of the two is installed, or nothing."""
    path = find("resolvconf")
    # systemd's stand-in is a link to resolvectl; it knows neither keys nor a list.
    if path is None or os.path.basename(os.path.realpath(path)) == "resolvectl":
        return ""
    return parse_version(run(["resolvconf", "--version"]).stdout)


def parse_settings(text: str) -> dict[str, str]:
    """The plain assignments in openresolv's resolvconf.conf, which is a shell script."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return {}
    pairs = (word.partition("=") for word in words)
    return {name: value for name, equals, value in pairs if equals and name.isidentifier()}


def _settings(root: str) -> dict[str, str]:
    return parse_settings(read_text(os.path.join(root, "etc/resolvconf.conf")) or "")


def has_local_resolver(root: str) -> bool:
    """Whether a resolver of the host is asked and openresolv tells it about domains.

    Debian's default file names the files of resolvers that are not installed, so the file or its folder must be there.
    """
    settings = _settings(root)
    return any(is_loopback(server) for server in settings.get("name_servers", "").split()) and any(
        _usable(settings.get(name, "")) for name in _DOMAIN_SUBSCRIBERS
    )


def _usable(path: str) -> bool:
    folder = os.path.dirname(path)
    return bool(path) and (os.path.exists(path) or (folder != "/etc" and os.path.isdir(folder)))


def entries_folder(root: str, name: str) -> str:
    """Where it keeps entries; a path that is not there where it is not in use."""
    base = os.path.join(root, "run/resolvconf")
    if name == DEBIAN:
        return os.path.join(base, "interface")
    base = _settings(root).get("state_dir") or base
    # openresolv 3.17 calls it keys, older ones interfaces.
    keys = os.path.join(base, "keys")
    return keys if os.path.isdir(keys) else os.path.join(base, "interfaces")


def _metrics(folder: str) -> dict[str, str]:
    """Files named ``METRIC KEY``."""
    pairs = (name.partition(" ") for name in _names(folder))
    return {key: metric for metric, _space, key in pairs if key}


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
