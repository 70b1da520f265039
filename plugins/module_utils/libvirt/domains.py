# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The link state of libvirt's virtual machines, as the guest system sees it.

The state of a tap on the host does not reach the guest's network card; libvirt has QEMU set it (``set_link``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import deepcopy

from ..libvirt_xml.parse import Element, add_element, parse, to_string
from .connection import Driver

UP, DOWN = "up", "down"


class Domains(Driver):
    """A connection to libvirt's driver for QEMU, open inside ``with``."""

    uri = "qemu:///system"
    unreachable = "libvirt's driver for QEMU does not answer (libvirtd or virtqemud)"

    def set_links(self, taps: Collection[str], state: str) -> tuple[list[str], list[str]]:
        """Set the link state of running machines whose tap is one of ``taps``.

        Returns the taps that changed, and an error for each machine that failed. Links that already have the state are
        not in the result, so that a caller who restores them does not switch on what the owner switched off.
        """

        def change() -> tuple[list[str], list[str]]:
            lib = self._libvirt
            changed, errors = [], []
            for domain in self._connection.listAllDomains(lib.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                try:
                    for tap, xml in _interfaces_with_link(parse(domain.XMLDesc(0)), taps, state):
                        domain.updateDeviceFlags(xml, lib.VIR_DOMAIN_AFFECT_LIVE)
                        changed.append(tap)
                except lib.libvirtError as error:
                    errors.append(f"{domain.name()}: {error}")
            return changed, errors

        return self._call(f"libvirt does not set the links of its guests {state}", change)


def _interfaces_with_link(domain: Element, taps: Collection[str], state: str) -> Iterator[tuple[str, str]]:
    """The taps and new definitions of interfaces whose links have another state than this one."""
    for interface in domain.iterfind("devices/interface"):
        target, link = interface.find("target"), interface.find("link")
        tap = "" if target is None else target.get("dev", "")
        current_state = UP if link is None else link.get("state", UP)
        if tap not in taps or current_state == state:
            continue
        changed = deepcopy(interface)
        if link is None:
            add_element(changed, "link", state=state)
        else:
            changed.find("link").set("state", state)
        yield tap, to_string(changed)
