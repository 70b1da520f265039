# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of a network that libvirt restarts: libvirt deletes the bridge, and does not attach the guests again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from ..kernel.link_changes import AttachPort, SetLink, Step, apply_steps
from ..kernel.links import Link, read_links
from .connection import Driver
from .managed import bridge_in


@contextlib.contextmanager
def ports_kept(driver: Driver, network: str) -> Iterator[None]:
    """Attach the ports of a running network again after its restart, if they still exist and are on no other bridge."""
    old_bridge = _running_bridge(driver, network)
    ports = [link.name for link in read_links().values() if link.master == old_bridge] if old_bridge else []
    guests = driver.ports(network) if old_bridge else []
    try:
        yield
    finally:
        new_bridge = _running_bridge(driver, network)
        links = read_links()
        if new_bridge in links:
            free = [name for name in ports if name in links and not links[name].master]
            apply_steps(attach_steps(links[new_bridge], free))
            driver.reclaim_ports(network, guests)


def _running_bridge(driver: Driver, network: str) -> str:
    running = driver.networks().get(network)
    return bridge_in(running.live) if running is not None and running.active else ""


def attach_steps(bridge: Link, ports: Sequence[str]) -> list[Step]:
    """The steps that attach ports to a bridge.

    Spanning tree is off meanwhile: it would block a new port for some seconds, but does not block a forwarding port.
    """
    steps: list[Step] = [AttachPort(port, bridge.name) for port in ports]
    if bridge.stp and steps:
        off, on = (SetLink(bridge.name, {"kind": "bridge", "br_stp_state": state}) for state in (0, 1))
        return [off, *steps, on]
    return steps
