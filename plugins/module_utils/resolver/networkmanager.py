# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""NetworkManager as the provider, where it writes resolv.conf itself.

If it runs its own dnsmasq (dns=dnsmasq), that gets a file for each network: which names to query at which server.
Otherwise servers and search lists come from connection profiles. So ours are in a profile of the loopback device, whose
addresses do not change: the server before all others (ipv4.dns-priority; a VPN has 50), the domains behind all others.
The profile is under /run.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence

from ..core.command import find, run
from ..core.errors import CommandFailed
from ..core.files import File, list_folder, read_text, write_files
from .provider import NETWORK_MANAGER, ProviderTexts, ResolverState, domains, first_servers
from .spec import EntrySpec

# The first version with profiles for the loopback device (its NEWS).
_LEAST_VERSION = (1, 42)
_FOLDER = "etc/NetworkManager/dnsmasq.d"
_PROFILE = "run/NetworkManager/system-connections/virtnet.linux.nmconnection"
_ID = "virtnet.linux"
# Fixed, because a host has only one such profile.
_UUID = "c1f8a3b2-6e0d-5b4a-9f3e-76697274ae01"
_FILE = re.compile(r"virtnet-.+\.conf")
_HEADER = "# Written by virtnet.linux; changes are lost.\n"
_FIRST_PRIORITY = 10
_LAST_PRIORITY = 1000
_LOOPBACK = "127.0.0.0/8"
# How often the route is checked, and the seconds between.
_CHECKS = 5
_CHECK_INTERVAL = 0.2


class NetworkManager:
    """Writes files, and makes NetworkManager read them with nmcli."""

    name = NETWORK_MANAGER

    def read(self, root: str, interfaces: Sequence[str]) -> ProviderTexts:
        """Read the files for its dnsmasq, and the profile."""
        names = list_folder(os.path.join(root, _FOLDER))
        paths = [os.path.join(_FOLDER, name) for name in names if _FILE.fullmatch(name)]
        texts = {path: read_text(os.path.join(root, path)) for path in (*paths, _PROFILE)}
        return {f"/{path}": text for path, text in texts.items() if text is not None}

    def target(self, entries: Sequence[EntrySpec], resolver: ResolverState) -> ProviderTexts:
        """With its own dnsmasq (``supports_split_dns``) a file for each network; for the rest the profile."""
        files = {}
        if resolver.supports_split_dns:
            files = {f"/{_FOLDER}/virtnet-{entry.interface}.conf": _servers(entry) for entry in entries}
        profile = _profile([] if resolver.supports_split_dns else first_servers(entries), domains(entries))
        return {**files, **({f"/{_PROFILE}": profile} if profile else {})}

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Write the files; if NetworkManager runs, make it read them."""
        profile = f"/{_PROFILE}"
        # NetworkManager ignores a profile that other users may read.
        files = [
            File(os.path.join(root, name.lstrip("/")), text, 0o600 if name == profile else 0o644)
            for name, text in changes.items()
        ]
        runs = is_running()
        if runs and profile in changes and changes[profile] is None:
            run(["nmcli", "connection", "delete", "uuid", _UUID], check=False)
            _keep_loopback()
        write_files(files)
        if not runs:
            return
        if changes.get(profile) is not None:
            run(["nmcli", "connection", "load", profile])
            run(["nmcli", "connection", "up", "uuid", _UUID])
        if any(name != profile for name in changes):
            # Its dnsmasq reads the folder only when it starts.
            run(["nmcli", "general", "reload", "dns-full"])


def _keep_loopback() -> None:
    """Restore the route of 127.0.0.0/8, which NetworkManager (seen with 1.52) deletes together with a profile of lo.

    Without it only 127.0.0.1 answers, not 127.0.0.53 of systemd-resolved or 127.0.1.1 of Debian's /etc/hosts.
    NetworkManager deletes it a moment after nmcli has returned.
    """
    for _check in range(_CHECKS):
        listed = run(["ip", "-4", "route", "show", "table", "local", "dev", "lo"]).stdout
        if f"local {_LOOPBACK} " not in listed:
            run(["ip", "route", "replace", "local", _LOOPBACK, "dev", "lo", "table", "local", "proto", "kernel",
                 "scope", "host", "src", "127.0.0.1"])  # fmt: skip
        time.sleep(_CHECK_INTERVAL)


def _servers(entry: EntrySpec) -> str:
    names = [*([entry.domain] if entry.domain else []), *entry.zones]
    return _HEADER + "".join(f"server=/{name}/{address}\n" for name in names for address in entry.addresses)


def _profile(servers: Sequence[str], search: Sequence[str]) -> str:
    if not servers and not search:
        return ""
    by_family = {4: [s for s in servers if ":" not in s], 6: [s for s in servers if ":" in s]}
    # The search list is in the family without a server, because a family has one priority for both.
    family_of_search = 4 if by_family[6] and not by_family[4] else 6
    lines = ["[connection]", f"id={_ID}", f"uuid={_UUID}", "type=loopback", "interface-name=lo", "autoconnect=true"]
    for family, address in ((4, "127.0.0.1/8"), (6, "::1/128")):
        lines += ["", f"[ipv{family}]", "method=manual", f"address1={address}"]
        if by_family[family]:
            lines += [f"dns={';'.join(by_family[family])};", f"dns-priority={_FIRST_PRIORITY}"]
        if search and family == family_of_search:
            lines += [] if by_family[family] else [f"dns-priority={_LAST_PRIORITY}"]
            lines.append(f"dns-search={';'.join(search)};")
    return _HEADER + "\n".join([*lines, ""])


def is_running() -> bool:
    """Whether NetworkManager runs and answers."""
    return find("nmcli") is not None and run(["nmcli", "-t", "-f", "RUNNING", "general"], check=False).stdout == (
        "running\n"
    )


def read_status() -> tuple[str, bool]:
    """Why it cannot be used (empty if it can), and whether it runs its own dnsmasq as a resolver."""
    try:
        if not is_running():
            return "NetworkManager does not run", False
        own_dnsmasq = parse_dns(run(["NetworkManager", "--print-config"]).stdout) == "dnsmasq"
        version = parse_version(run(["nmcli", "--version"]).stdout)
        if version < _LEAST_VERSION:
            return f"NetworkManager {'.'.join(map(str, version))} has no profiles for loopback; 1.42 has", own_dnsmasq
        profile = run(["nmcli", "-t", "-g", "GENERAL.CONNECTION", "device", "show", "lo"], check=False).stdout.strip()
    except CommandFailed as error:
        return str(error), False
    if profile not in ("", "lo", _ID):
        return f"its device lo has the profile {profile!r}, which is not ours to change", own_dnsmasq
    return "", own_dnsmasq


def parse_dns(text: str) -> str:
    """The setting dns= of the section main in the output of ``NetworkManager --print-config``."""
    section = ""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[main]" and line.partition("=")[0].strip() == "dns":
            return line.partition("=")[2].strip()
    return ""


def parse_version(text: str) -> tuple[int, ...]:
    """``nmcli tool, version 1.42.4`` as numbers."""
    return tuple(int(word) for word in re.findall(r"\d+", text)[:2])
