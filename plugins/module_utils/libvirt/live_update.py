# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt changes in a network while it runs, so that neither it nor its guests have to be stopped for it.

Of a network whose bridge is not libvirt's, portgroups are all that networkUpdate() (src/network/bridge_driver.c) takes;
title, description and metadata have a call of their own (networkSetMetadata()).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

from ..libvirt_xml.parse import Element, children, etree, parse
from ..libvirt_xml.values import TITLES_SINCE, Version
from .connection import ADD, MODIFY, REMOVE, Driver
from .definition import meaning

_TEXTS = ("title", "description")


@dataclass(frozen=True)
class Update:
    """One call: ``what`` is ``portgroup``, ``title``, ``description`` or ``metadata``; ``name``: which."""

    command: str
    what: str
    name: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.command} {self.what} {self.name}".strip()

    def make(self, driver: Driver, network: str) -> None:
        """Tell libvirt; raises VirtnetError."""
        if self.what == "portgroup":
            driver.update_portgroup(network, self.command, self.text)
        else:
            driver.describe(network, self.what, self.text, self.name)


def updates(live: str, wanted: str, version: Version) -> Sequence[Update] | None:
    """The calls that turn a definition that runs into another, in order; None where they do not suffice. Pure."""
    before, after = parse(live), parse(wanted)
    found = [*_portgroups(before, after)]
    told = ["portgroup"]
    if version >= TITLES_SINCE:
        found = [*_texts(before, after), *_metadata(before, after), *found]
        told += [*_TEXTS, "metadata"]
    for root in (before, after):
        for child in [one for one in root if one.tag in told]:
            root.remove(child)
    return found if meaning(before) == meaning(after) else None


def _texts(before: Element, after: Element) -> Sequence[Update]:
    said = [(what, before.findtext(what) or "", after.findtext(what) or "") for what in _TEXTS]
    return [Update(MODIFY, what, text=new) for what, old, new in said if old != new]


def _metadata(before: Element, after: Element) -> Sequence[Update]:
    old, new = _by_space(before), _by_space(after)
    gone = [Update(REMOVE, "metadata", space) for space in old if space not in new]
    changed = [space for space in new if space not in old or meaning(new[space]) != meaning(old[space])]
    return [*gone, *(Update(MODIFY, "metadata", space, _bare(new[space])) for space in changed)]


def _by_space(root: Element) -> dict[str, Element]:
    """libvirt keeps one element of each namespace."""
    found = [child for metadata in root.iterfind("metadata") for child in children(metadata)]
    return {str(child.tag).partition("}")[0][1:]: child for child in found}


def _bare(element: Element) -> str:
    """An element whose own tag is in no namespace, as libvirt wants it, while what is inside it stays where it is."""
    prefixed = {prefix: uri for prefix, uri in element.nsmap.items() if prefix}
    bare = etree().Element(str(element.tag).partition("}")[2], dict(element.attrib), nsmap=prefixed)
    bare.text = element.text
    bare.extend(deepcopy(child) for child in element)
    return _text(bare)


def _portgroups(before: Element, after: Element) -> Sequence[Update]:
    """There is one default at any time: who was it gives way before the next takes over."""
    old, new = _named(before), _named(after)
    gone = [Update(REMOVE, "portgroup", name, _text(old[name])) for name in old if name not in new]
    changed = [name for name in new if name in old and meaning(new[name]) != meaning(old[name])]
    changed.sort(key=_is_default(new))
    added = sorted((name for name in new if name not in old), key=_is_default(new))
    return [
        *gone,
        *(Update(MODIFY, "portgroup", name, _text(new[name])) for name in changed),
        *(Update(ADD, "portgroup", name, _text(new[name])) for name in added),
    ]


def _named(root: Element) -> dict[str, Element]:
    return {str(group.get("name")): group for group in root.iterfind("portgroup")}


def _is_default(groups: dict[str, Element]) -> Callable[[str], bool]:
    return lambda name: bool(groups[name].get("default") == "yes")


def _text(group: Element) -> str:
    return str(etree().tostring(group, encoding="unicode", with_tail=False))
