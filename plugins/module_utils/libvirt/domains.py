# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The links of libvirt's virtual machines, as the machines themselves see them.

What the host does to a tap does not reach the card of a machine; libvirt asks QEMU to tell it (``set_link``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import deepcopy
from typing import Any

from ..libvirt_xml.parse import Element, etree, parse
from .connection import Driver

UP, DOWN = "up", "down"


class Domains(Driver):
    """A connection to libvirt's driver for QEMU, open while inside ``with``."""

    uri = "qemu:///system"
    whom = "libvirt's driver for QEMU does not answer (libvirtd or virtqemud)"

    def set_links(self, taps: Collection[str], state: str) -> tuple[list[str], list[str]]:
        """Set the links of machines that run, where the host's end is one of ``taps``.

        Returns the taps of those that were set, and sentences on those that could not be. What has the state already is
        left out: what its owner has switched off is then not switched on afterwards.
        """

        def change() -> tuple[list[str], list[str]]:
            known = self._libvirt
            done, failed = [], []
            for domain in self._connection.listAllDomains(known.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                try:
                    for tap, xml in _with_link(parse(domain.XMLDesc(0)), taps, state):
                        domain.updateDeviceFlags(xml, known.VIR_DOMAIN_AFFECT_LIVE)
                        done.append(tap)
                except known.libvirtError as error:
                    failed.append(f"{domain.name()}: {error}")
            return done, failed

        answer: tuple[list[str], list[str]] = self._ask(f"libvirt does not set the links of its guests {state}", change)
        return answer


def _with_link(domain: Element, taps: Collection[str], state: str) -> Iterator[tuple[str, str]]:
    """The interfaces of a machine whose links have another state than the wanted one, with it."""
    for one in domain.iterfind("devices/interface"):
        target, link = one.find("target"), one.find("link")
        tap = "" if target is None else target.get("dev", "")
        now = UP if link is None else link.get("state", UP)
        if tap not in taps or now == state:
            continue
        changed: Any = deepcopy(one)
        if link is None:
            etree().SubElement(changed, "link", state=state)
        else:
            changed.find("link").set("state", state)
        yield tap, str(etree().tostring(changed, encoding="unicode", with_tail=False))
