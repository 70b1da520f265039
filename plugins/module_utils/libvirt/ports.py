# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of a network that libvirt restarts: libvirt deletes the bridge, and does not attach the guests again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..kernel.link_changes import AttachPort, SetLink, Step, apply_steps
from ..kernel.links import Link, read_links
from ..libvirt_xml.parse import parse
from .connection import Driver


@dataclass(frozen=True)
class AttachedPorts:
    """The links on a bridge, and the ports of libvirt's guests as XML."""

    links: Sequence[str] = ()
    guests: Sequence[str] = ()


def attached_ports(driver: Driver, network: str) -> AttachedPorts:
    """The ports on the bridge of a running network; none if it has no bridge."""
    name = _running_bridge(driver, network)
    if name is None:
        return AttachedPorts()
    return AttachedPorts([link.name for link in read_links().values() if link.master == name], driver.ports(network))


def _running_bridge(driver: Driver, network: str) -> str | None:
    running = driver.networks().get(network)
    bridge = None if running is None or not running.active else parse(running.live).find("bridge")
    return None if bridge is None else str(bridge.get("name", ""))


def reattach_ports(driver: Driver, network: str, ports: AttachedPorts) -> None:
    """Attach the ports again that still exist and are on no other bridge."""
    name = _running_bridge(driver, network)
    links = read_links()
    link = None if name is None else links.get(name)
    if link is not None:
        free = [name for name in ports.links if name in links and not links[name].master]
        apply_steps(attach_steps(link, free))
        driver.reclaim_ports(network, ports.guests)


def attach_steps(bridge: Link, ports: Sequence[str]) -> list[Step]:
    """The steps that attach ports to a bridge.

    Spanning tree is off meanwhile: it would block a new port for some seconds, but does not block a forwarding port.
    """
    steps: list[Step] = [AttachPort(port, bridge.name) for port in ports]
    if bridge.stp and steps:
        off, on = (SetLink(bridge.name, {"kind": "bridge", "br_stp_state": state}) for state in (0, 1))
        return [off, *steps, on]
    return steps
