# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""NetworkManager, where it writes resolv.conf itself.

With its dnsmasq (dns=dnsmasq) that gets a file for each network: which names to ask where. Without, servers and search
lists come from profiles, so ours are in a profile of the loopback device, which leaves its addresses as they are: the
server before all others (ipv4.dns-priority; a VPN has 50), the domains behind all others. The profile is under /run.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence

from ..core.command import find, run
from ..core.errors import CommandFailed
from ..core.files import File, put, read_text
from .provider import NETWORK_MANAGER, Entry, Held, Surroundings, domains, first_servers

# Since 1.42 (its NEWS): profiles for the loopback device.
_LEAST_VERSION = (1, 42)
_FOLDER = "etc/NetworkManager/dnsmasq.d"
_PROFILE = "run/NetworkManager/system-connections/virtnet.linux.nmconnection"
_ID = "virtnet.linux"
# A name in the way of RFC 4122 version 5 would say no more: there is one for a host.
_UUID = "c1f8a3b2-6e0d-5b4a-9f3e-76697274ae01"
_FILE = re.compile(r"virtnet-.+\.conf")
_HEADER = "# Written by virtnet.linux; changes are lost.\n"
_BEFORE_ALL = 10
_BEHIND_ALL = 1000
_LOOPBACK = "127.0.0.0/8"
# How often, and how many seconds apart.
_LOOKS = 5
_PAUSE = 0.2


class NetworkManager:
    """By files, and nmcli, which has them read."""

    name = NETWORK_MANAGER

    def read(self, root: str, interfaces: Sequence[str]) -> Held:
        """Files for its dnsmasq, and the profile."""
        folder = os.path.join(root, _FOLDER)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        paths = [os.path.join(_FOLDER, name) for name in names if _FILE.fullmatch(name)]
        texts = {path: read_text(os.path.join(root, path)) for path in (*paths, _PROFILE)}
        return {f"/{path}": text for path, text in texts.items() if text is not None}

    def target(self, entries: Sequence[Entry], around: Surroundings) -> Held:
        """With its dnsmasq (``around.told``) a file for each network; for the rest the profile."""
        found = {}
        if around.told:
            found = {f"/{_FOLDER}/virtnet-{one.interface}.conf": _servers(one) for one in entries}
        profile = _profile([] if around.told else first_servers(entries), domains(entries))
        return {**found, **({f"/{_PROFILE}": profile} if profile else {})}

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Write the files, and have NetworkManager read them, if it runs."""
        files = [File(os.path.join(root, name.lstrip("/")), text, _mode(name)) for name, text in changes.items()]
        profile = f"/{_PROFILE}"
        runs = is_running()
        if runs and profile in changes and changes[profile] is None:
            run(["nmcli", "connection", "delete", "uuid", _UUID], check=False)
            _keep_loopback()
        put(files)
        if not runs:
            return
        if changes.get(profile) is not None:
            run(["nmcli", "connection", "load", profile])
            run(["nmcli", "connection", "up", "uuid", _UUID])
        if any(name != profile for name in changes):
            # Its dnsmasq reads the folder only when it starts.
            run(["nmcli", "general", "reload", "dns-full"])


def _keep_loopback() -> None:
    """The route of 127.0.0.0/8, which NetworkManager (seen with 1.52) takes away with a profile of lo.

    Without it all addresses there but 127.0.0.1 are dead: 127.0.0.53 of systemd-resolved, 127.0.1.1 of Debian's hosts.
    It goes a moment after nmcli has come back.
    """
    for _look in range(_LOOKS):
        listed = run(["ip", "-4", "route", "show", "table", "local", "dev", "lo"]).stdout
        if f"local {_LOOPBACK} " not in listed:
            run(["ip", "route", "replace", "local", _LOOPBACK, "dev", "lo", "table", "local", "proto", "kernel",
                 "scope", "host", "src", "127.0.0.1"])  # fmt: skip
        time.sleep(_PAUSE)


def _mode(name: str) -> int:
    # NetworkManager takes no profile that others may read.
    return 0o600 if name == f"/{_PROFILE}" else 0o644


def _servers(one: Entry) -> str:
    names = [*([one.domain] if one.domain else []), *one.zones]
    return _HEADER + "".join(f"server=/{name}/{address}\n" for name in names for address in one.addresses)


def _profile(servers: Sequence[str], search: Sequence[str]) -> str:
    if not servers and not search:
        return ""
    by_family = {4: [s for s in servers if ":" not in s], 6: [s for s in servers if ":" in s]}

    def section(family: int, address: str) -> list[str]:
        lines = [f"[ipv{family}]", "method=manual", f"address1={address}"]
        if by_family[family]:
            return [*lines, f"dns={';'.join(by_family[family])};", f"dns-priority={_BEFORE_ALL}"]
        return lines

    # The search list stands in the family that has no server, for the priority is one for both.
    other = 4 if by_family[6] and not by_family[4] else 6
    sections = {4: section(4, "127.0.0.1/8"), 6: section(6, "::1/128")}
    if search:
        priority = [] if by_family[other] else [f"dns-priority={_BEHIND_ALL}"]
        sections[other] += [*priority, f"dns-search={';'.join(search)};"]
    head = ["[connection]", f"id={_ID}", f"uuid={_UUID}", "type=loopback", "interface-name=lo", "autoconnect=true"]
    return _HEADER + "\n".join([*head, "", *sections[4], "", *sections[6], ""])


def is_running() -> bool:
    """Whether NetworkManager runs and answers."""
    return find("nmcli") is not None and run(["nmcli", "-t", "-f", "RUNNING", "general"], check=False).stdout == (
        "running\n"
    )


def look() -> tuple[str, bool]:
    """What keeps it from being asked, or nothing; and whether it runs a dnsmasq of its own as a resolver."""
    try:
        if not is_running():
            return "NetworkManager does not run", False
        told = parse_dns(run(["NetworkManager", "--print-config"]).stdout) == "dnsmasq"
        version = parse_version(run(["nmcli", "--version"]).stdout)
        if version < _LEAST_VERSION:
            return f"NetworkManager {'.'.join(map(str, version))} has no profiles for loopback; 1.42 has", told
        profile = run(["nmcli", "-t", "-g", "GENERAL.CONNECTION", "device", "show", "lo"], check=False).stdout.strip()
    except CommandFailed as error:
        return str(error), False
    if profile not in ("", "lo", _ID):
        return f"its device lo has the profile {profile!r}, which is not ours to change", told
    return "", told


def parse_dns(text: str) -> str:
    """The setting dns= of the section main in what ``NetworkManager --print-config`` says."""
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
