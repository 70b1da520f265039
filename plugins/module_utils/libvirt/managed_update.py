# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that are libvirt's own: what has to be told to libvirt so that it has them as they shall be.

libvirt fills in what a definition leaves open (UUID, MAC address, bridge, ports of NAT). So two definitions are the
same where they mean the same in our model, whatever stands in them; of those that our model does not know, such as
pools of devices, it is remembered what libvirt has made of which.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidOption
from ..core.files import File, read_note
from ..core.paths import Paths
from ..libvirt_xml.flat import without_defaults
from ..libvirt_xml.parse import Checker, Element, etree, parse
from ..libvirt_xml.read import read_network_options
from ..libvirt_xml.values import Version
from .connection import ADD, REMOVE, Driver, Found
from .definition import differs, mark, meaning, registered_by_us, shape
from .live_update import Update, updates

# What libvirt chooses for itself, and keeps.
_CHOSEN = ("uuid", "mac", "bridge")

# Sections of virNetworkUpdate() (include/libvirt/libvirt-network.h) that are lists, and where they are. The DHCP ones
# are those of one <ip>.
SECTIONS = {
    "dns-host": "dns/host",
    "dns-txt": "dns/txt",
    "dns-srv": "dns/srv",
    "forward-interface": "forward/interface",
}
IP_SECTIONS = {"ip-dhcp-host": "dhcp/host", "ip-dhcp-range": "dhcp/range"}


@dataclass(frozen=True)
class SectionUpdate:
    """One element of a list that is added to a network that runs, or removed from it; ``parent``: of which <ip>."""

    command: str
    section: str
    xml: str
    parent: int = -1

    def __str__(self) -> str:
        return f"{self.command} {self.section} {self.xml}"

    def make(self, driver: Driver, network: str) -> None:
        """Tell libvirt; raises VirtnetError."""
        driver.update_section(network, self.command, self.section, self.parent, self.xml)


@dataclass(frozen=True)
class Made:
    """What libvirt has made of a definition: digests of what it was given, of what it stored, and of what ran."""

    given: str = ""
    stored: str = ""
    live: str = ""


def digest(xml: str) -> str:
    """A definition, however it is written."""
    return hashlib.sha256(shape(xml).encode()).hexdigest()


def _path(paths: Paths) -> str:
    return os.path.join(paths.state, "libvirt.json")


def read_made(paths: Paths) -> dict[str, Made]:
    """What is remembered, by name of the network."""
    try:
        found = read_note(_path(paths)) or {}
        return {name: Made(**one) for name, one in found.items()}
    except (ValueError, TypeError, AttributeError):
        # It only spares libvirt from being told again what it has.
        return {}


def made_file(made: Mapping[str, Made], paths: Paths) -> File:
    """The file that keeps it."""
    text = json.dumps({name: vars(one) for name, one in sorted(made.items())}, indent=2)
    return File(_path(paths), f"{text}\n" if made else None)


def completed(name: str, xml: str, found: Found | None) -> str:
    """What libvirt is given: with what it chose itself, and with our mark on what was not there before us."""
    root = parse(xml)
    if not (root.findtext("name") or "").strip():
        _put(root, "name", None).text = name
    if found is None or registered_by_us(found.xml):
        mark(root)
    for tag in _CHOSEN if found is not None else ():
        old, new = parse(found.xml if found is not None else xml).find(tag), root.find(tag)
        if old is None:
            continue
        if new is None and (tag != "bridge" or _makes_bridge(root)):
            root.append(deepcopy(old))
        elif tag == "bridge" and new is not None and "%" in new.get("name", "%"):
            new.set("name", old.get("name", ""))
    return str(etree().tostring(root, encoding="unicode"))


def _put(root: Element, tag: str, text: str | None) -> Element:
    element = etree().Element(tag)
    element.text = text
    root.insert(0, element)
    return element


def _makes_bridge(root: Element) -> bool:
    forward = root.find("forward")
    return forward is None or forward.get("mode", "nat") in ("nat", "route", "open")


def same(found: str, wanted: str) -> bool:
    """Whether two definitions mean the same."""
    if not differs(found, wanted):
        return True
    try:
        one, other = (without_defaults(read_network_options(parse(xml), Checker("xml"))) for xml in (found, wanted))
    except InvalidOption:
        return False
    return one == other and _metadata(found) == _metadata(wanted)


def _metadata(xml: str) -> Any:
    metadata = parse(xml).find("metadata")
    return None if metadata is None else meaning(metadata)


def is_stored(found: Found, wanted: str, given: str, made: Made) -> bool:
    """Whether libvirt has the definition."""
    return same(found.xml, wanted) or (made.given == given and made.stored == digest(found.xml))


def is_live(found: Found, wanted: str, given: str, made: Made) -> bool:
    """Whether the network that runs is the one that is wanted."""
    return same(found.live, wanted) or (made.given == given and made.live == digest(found.live))


def live_updates(live: str, wanted: str, version: Version) -> Sequence[Update | SectionUpdate] | None:
    """The calls that turn what runs into what is wanted; None where they do not suffice. Pure."""
    before, after = parse(live), parse(wanted)
    found = [*_sections(before, after)]
    left, goal = (str(etree().tostring(root, encoding="unicode")) for root in (before, after))
    if same(left, goal):
        return found
    more = updates(left, goal, version)
    return None if more is None else [*found, *more]


def _sections(before: Element, after: Element) -> Iterator[SectionUpdate]:
    """Differences of lists, which are taken out of both."""
    for section, path in SECTIONS.items():
        yield from _difference(before, after, section, path, -1)
    pairs = list(zip(before.findall("ip"), after.findall("ip")))
    for parent, (old, new) in enumerate(pairs):
        # libvirt takes out what stands in the way before it takes in the rest.
        for section, path in IP_SECTIONS.items():
            yield from _difference(old, new, section, path, parent)


def _difference(before: Element, after: Element, section: str, path: str, parent: int) -> Iterator[SectionUpdate]:
    old, new = ([(repr(meaning(one)), one) for one in root.findall(path)] for root in (before, after))
    for command, here, there in ((REMOVE, old, new), (ADD, new, old)):
        known = {key for key, _element in there}
        for key, element in here:
            if key not in known:
                yield SectionUpdate(command, section, _text(element), parent)
    for _key, element in (*old, *new):
        element.getparent().remove(element)
    for root in (before, after):
        _prune(root, path.partition("/")[0])


def _prune(root: Element, tag: str) -> None:
    """A container that says nothing without what was in it."""
    for container in root.findall(tag):
        if tag in ("dns", "dhcp") and not container.attrib and not len(container):
            root.remove(container)


def _text(element: Element) -> str:
    return str(etree().tostring(element, encoding="unicode", with_tail=False)).strip()
