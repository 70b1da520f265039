# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of the system's dnsmasq, without our own fragments, and what it means for our networks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..dhcp.dnsmasq_syntax import Setting

DEFAULT_FILE = "/etc/dnsmasq.conf"

WILDCARD = "wildcard"
BIND_INTERFACES = "bind-interfaces"
BIND_DYNAMIC = "bind-dynamic"

_PREFIX = "virtnet-"
_SUFFIX = ".conf"


def fragment_file(network: str) -> str:
    """The file name of the fragment of a network."""
    return f"{_PREFIX}{network}{_SUFFIX}"


def fragment_network(file: str) -> str:
    """The network of a fragment, from its file name."""
    return file[len(_PREFIX) : -len(_SUFFIX)]


def is_fragment_file(name: str) -> bool:
    """Whether a file in the folder of fragments is one of ours."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX) and len(name) > len(_PREFIX + _SUFFIX)


@dataclass(frozen=True)
class Folder:
    """A conf-dir setting: which files of its folder are read. ``own``: it is the folder of our fragments."""

    setting: Setting
    own: bool

    def reads(self, name: str) -> bool:
        """Whether dnsmasq reads a file of this name."""
        if not name or name.startswith(".") or name.endswith("~") or (name.startswith("#") and name.endswith("#")):
            return False
        suffixes = [suffix for suffix in self.setting.fields[1:] if suffix]
        # "*" alone has no effect; a suffix never matches a whole name.
        required = [suffix[1:] for suffix in suffixes if suffix.startswith("*") and suffix != "*"]
        ignored = [suffix for suffix in suffixes if not suffix.startswith("*")]
        return (not required or _ends_with(name, required)) and not _ends_with(name, ignored)


def _ends_with(name: str, suffixes: Sequence[str]) -> bool:
    return any(len(name) > len(suffix) and name.endswith(suffix) for suffix in suffixes)


@dataclass(frozen=True)
class Line:
    """A line of a file, with its place; ``network``: whose fragment the file is."""

    text: str
    file: str
    number: int
    network: str = ""


def lines_of(path: str, content: str, network: str = "") -> list[Line]:
    """The lines of a file."""
    return [Line(text, path, number, network) for number, text in enumerate(content.splitlines(), 1)]


@dataclass(frozen=True)
class Config:
    """All that dnsmasq reads but our own fragments.

    ``arguments`` are the options of its command line but those that name files. ``lines`` are the lines of all files,
    in the order in which they are read.
    """

    program: str = "dnsmasq"
    arguments: tuple[str, ...] = ()
    main_file: str = DEFAULT_FILE
    own_folder: str = "/etc/dnsmasq.d"
    settings: tuple[Setting, ...] = ()
    folders: tuple[Folder, ...] = ()
    lines: tuple[Line, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[Setting]]:
        """The settings by their names, in the order in which they are read."""
        settings: dict[str, list[Setting]] = {}
        for setting in self.settings:
            settings.setdefault(setting.name, []).append(setting)
        return settings

    def named(self, *names: str) -> list[Setting]:
        """The settings with these names: sorted by name as given, and then in the order in which they are read."""
        return [setting for name in names for setting in self.by_name.get(name, ())]

    @property
    def limits_interfaces(self) -> bool:
        """Whether dnsmasq serves only listed interfaces or addresses, so that ours must be listed too."""
        return bool(self.named("interface", "listen-address")) or self.only_localhost

    @property
    def lists_addresses_only(self) -> bool:
        """Whether only addresses are listed. With a list of interfaces, dnsmasq serves loopback too."""
        return bool(self.named("listen-address")) and not self.named("interface")

    @property
    def only_localhost(self) -> bool:
        """Whether local-service=host is in effect; any setting of interfaces overrides it."""
        # A second local-service is ignored after one on the command line, and refused anywhere else.
        first = self.named("local-service")[:1]
        return bool(first and first[0].value == "host") and not self.named(
            "interface", "listen-address", "except-interface", "auth-server"
        )

    @property
    def binding(self) -> str:
        """How dnsmasq binds its sockets: WILDCARD, BIND_INTERFACES or BIND_DYNAMIC."""
        for mode in (BIND_DYNAMIC, BIND_INTERFACES):
            if self.named(mode):
                return mode
        return WILDCARD

    def serves_dhcp(self, fragments: Iterable[str | None]) -> bool:
        """Whether dnsmasq gives leases, with these fragments of ours (their contents)."""
        texts = (text or "" for text in fragments)
        return bool(self.named("dhcp-range")) or any(
            line.startswith("dhcp-range=") for text in texts for line in text.splitlines()
        )

    @property
    def port(self) -> int:
        """The port of the DNS server; 0 if there is none."""
        first = self.named("port")[:1]
        text = (first[0].value or "") if first else ""
        return int(text) if text.isdecimal() else 53

    def listens_at(self, interface: str, address: str) -> bool:
        """Whether the DNS server binds to this address of an interface, or to every address."""
        if self.only_localhost:
            return False
        if self.binding == WILDCARD or any(address in setting.fields for setting in self.named("listen-address")):
            return True
        if any(_matches(setting.fields, interface) for setting in self.named("except-interface")):
            return False
        interfaces = self.named("interface")
        return not self.limits_interfaces or any(_matches(setting.fields, interface) for setting in interfaces)

    def excluding_settings(self, interface: str, address: str, *, dhcp: bool) -> list[Setting]:
        """The settings that exclude an interface, or with ``dhcp`` its DHCP; a fragment cannot override them."""
        address_listed = any(address in setting.fields for setting in self.named("listen-address"))
        names = () if address_listed else ("except-interface",)
        settings = [setting for setting in self.named(*names) if _matches(setting.fields, interface)]
        # auth-server=NAME,INTERFACE: dnsmasq answers on that interface for the zone alone.
        for setting in self.named("auth-server"):
            places = [place.partition("/")[0] for place in setting.fields[1:]]
            if address in places or _matches(places, interface):
                settings.append(setting)
        if dhcp:
            no_dhcp = self.named("no-dhcp-interface", "no-dhcpv4-interface")
            settings += [setting for setting in no_dhcp if _matches(setting.fields, interface)]
            settings += [setting for setting, unknown_only in self._ignores(interface) if not unknown_only]
        return settings

    def ignores_unknown(self, interface: str) -> bool:
        """Whether dnsmasq ignores guests of an interface that it does not know (dhcp-ignore=tag:!known)."""
        return any(unknown_only for _setting, unknown_only in self._ignores(interface))

    def _ignores(self, interface: str) -> list[tuple[Setting, bool]]:
        """The dhcp-ignore settings for all guests of an interface, each with whether it is for unknown guests only."""
        interface_tags = {interface, f"interface:{interface}"}
        settings = []
        for setting in self.named("dhcp-ignore"):
            tags = [tag[4:] if tag.startswith(("tag:", "net:")) else tag for tag in setting.fields]
            if all(tag[1:] not in interface_tags if tag.startswith("!") else tag in interface_tags for tag in tags):
                settings.append((setting, "!known" in tags))
        return settings

    def reads_fragments(self) -> bool:
        """Whether dnsmasq reads our fragments."""
        return any(folder.own and folder.reads(fragment_file("name")) for folder in self.folders)


def serves_ipv6(setting: Setting) -> bool:
    """Whether a dhcp-range is one of IPv6. Tags have a colon too (src/option.c, case 'F')."""
    tag_prefixes = ("tag:", "set:", "net:", "interface:")
    return any(":" in text and not text.startswith(tag_prefixes) for text in setting.fields)


def _matches(names: Sequence[str], interface: str) -> bool:
    """Whether an interface is one of ``names``, with a trailing ``*`` as wildcard (src/util.c, wildcard_match())."""
    return any(interface.startswith(name[:-1]) if name.endswith("*") else interface == name for name in names if name)
