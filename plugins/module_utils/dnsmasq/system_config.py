# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the system's dnsmasq reads when it starts, and what of that bears on a network of ours.

The files are followed as dnsmasq does (src/option.c, read_opts(), one_file() and case '7'); our own fragments
are left out, so that nothing is decided by what we wrote ourselves.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..core.command import run
from ..core.untrusted import read_untrusted_text
from ..dhcp.dnsmasq_syntax import Setting, read_arguments, read_lines

DEFAULT_FILE = "/etc/dnsmasq.conf"

# Lists of blocked domains have some ten megabytes.
_LARGEST_FILE = 512 * 1024 * 1024

WILDCARD = "wildcard"
BIND_INTERFACES = "bind-interfaces"
BIND_DYNAMIC = "bind-dynamic"

_OWN_START = "virtnet-"
_OWN_END = ".conf"


def fragment_file(network: str) -> str:
    """The name of the file of a network's fragment."""
    return f"{_OWN_START}{network}{_OWN_END}"


def fragment_network(file: str) -> str:
    """The network that a fragment's file is for."""
    return file[len(_OWN_START) : -len(_OWN_END)]


def is_fragment_file(name: str) -> bool:
    """Whether a file in the fragment directory is one of ours."""
    return name.startswith(_OWN_START) and name.endswith(_OWN_END) and len(name) > len(_OWN_START + _OWN_END)


class Reader(Protocol):
    """The files of the host, for reading only."""

    def text(self, path: str) -> str | None:
        """The content of a file, or None where there is none."""

    def names(self, folder: str) -> Sequence[str]:
        """The regular files of a directory; none where there is no directory."""

    def identity(self, path: str) -> Hashable:
        """Equal for two paths that lead to the same file; None where there is none."""

    def output(self, command: str) -> str:
        """What a command that the configuration names writes."""


class HostReader:
    """The files of the host that we run on."""

    def text(self, path: str) -> str | None:
        """The content of a file, or None where there is none; raises UnusableFile for one that would never end."""
        return "" if os.path.realpath(path) == os.devnull else read_untrusted_text(path, _LARGEST_FILE)

    def names(self, folder: str) -> Sequence[str]:
        """The regular files of a directory."""
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def identity(self, path: str) -> Hashable:
        """Device and inode."""
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino

    def output(self, command: str) -> str:
        """What a command writes; dnsmasq gives it to the shell, and so do we."""
        return run(["sh", "-c", command], check=False).stdout


@dataclass(frozen=True)
class Folder:
    """A conf-dir setting: which names of its directory are read."""

    setting: Setting
    own: bool

    def reads(self, name: str) -> bool:
        """Whether dnsmasq reads a file of this name."""
        if not name or name.startswith(".") or name.endswith("~") or (name.startswith("#") and name.endswith("#")):
            return False
        suffixes = [suffix for suffix in self.setting.fields[1:] if suffix]
        # "*" alone asks for nothing; a suffix never stands for a whole name.
        demanded = [suffix[1:] for suffix in suffixes if suffix.startswith("*") and suffix != "*"]
        refused = [suffix for suffix in suffixes if not suffix.startswith("*")]
        return (not demanded or _ends(name, demanded)) and not _ends(name, refused)


def _ends(name: str, suffixes: Sequence[str]) -> bool:
    return any(len(name) > len(suffix) and name.endswith(suffix) for suffix in suffixes)


@dataclass(frozen=True)
class Line:
    """A line of a file as it stands there."""

    text: str
    file: str
    number: int


@dataclass(frozen=True)
class Config:
    """What dnsmasq reads beside our own fragments."""

    program: str = "dnsmasq"
    arguments: tuple[str, ...] = ()
    main_file: str = DEFAULT_FILE
    own_folder: str = "/etc/dnsmasq.d"
    settings: tuple[Setting, ...] = ()
    folders: tuple[Folder, ...] = ()
    lines: tuple[Line, ...] = ()
    by_name: Mapping[str, Sequence[Setting]] = field(default_factory=dict, compare=False)

    def named(self, *names: str) -> list[Setting]:
        """The settings of these names, name after name, in the order in which they are read."""
        return [setting for name in names for setting in self.by_name.get(name, ())]

    @property
    def limits_interfaces(self) -> bool:
        """Whether dnsmasq serves only interfaces or addresses that are listed: then ours must be listed too."""
        return bool(self.named("interface", "listen-address")) or self.only_localhost

    @property
    def lists_addresses_only(self) -> bool:
        """Whether the list is one of addresses: then loopback is not on it by itself, as it is beside interfaces."""
        return bool(self.named("listen-address")) and not self.named("interface")

    @property
    def only_localhost(self) -> bool:
        """Whether local-service=host is in effect; any word on interfaces makes dnsmasq forget it."""
        # A second one is ignored after one on the command line, and elsewhere dnsmasq refuses it.
        first = self.named("local-service")[:1]
        return bool(first and first[0].value == "host") and not self.named(
            "interface", "listen-address", "except-interface", "auth-server"
        )

    @property
    def binding(self) -> str:
        """How dnsmasq binds its sockets."""
        for mode in (BIND_DYNAMIC, BIND_INTERFACES):
            if self.named(mode):
                return mode
        return WILDCARD

    @property
    def port(self) -> int:
        """The port of its DNS server; 0 for none."""
        first = self.named("port")[:1]
        text = (first[0].value or "") if first else ""
        return int(text) if text.isdecimal() else 53

    def listens_at(self, interface: str, address: str) -> bool:
        """Whether its DNS server takes an address of an interface for itself, or every one."""
        if self.only_localhost:
            return False
        if self.binding == WILDCARD or any(address in setting.fields for setting in self.named("listen-address")):
            return True
        if any(_matches(setting.fields, interface) for setting in self.named("except-interface")):
            return False
        listed = self.named("interface")
        return any(_matches(one.fields, interface) for one in listed) if self.limits_interfaces else True

    def vetoes(self, interface: str, address: str, *, dhcp: bool) -> list[Setting]:
        """The settings that keep dnsmasq off an interface, or DHCP off it, whatever a fragment says."""
        listed = any(address in setting.fields for setting in self.named("listen-address"))
        names = () if listed else ("except-interface",)
        found = [setting for setting in self.named(*names) if _matches(setting.fields, interface)]
        # auth-server=NAME,INTERFACE: that interface gets answers for the zone alone.
        for setting in self.named("auth-server"):
            places = [place.partition("/")[0] for place in setting.fields[1:]]
            if address in places or _matches(places, interface):
                found.append(setting)
        if dhcp:
            for setting in self.named("no-dhcp-interface", "no-dhcpv4-interface"):
                if _matches(setting.fields, interface):
                    found.append(setting)
            found += [setting for setting, known in self._ignores(interface) if not known]
        return found

    def ignores_unknown(self, interface: str) -> bool:
        """Whether dhcp-ignore=tag:!known is in effect for guests of an interface."""
        return any(known for _name, known in self._ignores(interface))

    def _ignores(self, interface: str) -> list[tuple[Setting, bool]]:
        """The dhcp-ignore settings that hold for every guest of an interface, and whether only for unknown ones."""
        ours = {interface, f"interface:{interface}"}
        found = []
        for setting in self.named("dhcp-ignore"):
            tags = [tag[4:] if tag.startswith(("tag:", "net:")) else tag for tag in setting.fields]
            if all(tag[1:] not in ours if tag.startswith("!") else tag in ours for tag in tags):
                found.append((setting, "!known" in tags))
        return found

    def reads_fragments(self) -> bool:
        """Whether fragments of ours would be read."""
        return any(folder.own and folder.reads(fragment_file("name")) for folder in self.folders)


def serves_ipv6(setting: Setting) -> bool:
    """Whether a dhcp-range is one of IPv6; tags have a colon too (src/option.c, case 'F')."""
    kinds = ("tag:", "set:", "net:", "interface:")
    return any(":" in text and not text.startswith(kinds) for text in setting.fields)


def _matches(names: Sequence[str], interface: str) -> bool:
    """dnsmasq's comparison of interface names: a trailing ``*`` stands for anything (util.c, wildcard_match())."""
    return any(interface.startswith(name[:-1]) if name.endswith("*") else interface == name for name in names if name)


def read_config(command: Sequence[str], reader: Reader, own_folder: str, default_file: str = DEFAULT_FILE) -> Config:
    """What dnsmasq reads when it is started by ``command``; ``own_folder`` is where our fragments are."""
    return _Walk(reader, own_folder).result(command, default_file)


class _Walk:
    """Follows a configuration from file to file and gathers what it says."""

    def __init__(self, reader: Reader, own_folder: str) -> None:
        self.reader = reader
        self.own_folder = os.path.normpath(own_folder)
        self.own_identity = reader.identity(own_folder)
        self.seen: set[Hashable] = set()
        self.settings: list[Setting] = []
        self.folders: list[Folder] = []
        self.lines: list[Line] = []

    def result(self, command: Sequence[str], default_file: str) -> Config:
        """Read everything in dnsmasq's order: the first -C of the command line comes last."""
        main_file: str | None = None
        kept: list[str] = []
        for argument in read_arguments(command[1:]):
            setting = argument.setting
            if setting.name == "conf-file" and main_file is None:
                main_file = setting.value or ""
                continue
            if not self.follow(setting) and setting.name != "test":
                kept += argument.words
        main_file = default_file if main_file is None else main_file
        self.file(main_file)
        by_name: dict[str, list[Setting]] = {}
        for setting in self.settings:
            by_name.setdefault(setting.name, []).append(setting)
        return Config(
            program=command[0] if command else "dnsmasq",
            arguments=tuple(kept),
            main_file=main_file,
            own_folder=self.own_folder,
            settings=tuple(self.settings),
            folders=tuple(self.folders),
            lines=tuple(self.lines),
            by_name=by_name,
        )

    def follow(self, setting: Setting) -> bool:
        """Take one setting in; whether it led to files, whose lines are gathered in its place."""
        self.settings.append(setting)
        if setting.name == "conf-file":
            self.file(setting.value or "")
        elif setting.name == "conf-dir" and setting.fields and setting.fields[0]:
            self.folder(setting)
        elif setting.name == "conf-script" and setting.value:
            self.content(self.reader.output(setting.value), f"the output of {setting.value}")
        return setting.name in ("conf-file", "conf-dir", "conf-script")

    def file(self, path: str) -> None:
        """One file, unless it was read before or is a fragment of ours."""
        if path in ("", "-"):
            return
        path = os.path.join("/", path)
        identity = self.reader.identity(path)
        if identity is None or identity in self.seen or self._is_own(path):
            return
        self.seen.add(identity)
        self.content(self.reader.text(path) or "", path)

    def content(self, content: str, origin: str) -> None:
        """The settings of a text."""
        rows = content.split("\n")
        for setting in read_lines(content, origin):
            row = Line(rows[setting.line - 1], origin, setting.line)
            if not self.follow(setting) and self.lines[-1:] != [row]:
                self.lines.append(row)

    def folder(self, setting: Setting) -> None:
        """The files of a conf-dir, in the order of their names."""
        path = os.path.join("/", setting.fields[0])
        folder = Folder(setting, self._is_own_folder(path))
        self.folders.append(folder)
        for name in sorted(self.reader.names(path)):
            if folder.reads(name):
                self.file(os.path.join(path, name))

    def _is_own_folder(self, path: str) -> bool:
        if os.path.normpath(path) == self.own_folder:
            return True
        return self.own_identity is not None and self.reader.identity(path) == self.own_identity

    def _is_own(self, path: str) -> bool:
        folder, name = os.path.split(path)
        return is_fragment_file(name) and self._is_own_folder(folder)
