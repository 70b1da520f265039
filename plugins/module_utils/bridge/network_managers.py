# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network managers of the host: configured to ignore our bridges, and checked for bridges that they manage.

NetworkManager and systemd-networkd manage links that their configuration does not name, or that match a catch-all. So
each gets a file of ours that names our bridges, their host ports, and the taps of libvirt. ifupdown, netplan and wicked
manage only what they name.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch

from ..core import systemctl
from ..core.command import run
from ..core.files import File, read_text, write_files
from ..core.paths import Paths
from ..core.reconcile import DELETE, Change, Plan, text_change
from ..core.untrusted import UnusableFile, read_untrusted_text
from .linux_plan import removed_ports
from .reconciler import BridgeReconciler
from .spec import BridgeSpec
from .state import BridgeChange, BridgeState

# systemd-networkd writes a few lines for each link.
_LARGEST_STATE = 64 * 1024
_NETWORK_MANAGER = "etc/NetworkManager/conf.d/virtnet.conf"
# The first file that matches a link configures it (systemd.network(5)): this name sorts before those of others.
_NETWORKD = "etc/systemd/network/00-virtnet.network"
# The names that libvirt, and most others, give the taps of guests. systemd-networkd removes a link from its bridge when
# a catch-all matches it. A pattern is left out where a configuration of somebody else names such a link.
_TAPS = ("tap*", "vnet*")
# Taps of any other name (systemd.network(5): Driver=). A tun carries no Ethernet, so no guest has one.
_NETWORKD_TAPS = "etc/systemd/network/01-virtnet-taps.network"
# NetworkManager distinguishes a tun from a tap only by udev (NetworkManager.conf(5): NM_UNMANAGED). This also avoids
# that it gives up a tap while it runs, which can take the link down.
_UDEV_TAPS = "etc/udev/rules.d/86-virtnet-taps.rules"
# Files that name no bridges exist together with the file of the same manager that does.
_COMPANION = {_NETWORKD_TAPS: _NETWORKD, _UDEV_TAPS: _NETWORK_MANAGER}

# The folders of these files.
FOLDERS = tuple(dict.fromkeys(map(os.path.dirname, (_NETWORK_MANAGER, _NETWORKD, _UDEV_TAPS))))

_HEADER = "# Written by virtnet.linux; changes are lost. Bridges of ours, their ports, and guests' taps.\n"
_UNMANAGED_NAMES = re.compile(r"^(?:unmanaged-devices\+=|Name=)(.*)$", re.MULTILINE)

_FOLDERS = ("etc", "run", "usr/lib", "lib")
_NETWORK_FILES = tuple(f"{top}/systemd/network/*.network" for top in _FOLDERS)
_INTERFACES_FILES = ("etc/network/interfaces", "etc/network/interfaces.d/*")
_INTERFACES_STANZA = re.compile(r"^[ \t]*iface[ \t]+(\S+)", re.MULTILINE)
_NETDEV_NAME = re.compile(r"^[ \t]*Name[ \t]*=[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_MATCH_NAME = re.compile(r"^\[Match\][^\[]*?^[ \t]*Name[ \t]*=[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_MATCH_SECTION = re.compile(r"^\[Match\][^\[]*", re.MULTILINE)
_HAS_NAME = re.compile(r"^[ \t]*(?:Original)?Name[ \t]*=[ \t]*[^!\s]", re.MULTILINE)
_DRIVER = re.compile(r"^[ \t]*(?:Driver|Kind)[ \t]*=(.*)$", re.MULTILINE)
# A pattern of udev without any character that would end it.
_UDEV_PATTERN = re.compile(r"[A-Za-z0-9_.:*?-]+")
_ADDRESSED_STANZA = re.compile(r"^[ \t]*iface[ \t]+(\S+)[ \t]+inet6?[ \t]+(?!manual)\S+", re.MULTILINE)
_PROFILE_INTERFACE = re.compile(r"^interface-name[ \t]*=[ \t]*(\S+)[ \t]*$", re.MULTILINE)
# ifcfg(5) of wicked; the endings that its scripts ignore (/etc/sysconfig/network/functions of openSUSE).
_WICKED_FILES = "etc/sysconfig/network/ifcfg-*"
_WICKED_IGNORES = ("~", ".old", ".bak", ".orig", ".scpmbackup", ".rpmnew", ".rpmsave", ".rpmorig")
# nm-settings-ifcfg-rh(5), up to RHEL 9.
_NETWORK_SCRIPTS = "etc/sysconfig/network-scripts/ifcfg-*"
_SCRIPT_DEVICE = re.compile(r"""^[ \t]*DEVICE=["']?([^"'\s]+)""", re.MULTILINE)
# NetworkManager writes this into profiles for links that others created.
_GENERATED = "nm-generated=true"


@dataclass(frozen=True)
class Managers:
    """The network managers of the host.

    ``files``: our files with their content; None where one is missing although its manager is installed.
    ``claims``: by link or pattern, the manager whose configuration names it. ``taps``: a configuration of somebody else
    has systemd-networkd manage taps by their driver. ``uplinks``: by link, the manager of an uplink that may become a
    port.
    """

    files: Mapping[str, str | None] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    taps: bool = False
    uplinks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ManagedState:
    """The current state: bridges and network managers."""

    bridges: BridgeState
    managers: Managers


@dataclass(frozen=True)
class FileChange(Change):
    """A change of one of our files; ``content`` None deletes it."""

    path: str = ""
    content: str | None = None


@dataclass(frozen=True)
class ManagedPlan(Plan[Change]):
    """The plan of bridges, with the files that are written before it and those that are deleted after it."""

    bridges: Plan[BridgeChange] = field(default_factory=Plan)
    written: Sequence[FileChange] = ()
    deleted: Sequence[FileChange] = ()


class ManagedBridgeReconciler:
    """The reconciler of bridges and of the files that keep network managers away from them."""

    def __init__(self, bridges: BridgeReconciler, paths: Paths) -> None:
        self.bridges = bridges
        self.paths = paths

    def read(self) -> ManagedState:
        """Read the files and the links."""
        # Most runs have no Open vSwitch bridges, which are a reconciler of their own.
        concerned = self.bridges.specs or self.bridges.purge
        managers = read_managers(self.paths.root) if concerned else Managers({})
        ports = {port for spec in self.bridges.specs if spec.enslave_uplink for port in spec.ports}
        uplinks = read_uplinks(ports, self.paths.root, managers)
        return ManagedState(self.bridges.read(), replace(managers, uplinks=uplinks))

    def plan(self, current: ManagedState) -> ManagedPlan:
        """Managers ignore a link before it exists, and may manage it after it is deleted."""
        specs = list(self.bridges.specs)
        for spec in specs:
            _refuse_claimed(spec, current.managers)
            _refuse_managed_uplink(spec, current)
        bridges = self.bridges.plan(current.bridges)
        released = {name for one in specs if one.state == "present" for name in removed_ports(one, current.bridges)}
        files = plan_files(specs, self.bridges.purge, current.managers, released)
        written = [change for change in files if change.action != DELETE]
        deleted = [change for change in files if change.action == DELETE]
        return ManagedPlan(
            changes=[*written, *bridges.changes, *deleted],
            result=bridges.result,
            notes=bridges.notes,
            bridges=bridges,
            written=written,
            deleted=deleted,
        )

    def apply(self, plan: ManagedPlan) -> None:
        """Apply the changes in the order of the plan."""
        self._write(plan.written)
        if plan.bridges.changes:
            self.bridges.apply(plan.bridges)
        self._write(plan.deleted)

    def _write(self, changes: Sequence[FileChange]) -> None:
        """Write files, and make the managers that run read them."""
        root = self.paths.root
        write_files(File(os.path.join(root, change.path), change.content) for change in changes)
        paths = [change.path for change in changes]
        if _NETWORK_MANAGER in paths and _runs("NetworkManager", root, "run/NetworkManager"):
            run(["nmcli", "general", "reload", "conf"])
        if {_NETWORKD, _NETWORKD_TAPS} & set(paths) and _runs("systemd-networkd", root, "run/systemd/netif"):
            run(["networkctl", "reload"])
        if _UDEV_TAPS in paths and os.path.exists(os.path.join(root, "run/udev/control")):
            run(["udevadm", "control", "--reload"])
            run(["udevadm", "trigger", "--action=change", "--subsystem-match=net", "--attr-match=tun_flags"])


def _runs(service: str, root: str, runtime_folder: str) -> bool:
    """Whether a manager runs. Its runtime folder may outlive it, so systemd is asked too."""
    return os.path.exists(os.path.join(root, runtime_folder)) and systemctl.is_active(service)


def read_managers(root: str) -> Managers:
    """Which managers are installed, our files, and which links their configuration names."""
    # Also a manager that does not run: it would remove a guest's link from the bridge as soon as it is started.
    networkd = any(os.path.exists(os.path.join(root, top, "systemd/systemd-networkd")) for top in ("usr/lib", "lib"))
    network_manager = os.path.exists(os.path.join(root, "usr/sbin/NetworkManager"))
    installed = {_NETWORK_MANAGER: network_manager, _NETWORKD: networkd}
    installed.update({path: installed[companion] for path, companion in _COMPANION.items()})
    texts = {path: read_text(os.path.join(root, path)) for path in installed}
    files = {path: text for path, text in texts.items() if installed[path] or text is not None}
    return Managers(files, read_claims(root), _manages_taps(root))


def _files(root: str, patterns: Iterable[str]) -> list[str]:
    """The files of the host that match patterns, without ours."""
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(root, pattern))]
    return [path for path in paths if os.path.relpath(path, root) not in (_NETWORKD, _NETWORKD_TAPS, _NETWORK_MANAGER)]


def _manages_taps(root: str) -> bool:
    """Whether systemd-networkd manages taps by their driver alone; a section with a name as well is a claim."""
    files = _files(root, _NETWORK_FILES)
    sections = (section for path in files for section in _MATCH_SECTION.findall(read_text(path) or ""))
    lines = (line for section in sections if not _HAS_NAME.search(section) for line in _DRIVER.findall(section))
    return any(fnmatch(kind, word) for line in lines for word in line.split() for kind in ("tun", "tap"))


def read_claims(root: str) -> dict[str, str]:
    """Links and patterns that the configuration of a manager names: the manager, and the file."""
    claims: dict[str, str] = {}

    def read(manager: str, patterns: Iterable[str], expression: re.Pattern[str]) -> None:
        for path in sorted(_files(root, patterns)):
            text = read_text(path) or ""
            for names in expression.findall(text) if _GENERATED not in text else ():
                # A list that begins with ! names the links that do not match.
                for name in names.split() if not names.startswith("!") else ():
                    claims.setdefault(name, f"{manager} (/{os.path.relpath(path, root)})")

    read("ifupdown", _INTERFACES_FILES, _INTERFACES_STANZA)
    read("systemd-networkd", [f"{top}/systemd/network/*.netdev" for top in _FOLDERS], _NETDEV_NAME)
    read("systemd-networkd", _NETWORK_FILES, _MATCH_NAME)
    folders = ("etc", "run", "usr/lib")
    read("NetworkManager", [f"{top}/NetworkManager/system-connections/*" for top in folders], _PROFILE_INTERFACE)
    read("NetworkManager", [_NETWORK_SCRIPTS], _SCRIPT_DEVICE)
    for path in sorted(_files(root, [_WICKED_FILES])):
        if not path.endswith(_WICKED_IGNORES):
            claims.setdefault(os.path.basename(path)[len("ifcfg-") :], f"wicked (/{os.path.relpath(path, root)})")
    return claims


def _refuse_claimed(spec: BridgeSpec, managers: Managers) -> None:
    manager = managers.claims.get(spec.name)
    if manager and spec.state == "present":
        raise spec.error(
            "name",
            f"{spec.name!r} is managed by {manager}; choose another name for the bridge, or remove it from there first",
        )


def read_uplinks(ports: Collection[str], root: str, managers: Managers) -> dict[str, str]:
    """By link, the manager that a link gets its addresses from."""
    uplinks: dict[str, str] = {}
    for path in _files(root, _INTERFACES_FILES):
        addressed = _ADDRESSED_STANZA.findall(read_text(path) or "")
        uplinks.update({port: f"ifupdown (/{os.path.relpath(path, root)})" for port in ports if port in addressed})
    for port in ports:
        manager = uplinks.get(port) or _manager_of(port, root, managers)
        if manager:
            uplinks[port] = manager
    return uplinks


def _manager_of(port: str, root: str, managers: Managers) -> str:
    """The running manager that a link gets its addresses from, other than ifupdown; empty for none."""
    index = (read_text(os.path.join(root, "sys/class/net", port, "ifindex")) or "").strip()
    if index:
        # The file belongs to the user of systemd-networkd.
        try:
            state = read_untrusted_text(os.path.join(root, "run/systemd/netif/links", index), _LARGEST_STATE) or ""
        except UnusableFile:
            state = ""
        if "ADMIN_STATE=config" in state and _runs("systemd-networkd", root, "run/systemd/netif"):
            return "systemd-networkd"
        device = read_text(os.path.join(root, "run/NetworkManager/devices", index)) or ""
        if "connection-uuid=" in device and _runs("NetworkManager", root, "run/NetworkManager"):
            return "NetworkManager"
    for name, manager in managers.claims.items():
        if fnmatch(port, name) and not manager.startswith("ifupdown") and _runs(manager.partition(" ")[0], root, "run"):
            return manager
    return ""


def _refuse_managed_uplink(spec: BridgeSpec, current: ManagedState) -> None:
    links = current.bridges.links
    for i, port in enumerate(spec.ports):
        manager = current.managers.uplinks.get(port) if spec.enslave_uplink and spec.state == "present" else None
        if manager is None or port not in links or links[port].master == spec.name:
            continue
        # The bridge is gone, and the host has no network until it is created again.
        if spec.name in current.bridges.uplinks.records and not links[port].addresses:
            continue
        if manager.startswith("ifupdown"):
            raise spec.error(
                f"ports[{i}]",
                f"{port!r} has its addresses from {manager}, which would give them back to it; write 'inet manual' "
                "there instead (it keeps them until the next boot, and from this run on the bridge has them)",
            )
        raise spec.error(
            f"ports[{i}]",
            f"{port!r} is managed by {manager}, which would give its addresses back to it; let that make the bridge, "
            "and use mode: bridged",
        )


def names_in(text: str | None) -> list[str]:
    """The links that a file of ours names."""
    lists = (names.replace("interface-name:", "") for names in _UNMANAGED_NAMES.findall(text or ""))
    return [name for names in lists for name in re.split(r"[;\s]", names) if name and name not in _TAPS]


def plan_files(
    specs: Sequence[BridgeSpec], purge: bool, managers: Managers, released: Collection[str] = ()
) -> list[FileChange]:
    """The changes of our files. Bridges that a run does not name stay in them, ``released`` ports do not. Pure."""
    changes = []
    taps = [pattern for pattern in _TAPS if not any(fnmatch(name, pattern) for name in managers.claims)]
    for path, before in managers.files.items():
        names_file = managers.files.get(_COMPANION.get(path, path))
        names: set[str] = set() if purge else set(names_in(names_file)) - set(released)
        for spec in specs:
            names -= {spec.name}
            names |= {spec.name, *spec.ports} if spec.state == "present" else set()
        after = _text(path, [*sorted(names), *taps]) if names else None
        if after and path in _COMPANION:
            after = _other_taps_text(path, managers)
        if before != after:
            changes.append(text_change(FileChange, f"file /{path}", before, after, path=path, content=after))
    return changes


def _text(path: str, names: Sequence[str]) -> str:
    if path == _NETWORK_MANAGER:
        return f"{_HEADER}[keyfile]\nunmanaged-devices+={';'.join(f'interface-name:{name}' for name in names)}\n"
    return f"{_HEADER}[Match]\nName={' '.join(names)}\n\n[Link]\nUnmanaged=yes\n"


def _other_taps_text(path: str, managers: Managers) -> str | None:
    """The file for all taps but those that a configuration of somebody else names.

    None where that configuration has systemd-networkd manage taps by their driver.
    """
    named = sorted(name for name in managers.claims if name.strip("*"))
    if path == _UDEV_TAPS:
        named = [name for name in named if _UDEV_PATTERN.fullmatch(name)]
        exceptions = [f'ENV{{INTERFACE}}!="{"|".join(named)}"'] if named else []
        # ARPHRD_ETHER (include/uapi/linux/if_arp.h): a tap has this type, a tun has another.
        match = ['ACTION!="remove"', 'SUBSYSTEM=="net"', 'ATTR{tun_flags}=="?*"', 'ATTR{type}=="1"', *exceptions]
        return f'{_HEADER}{", ".join(match)}, ENV{{NM_UNMANAGED}}="1"\n'
    if managers.taps:
        return None
    exceptions = [f"Name=!{' '.join(named)}"] if named else []
    lines = ["[Match]", "Driver=tun", "Type=ether", *exceptions, "", "[Link]", "Unmanaged=yes", ""]
    return _HEADER + "\n".join(lines)
