# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network managers of the host: told to leave our bridges alone, and asked whether one of them has a bridge already.

NetworkManager and systemd-networkd take what their configuration does not name, or match it with a catch-all. So each
has a file of ours that names our bridges, their ports of the host, and libvirt's taps. ifupdown and netplan touch
nothing that they do not name.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any

from ..core import systemctl
from ..core.command import run
from ..core.errors import InvalidOption
from ..core.files import File, put, read_text
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Change, Plan
from ..core.untrusted import UnusableFile, read_untrusted_text
from .linux_plan import BridgeChange
from .reconciler import Bridges
from .spec import BridgeSpec

# systemd-networkd writes some lines for each link.
_LARGEST_STATE = 64 * 1024
_NETWORK_MANAGER = "etc/NetworkManager/conf.d/virtnet.conf"
# The first file that matches a link is its configuration (systemd.network(5)): before those of others.
_NETWORKD = "etc/systemd/network/00-virtnet.network"
# What libvirt calls the taps of its guests, and most others theirs: systemd-networkd takes a link that a catch-all
# matches off its bridge. Not where somebody's own configuration names such a link.
_TAPS = ("tap*", "vnet*")
# Taps of any other name (systemd.network(5): Driver=). A tun, which carries no Ethernet, is of no guest.
_NETWORKD_TAPS = "etc/systemd/network/01-virtnet-taps.network"
# NetworkManager tells a tun from a tap only where udev does (NetworkManager.conf(5): NM_UNMANAGED), and like this a tap
# is never taken from it while it runs, which can take a link down.
_UDEV_TAPS = "etc/udev/rules.d/86-virtnet-taps.rules"
# By the file that names bridges: it is there with that one, and names none.
_OF_TAPS = {_NETWORKD_TAPS: _NETWORKD, _UDEV_TAPS: _NETWORK_MANAGER}

# Where these are.
FOLDERS = tuple(dict.fromkeys(map(os.path.dirname, (_NETWORK_MANAGER, _NETWORKD, _UDEV_TAPS))))

_HEADER = "# Written by virtnet.linux; changes are lost. Bridges of ours, their ports, and guests' taps.\n"
_NAMES = re.compile(r"^(?:unmanaged-devices\+=|Name=)(.*)$", re.MULTILINE)

_FOLDERS = ("etc", "run", "usr/lib", "lib")
_IFUPDOWN = re.compile(r"^[ \t]*iface[ \t]+(\S+)", re.MULTILINE)
_NETDEV = re.compile(r"^[ \t]*Name[ \t]*=[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_MATCH = re.compile(r"^\[Match\][^\[]*?^[ \t]*Name[ \t]*=[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_SECTION = re.compile(r"^\[Match\][^\[]*", re.MULTILINE)
_NAMED = re.compile(r"^[ \t]*(?:Original)?Name[ \t]*=[ \t]*[^!\s]", re.MULTILINE)
_DRIVER = re.compile(r"^[ \t]*(?:Driver|Kind)[ \t]*=(.*)$", re.MULTILINE)
# What udev reads as a pattern, and nothing that ends one.
_PATTERN = re.compile(r"[A-Za-z0-9_.:*?-]+")
_CONFIGURED = re.compile(r"^[ \t]*iface[ \t]+(\S+)[ \t]+inet6?[ \t]+(?!manual)\S+", re.MULTILINE)
_PROFILE = re.compile(r"^interface-name[ \t]*=[ \t]*(\S+)[ \t]*$", re.MULTILINE)
# What NetworkManager writes for links that others made.
_GENERATED = "nm-generated=true"


@dataclass(frozen=True)
class Managers:
    """``files`` are ours as they are, None where one is missing but its manager there; ``claims``: who names a link.

    ``taps``: somebody has systemd-networkd manage links by their driver. ``uplinks``: who manages links that may become
    ports for the way out now.
    """

    files: Mapping[str, str | None] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    taps: bool = False
    uplinks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """The bridges and the managers."""

    bridges: Any
    managers: Managers


@dataclass(frozen=True)
class ManagersChange(Change):
    """A change of a file of ours."""

    path: str = ""
    content: str | None = None


class ManagedBridges:
    """The part ``bridges`` with what network managers need to know of it."""

    def __init__(self, bridges: Bridges, paths: Paths) -> None:
        self.bridges = bridges
        self.paths = paths

    def read(self) -> State:
        """Files and links."""
        # Bridges of Open vSwitch are a part of their own, and mostly there are none.
        meant = self.bridges.wanted or self.bridges.purge
        managers = read_managers(self.paths.root) if meant else Managers({})
        ports = {port for spec in self.bridges.wanted if spec.enslave_uplink for port in spec.ports}
        return State(self.bridges.read(), replace(managers, uplinks=read_uplinks(ports, self.paths.root, managers)))

    def plan(self, current: State) -> Plan[Change]:
        """What managers shall leave alone, before it is there; what they may take again, after it is gone."""
        wanted = list(self.bridges.wanted)
        for spec in wanted:
            _refuse_claimed(spec, current.managers)
            _refuse_managed_uplink(spec, current)
        inner = self.bridges.plan(current.bridges)
        changes = plan_files(wanted, self.bridges.purge, current.managers)
        return Plan(
            [
                *(change for change in changes if change.action != DELETE),
                *inner.changes,
                *(change for change in changes if change.action == DELETE),
            ],
            inner.result,
            inner.notes,
            inner.return_values,
        )

    def apply(self, plan: Plan[Change]) -> None:
        """In the order of the plan."""
        bridges = [change for change in plan.changes if isinstance(change, BridgeChange)]
        files = [change for change in plan.changes if isinstance(change, ManagersChange)]
        self._write([change for change in files if change.action != DELETE])
        if bridges:
            self.bridges.apply(Plan(bridges))
        self._write([change for change in files if change.action == DELETE])

    def _write(self, changes: Sequence[ManagersChange]) -> None:
        root = self.paths.root
        put(File(os.path.join(root, change.path), change.content) for change in changes)
        paths = [change.path for change in changes]
        if _NETWORK_MANAGER in paths and _runs("NetworkManager", root, "run/NetworkManager"):
            run(["nmcli", "general", "reload", "conf"])
        if {_NETWORKD, _NETWORKD_TAPS} & set(paths) and _runs("systemd-networkd", root, "run/systemd/netif"):
            run(["networkctl", "reload"])
        if _UDEV_TAPS in paths and os.path.exists(os.path.join(root, "run/udev/control")):
            run(["udevadm", "control", "--reload"])
            run(["udevadm", "trigger", "--action=change", "--subsystem-match=net", "--attr-match=tun_flags"])


def _runs(service: str, root: str, trace: str) -> bool:
    """Whether a manager runs. What it writes as it starts (``trace``) may outlive it."""
    there = os.path.exists(os.path.join(root, trace))
    return there and systemctl.is_active(service)


def read_managers(root: str) -> Managers:
    """Which managers there are, what of ours they have, and which links their configuration names."""
    # Also where it does not run: it takes a guest's link off the bridge the moment it is started.
    networkd = any(os.path.exists(os.path.join(root, top, "systemd/systemd-networkd")) for top in ("usr/lib", "lib"))
    network_manager = os.path.exists(os.path.join(root, "usr/sbin/NetworkManager"))
    there = {_NETWORK_MANAGER: network_manager, _NETWORKD: networkd}
    there.update({path: there[with_path] for path, with_path in _OF_TAPS.items()})
    texts = {path: read_text(os.path.join(root, path)) for path in there}
    files = {path: text for path, text in texts.items() if there[path] or text is not None}
    return Managers(files, read_claims(root), _takes_taps(root))


def _networks(root: str) -> list[str]:
    """The files that say which links systemd-networkd manages, but for ours."""
    found = [path for top in _FOLDERS for path in glob.glob(os.path.join(root, f"{top}/systemd/network/*.network"))]
    return [path for path in found if os.path.relpath(path, root) not in (_NETWORKD, _NETWORKD_TAPS)]


def _takes_taps(root: str) -> bool:
    """Whether systemd-networkd has taps by their driver alone; those that have a name as well are claims."""
    sections = (section for path in _networks(root) for section in _SECTION.findall(read_text(path) or ""))
    lines = (line for section in sections if not _NAMED.search(section) for line in _DRIVER.findall(section))
    return any(fnmatch(kind, word) for line in lines for word in line.split() for kind in ("tun", "tap"))


def read_claims(root: str) -> dict[str, str]:
    """Links that are named in the configuration of a manager: by whom and where."""
    found: dict[str, str] = {}

    def look(manager: str, patterns: Sequence[str], name: re.Pattern[str]) -> None:
        for path in sorted(one for pattern in patterns for one in glob.glob(os.path.join(root, pattern))):
            text = read_text(path) or ""
            if os.path.relpath(path, root) in (_NETWORKD, _NETWORKD_TAPS, _NETWORK_MANAGER) or _GENERATED in text:
                continue
            for names in name.findall(text):
                # A list that begins so says what is not meant.
                for one in names.split() if not names.startswith("!") else ():
                    found.setdefault(one, f"{manager} (/{os.path.relpath(path, root)})")

    look("ifupdown", ["etc/network/interfaces", "etc/network/interfaces.d/*"], _IFUPDOWN)
    look("systemd-networkd", [f"{top}/systemd/network/*.netdev" for top in _FOLDERS], _NETDEV)
    look("systemd-networkd", [f"{top}/systemd/network/*.network" for top in _FOLDERS], _MATCH)
    folders = ("etc", "run", "usr/lib")
    look("NetworkManager", [f"{top}/NetworkManager/system-connections/*" for top in folders], _PROFILE)
    return found


def _refuse_claimed(spec: BridgeSpec, managers: Managers) -> None:
    manager = managers.claims.get(spec.name)
    if manager and spec.state == "present":
        raise InvalidOption(
            f"{spec.path}.name" if spec.path else "name",
            f"{spec.name!r} is managed by {manager}; choose another name for the bridge, or take it out of there first",
            f"bridge {spec.name!r}",
        )


def read_uplinks(ports: Iterable[str], root: str, managers: Managers) -> dict[str, str]:
    """Which of these links have their addresses from a manager, and from which."""
    found: dict[str, str] = {}
    wanted = list(ports)
    for path in glob.glob(os.path.join(root, "etc/network/interfaces")) + glob.glob(
        os.path.join(root, "etc/network/interfaces.d/*")
    ):
        named = _CONFIGURED.findall(read_text(path) or "")
        found.update({port: f"ifupdown (/{os.path.relpath(path, root)})" for port in wanted if port in named})
    for port in wanted:
        claims = (by for name, by in managers.claims.items() if fnmatch(port, name) and not by.startswith("ifupdown"))
        running = (by for by in claims if _runs(by.partition(" ")[0], root, "run"))
        index = (read_text(os.path.join(root, "sys/class/net", port, "ifindex")) or "").strip()
        state = _networkd_state(os.path.join(root, "run/systemd/netif/links", index)) if index else ""
        device = read_text(os.path.join(root, "run/NetworkManager/devices", index)) or "" if index else ""
        if "ADMIN_STATE=config" in state and _runs("systemd-networkd", root, "run/systemd/netif"):
            found.setdefault(port, "systemd-networkd")
        if "connection-uuid=" in device and _runs("NetworkManager", root, "run/NetworkManager"):
            found.setdefault(port, "NetworkManager")
        for by in running:
            found.setdefault(port, by)
    return found


def _networkd_state(path: str) -> str:
    """What systemd-networkd notes of a link, in a folder that is that user's; '' where that is no file."""
    with contextlib.suppress(UnusableFile):
        return read_untrusted_text(path, _LARGEST_STATE) or ""
    return ""


def _refuse_managed_uplink(spec: BridgeSpec, current: State) -> None:
    links = current.bridges.links
    for i, port in enumerate(spec.ports):
        manager = current.managers.uplinks.get(port) if spec.enslave_uplink and spec.state == "present" else None
        if manager is None or port not in links or links[port].master == spec.name:
            continue
        # Its bridge is gone, and the host with it, until that is made again.
        if spec.name in current.bridges.uplinks.records and not links[port].addresses:
            continue
        option, owner = f"{spec.path}.ports[{i}]" if spec.path else f"ports[{i}]", f"bridge {spec.name!r}"
        if manager.startswith("ifupdown"):
            raise InvalidOption(
                option,
                f"{port!r} has its addresses from {manager}, which would give them back to it; write 'inet manual' "
                "there instead (it keeps them until the next boot, and from this run on the bridge has them)",
                owner,
            )
        raise InvalidOption(
            option,
            f"{port!r} is managed by {manager}, which would give its addresses back to it; let that make the bridge, "
            "and use mode: bridged",
            owner,
        )


def names_in(text: str | None) -> list[str]:
    """The links that a file of ours names."""
    lists = (names.replace("interface-name:", "") for names in _NAMES.findall(text or ""))
    return [one for names in lists for one in re.split(r"[;\s]", names) if one and one not in _TAPS]


def plan_files(wanted: Sequence[BridgeSpec], purge: bool, managers: Managers) -> list[ManagersChange]:
    """The files as they shall be; those of bridges that a run does not name stay in them. Pure."""
    changes = []
    taps = [taps for taps in _TAPS if not any(fnmatch(name, taps) for name in managers.claims)]
    for path, before in managers.files.items():
        listed = managers.files.get(_OF_TAPS.get(path, path))
        names: set[str] = set() if purge else set(names_in(listed))
        for spec in wanted:
            names -= {spec.name}
            names |= {spec.name, *spec.ports} if spec.state == "present" else set()
        after = _text(path, [*sorted(names), *taps]) if names else None
        if after and path in _OF_TAPS:
            after = _other_taps(path, managers)
        if before != after:
            action = DELETE if after is None else CREATE if before is None else CHANGE
            changes.append(ManagersChange(action, f"file /{path}", before or "", after or "", "", path, after))
    return changes


def _text(path: str, names: Sequence[str]) -> str:
    if path == _NETWORK_MANAGER:
        return f"{_HEADER}[keyfile]\nunmanaged-devices+={';'.join(f'interface-name:{name}' for name in names)}\n"
    return f"{_HEADER}[Match]\nName={' '.join(names)}\n\n[Link]\nUnmanaged=yes\n"


def _other_taps(path: str, managers: Managers) -> str | None:
    """All taps but those that somebody's configuration names; None where it takes them by their driver."""
    named = sorted(name for name in managers.claims if name.strip("*"))
    if path == _UDEV_TAPS:
        named = [name for name in named if _PATTERN.fullmatch(name)]
        but = [f'ENV{{INTERFACE}}!="{"|".join(named)}"'] if named else []
        # ARPHRD_ETHER (include/uapi/linux/if_arp.h), which a tap is and a tun is not.
        match = ['ACTION!="remove"', 'SUBSYSTEM=="net"', 'ATTR{tun_flags}=="?*"', 'ATTR{type}=="1"', *but]
        return f'{_HEADER}{", ".join(match)}, ENV{{NM_UNMANAGED}}="1"\n'
    if managers.taps:
        return None
    but = [f"Name=!{' '.join(named)}"] if named else []
    return _HEADER + "\n".join(["[Match]", "Driver=tun", "Type=ether", *but, "", "[Link]", "Unmanaged=yes", ""])
