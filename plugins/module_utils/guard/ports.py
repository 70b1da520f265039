# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard does about ports itself, without a child process, since it must be quick.

It saves the ports of bridges, so that a bridge that is lost gets them back; it isolates guests that are plugged in, or
sets their ports to hairpin mode; and it logs macvtaps that are lost. A run that holds the lock goes first.
"""

from __future__ import annotations

import contextlib

from ..bridge import hairpin, isolation
from ..bridge.port_records import ports_record, read_ports, recorded_bridges
from ..bridge.state import DetachedPort
from ..core.errors import Locked, VirtnetError
from ..core.files import read_text, write_volatile
from ..core.lock import lock
from ..core.paths import Paths
from ..kernel import events, frame_filter
from .journal import Journal
from .lost_macvtaps import save_lost
from .view import View


def known_ports(view: View, paths: Paths) -> dict[str, dict[int, str]]:
    """The ports of each bridge by index: those of the view, else those that another guard or a run has saved."""
    saved = {
        bridge: {port.index: port.name for port in read_ports(bridge, paths)}
        for bridge in recorded_bridges(paths)
        if bridge not in view.ports
    }
    return {**saved, **view.ports}


def process_detached(view: View, paths: Paths) -> None:
    """Forget ports that were detached from their bridge, but none that was lost with its bridge.

    A run that creates a bridge again holds the lock until all its ports are back.
    """
    if not view.detached_candidates:
        return
    with contextlib.suppress(Locked), lock(paths.runtime, 0):
        for port, bridge in sorted(view.detached_candidates.items()):
            link = events.read_link(port)
            bridge_indexes = view.indexes_of(bridge)
            if link is not None and link.master in bridge_indexes:
                view.handle(link)
            elif link is not None and any(map(events.read_link, bridge_indexes)):
                view.forget_port(port)


def set_flags_of_new_ports(view: View, paths: Paths, journal: Journal) -> frozenset[str]:
    """Set the flags of guests' ports that were plugged into a bridge: isolation, or hairpin mode.

    Returns the parts to repair, since a flag could not be set.
    """
    failed = frozenset[str]()
    if not view.without_flags:
        return failed
    with contextlib.suppress(Locked), lock(paths.runtime, 0):
        ports, view.without_flags = view.without_flags, {}
        for port, bridge in sorted(ports.items()):
            link = events.read_link(port)
            if link is None or link.master not in view.indexes_of(bridge):
                continue
            try:
                if view.bridges[bridge].hairpin:
                    if hairpin.set_on_guest(link.name, link.index, bridge, paths):
                        journal.log(f"{link.name} is in hairpin mode on {bridge}.")
                elif isolation.mark_guest(link.name, bridge):
                    journal.log(f"{link.name} is isolated from the other guests of {bridge}.")
            except VirtnetError as error:
                flag = "set the hairpin mode of" if view.bridges[bridge].hairpin else "isolate"
                line = f"Cannot {flag} {link.name} on {bridge}: {error}."
                journal.log_if_changed(f"flag of {port}", line)
                failed |= view.part_of(bridge)
    return failed


def check_frames_of_new_ports(view: View, paths: Paths, journal: Journal) -> frozenset[str]:
    """Lead frames of guests' new ports to the filter of their bridge, and forget ports that have left it.

    Returns the parts to repair, since nft refused the change.
    """
    if not view.unfiltered:
        return frozenset()
    with contextlib.suppress(Locked), lock(paths.runtime, 0):
        new, view.unchecked = view.unchecked, {}
        stale, view.stale = view.stale, set()
        new = {port: bridge for port, bridge in new.items() if frame_filter.can_be_filtered(port)}
        try:
            if stale:
                frame_filter.remove_ports(stale, paths)
            checked = frame_filter.add_ports(new, paths) if new else {}
        except VirtnetError as error:
            ports = ", ".join(sorted({*new, *(port for port, _bridge in stale)}))
            journal.log_if_changed("frames", f"Cannot change whose frames are checked ({ports}): {error}.")
            bridges = {*new.values(), *(bridge for _port, bridge in stale)} & view.bridges.keys()
            return frozenset[str]().union(*map(view.part_of, bridges))
        for port, bridge in sorted(checked.items()):
            journal.log(f"The frames of {port} on {bridge} are checked.")
    return frozenset()


def report_lost_macvtaps(view: View, paths: Paths, journal: Journal) -> None:
    """Log macvtaps that were deleted with their bridge: the file that a guest has open is of no use any more."""
    candidates, view.lost_macvtaps = view.lost_macvtaps, []
    lost = [macvtap for macvtap, bridge in candidates if events.read_link(bridge) is None]
    for macvtap in lost:
        journal.log(macvtap.news)
    if lost:
        try:
            save_lost(lost, paths)
        except VirtnetError as error:
            journal.log_if_changed("lost macvtaps", f"Cannot save the lost macvtaps: {error}.")


def save_ports(view: View, paths: Paths, journal: Journal) -> None:
    """Save the ports of bridges where they have changed."""
    for bridge, ports in view.take_unsaved():
        file = ports_record(bridge, [DetachedPort(name, index) for name, index in ports], paths)
        try:
            if read_text(file.path) != file.content:
                write_volatile(file)
        except VirtnetError as error:
            view.unsaved.add(bridge)
            journal.log_if_changed("ports", f"Cannot save the ports of {bridge}: {error}.")
