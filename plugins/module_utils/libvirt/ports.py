# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of a network that libvirt restarts: it deletes the bridge, and does not plug anybody in again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..kernel.link_changes import Enslave, SetLink, Step, take
from ..kernel.links import Link, read_links
from ..libvirt_xml.parse import parse
from .connection import Driver


@dataclass(frozen=True)
class Ports:
    """Who was on a bridge: links, and libvirt's guests as XML of their ports."""

    links: Sequence[str] = ()
    guests: Sequence[str] = ()


def ports_of(driver: Driver, network: str) -> Ports:
    """Who is on the bridge of a network that runs; nobody where it has none."""
    found = driver.networks().get(network)
    bridge = None if found is None or not found.active else parse(found.live).find("bridge")
    if bridge is None:
        return Ports()
    name = bridge.get("name", "")
    return Ports([link.name for link in read_links().values() if link.master == name], driver.ports(network))


def plug_in(driver: Driver, network: str, ports: Ports) -> None:
    """Plug them in again, those that are still there and free."""
    found = driver.networks().get(network)
    bridge = None if found is None or not found.active else parse(found.live).find("bridge")
    links = read_links()
    link = None if bridge is None else links.get(bridge.get("name", ""))
    if link is not None:
        free = [name for name in ports.links if name in links and not links[name].master]
        take(onto(link, free))
        driver.reclaim_ports(network, ports.guests)


def onto(bridge: Link, ports: Sequence[str]) -> list[Step]:
    """With spanning tree, a port would be deaf for some seconds; one that forwards already goes on forwarding."""
    steps: list[Step] = [Enslave(port, bridge.name) for port in ports]
    if bridge.stp and steps:
        off, on = (SetLink(bridge.name, {"kind": "bridge", "br_stp_state": state}) for state in (0, 1))
        return [off, *steps, on]
    return steps
