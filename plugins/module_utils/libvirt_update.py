# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt changes in a network while it runs, so that neither it nor its guests have to be stopped for it.

Of a network whose bridge is not libvirt's, portgroups are all that networkUpdate() (src/network/bridge_driver.c) takes;
title and description have a call of their own (networkSetMetadata()).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .libvirt_definition import meaning
from .libvirt_driver import ADD, MODIFY, REMOVE, Driver
from .libvirt_parse import Element, etree, parse

_TEXTS = ("title", "description")


@dataclass(frozen=True)
class Update:
    """One call: ``what`` is ``portgroup``, ``title`` or ``description``."""

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
            driver.describe(network, self.what, self.text)


def updates(live: str, wanted: str) -> Sequence[Update] | None:
    """The calls that turn a definition that runs into another, in order; None where they do not suffice. Pure."""
    before, after = parse(live), parse(wanted)
    found = [*_texts(before, after), *_portgroups(before, after)]
    for root in (before, after):
        for child in [one for one in root if one.tag in (*_TEXTS, "portgroup")]:
            root.remove(child)
    return found if meaning(before) == meaning(after) else None


def _texts(before: Element, after: Element) -> Sequence[Update]:
    said = [(what, before.findtext(what) or "", after.findtext(what) or "") for what in _TEXTS]
    return [Update(MODIFY, what, text=new) for what, old, new in said if old != new]


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
