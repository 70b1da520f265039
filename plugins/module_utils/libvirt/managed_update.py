# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks with managed_by: libvirt: comparison of their definitions, and updates while they run.

libvirt completes a definition (UUID, MAC address, bridge, ports of NAT). So two definitions are equivalent if our model
reads the same options from them. For definitions that our model cannot read, such as pools of devices, digests are
stored: of what libvirt was given, and of what it made of that.
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
from ..core.files import File
from ..core.notes import as_record, read_object
from ..core.paths import Paths
from ..libvirt_xml.flat import without_defaults
from ..libvirt_xml.parse import Checker, Element, etree, parse, to_string
from ..libvirt_xml.read import read_network_options
from ..libvirt_xml.values import Version
from .connection import ADD, REMOVE, LibvirtNetwork
from .definition import add_mark, comparable, differs, registered_by_us, text_for_diff
from .live_update import LiveUpdate, live_updates

# Elements that libvirt adds to a definition and keeps.
_CHOSEN_BY_LIBVIRT = ("uuid", "mac", "bridge")

# Sections of virNetworkUpdate() (include/libvirt/libvirt-network.h) that are lists, and the paths of their elements.
# Those of DHCP belong to one <ip>.
_SECTIONS = {
    "dns-host": "dns/host",
    "dns-txt": "dns/txt",
    "dns-srv": "dns/srv",
    "forward-interface": "forward/interface",
}
_IP_SECTIONS = {"ip-dhcp-host": "dhcp/host", "ip-dhcp-range": "dhcp/range"}


@dataclass(frozen=True)
class DefinitionDigests:
    """Digests of a definition as given by the user, as stored by libvirt, and of the running network."""

    given: str = ""
    stored: str = ""
    live: str = ""


def digest(xml: str) -> str:
    """The digest of a definition; it does not depend on order and white space."""
    return hashlib.sha256(text_for_diff(xml).encode()).hexdigest()


def _path(paths: Paths) -> str:
    return os.path.join(paths.state, "libvirt.json")


def read_digests(paths: Paths) -> dict[str, DefinitionDigests]:
    """The stored digests, by name of the network."""
    try:
        stored = read_object(_path(paths))
        return {name: as_record(DefinitionDigests, digests) for name, digests in stored.items()}
    except ValueError:
        # Without digests libvirt is given the same definition once more.
        return {}


def digests_file(digests: Mapping[str, DefinitionDigests], paths: Paths) -> File:
    """The file that stores the digests."""
    text = json.dumps({name: vars(of_network) for name, of_network in sorted(digests.items())}, indent=2)
    return File(_path(paths), f"{text}\n" if digests else None)


def complete_definition(name: str, xml: str, network: LibvirtNetwork | None) -> str:
    """The definition that libvirt is given: with the values that libvirt chose before.

    A network that libvirt did not have before gets our mark.
    """
    root = parse(xml)
    if not (root.findtext("name") or "").strip():
        element = etree().Element("name")
        element.text = name
        root.insert(0, element)
    if network is None or registered_by_us(network.xml):
        add_mark(root)
    if network is not None:
        _add_chosen(root, parse(network.xml))
    return to_string(root)


def _add_chosen(root: Element, stored: Element) -> None:
    """Add the values that libvirt chose to a definition that leaves them open."""
    for tag in _CHOSEN_BY_LIBVIRT:
        old, new = stored.find(tag), root.find(tag)
        if old is None:
            continue
        if new is None and (tag != "bridge" or _makes_bridge(root)):
            root.append(deepcopy(old))
        elif tag == "bridge" and new is not None and "%" in new.get("name", "%"):
            new.set("name", old.get("name", ""))


def _makes_bridge(root: Element) -> bool:
    forward = root.find("forward")
    return forward is None or forward.get("mode", "nat") in ("nat", "route", "open")


def is_equivalent(current: str, desired: str) -> bool:
    """Whether two definitions have the same meaning."""
    if not differs(current, desired):
        return True
    try:
        old, new = (without_defaults(read_network_options(parse(xml), Checker("xml"))) for xml in (current, desired))
    except InvalidOption:
        return False
    return old == new and _metadata(current) == _metadata(desired) and _ipv6(current) == _ipv6(desired)


def _ipv6(xml: str) -> bool:
    """Whether libvirt lets guests without its addresses reach each other by IPv6, as networks of ours always do."""
    return bool(parse(xml).get("ipv6") == "yes")


def _metadata(xml: str) -> Any:
    metadata = parse(xml).find("metadata")
    return None if metadata is None else comparable(metadata)


def managed_live_updates(live: str, desired: str, version: Version) -> Sequence[LiveUpdate] | None:
    """The calls that give a running network the desired definition; None where they do not suffice. Pure."""
    before, after = parse(live), parse(desired)
    updates = [*_take_section_updates(before, after)]
    live_rest, desired_rest = to_string(before), to_string(after)
    if is_equivalent(live_rest, desired_rest):
        return updates
    others = live_updates(live_rest, desired_rest, version)
    return None if others is None else [*updates, *others]


def _take_section_updates(before: Element, after: Element) -> Iterator[LiveUpdate]:
    """The updates of lists; the elements of these lists are removed from both definitions."""
    for section, path in _SECTIONS.items():
        yield from _take_list_updates(before, after, section=section, path=path, parent=-1)
    pairs = zip(before.findall("ip"), after.findall("ip"))
    for parent, (old, new) in enumerate(pairs):
        for section, path in _IP_SECTIONS.items():
            yield from _take_list_updates(old, new, section=section, path=path, parent=parent)


def _take_list_updates(
    before: Element, after: Element, *, section: str, path: str, parent: int
) -> Iterator[LiveUpdate]:
    """The updates of one list, removals first, since an old element may conflict with a new one."""
    old, new = ([(repr(comparable(element)), element) for element in root.findall(path)] for root in (before, after))
    for command, elements, others in ((REMOVE, old, new), (ADD, new, old)):
        other_keys = {key for key, _element in others}
        for key, element in elements:
            if key not in other_keys:
                xml = to_string(element)
                yield LiveUpdate(command, section, xml, xml, parent)
    for _key, element in (*old, *new):
        element.getparent().remove(element)
    tag = path.partition("/")[0]
    for root in (before, after):
        # These containers mean nothing without children.
        for container in root.findall(tag) if tag in ("dns", "dhcp") else ():
            if not container.attrib and not len(container):
                root.remove(container)
