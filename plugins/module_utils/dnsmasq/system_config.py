# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the system's dnsmasq reads when it starts, and what of that bears on a network of ours.

The files are followed as dnsmasq does (src/option.c, read_opts(), one_file() and case '7'); our own fragments
are left out, so that nothing is decided by what we wrote ourselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..dhcp.dnsmasq_syntax import Setting

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
