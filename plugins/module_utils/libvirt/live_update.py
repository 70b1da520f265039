# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes that libvirt makes in a running network, so that neither the network nor its guests have to be stopped.

Of a network whose bridge libvirt did not make, networkUpdate() (src/network/bridge_driver.c) changes only portgroups.
Title, description and metadata have a call of their own (networkSetMetadata()).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

from ..libvirt_xml.parse import Element, children, etree, parse, to_string
from ..libvirt_xml.values import TITLES_SINCE, Version
from .connection import ADD, MODIFY, REMOVE, Driver
from .definition import comparable

_TEXTS = ("title", "description")
_METADATA = (*_TEXTS, "metadata")


@dataclass(frozen=True)
class LiveUpdate:
    """A call to libvirt. ``what``: ``title``, ``description``, ``metadata``, or a list of elements as virsh names it.

    ``name``: the namespace of the metadata, or how messages name the element; ``text``: the new value, '' to remove
    it, or the element as XML; ``parent``: the index of the <ip> that contains the element, -1 for none.
    """

    command: str
    what: str
    name: str = ""
    text: str = ""
    parent: int = -1

    def __str__(self) -> str:
        return f"{self.command} {self.what} {self.name}".strip()

    def make(self, driver: Driver, network: str) -> None:
        """Make the call to libvirt; raises VirtnetError."""
        if self.what in _METADATA:
            driver.set_metadata(network, self.what, self.text, self.name)
        else:
            driver.update(network, command=self.command, section=self.what, parent=self.parent, xml=self.text)


def live_updates(live: str, desired: str, version: Version) -> Sequence[LiveUpdate] | None:
    """The calls that give a running network the desired definition, in order; None where they do not suffice. Pure."""
    before, after = parse(live), parse(desired)
    updates = _portgroups(before, after)
    updatable: Sequence[str] = ("portgroup",)
    if version >= TITLES_SINCE:
        texts = [(what, before.findtext(what) or "", after.findtext(what) or "") for what in _TEXTS]
        changed = [LiveUpdate(MODIFY, what, text=new) for what, old, new in texts if old != new]
        updates = [*changed, *_metadata(before, after), *updates]
        updatable = ("portgroup", *_METADATA)
    for root in (before, after):
        for child in [child for child in root if child.tag in updatable]:
            root.remove(child)
    return updates if comparable(before) == comparable(after) else None


def _metadata(before: Element, after: Element) -> Sequence[LiveUpdate]:
    old, new = _by_namespace(before), _by_namespace(after)
    removed = [LiveUpdate(REMOVE, "metadata", uri) for uri in old if uri not in new]
    changed = [uri for uri in new if uri not in old or comparable(new[uri]) != comparable(old[uri])]
    return [*removed, *(LiveUpdate(MODIFY, "metadata", uri, _without_namespace(new[uri])) for uri in changed)]


def _by_namespace(root: Element) -> dict[str, Element]:
    """The elements of the metadata; libvirt keeps one element of each namespace."""
    elements = [child for metadata in root.iterfind("metadata") for child in children(metadata)]
    return {str(child.tag).partition("}")[0][1:]: child for child in elements}


def _without_namespace(element: Element) -> str:
    """An element whose own tag has no namespace, as libvirt requires; its descendants keep theirs."""
    prefixed = {prefix: uri for prefix, uri in element.nsmap.items() if prefix}
    bare = etree().Element(str(element.tag).partition("}")[2], dict(element.attrib), nsmap=prefixed)
    bare.text = element.text
    bare.extend(deepcopy(child) for child in element)
    return to_string(bare)


def _portgroups(before: Element, after: Element) -> Sequence[LiveUpdate]:
    """Updates of portgroups, in an order in which there is at most one default portgroup at any time."""
    old, new = _by_name(before), _by_name(after)
    updates = [(REMOVE, name, old[name]) for name in old if name not in new]
    ordered = sorted(new, key=lambda name: bool(new[name].get("default") == "yes"))
    changed = [name for name in ordered if name in old and comparable(new[name]) != comparable(old[name])]
    updates += [(MODIFY, name, new[name]) for name in changed]
    updates += [(ADD, name, new[name]) for name in ordered if name not in old]
    return [LiveUpdate(command, "portgroup", name, to_string(group)) for command, name, group in updates]


def _by_name(root: Element) -> dict[str, Element]:
    return {str(group.get("name")): group for group in root.iterfind("portgroup")}
