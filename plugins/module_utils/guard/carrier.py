# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests whose links are taken down for a moment, so that those that heed it ask for an address at once.

A veth's other end sees the host's end go down. The card of a virtual machine does not: its link is for libvirt to set,
where the machine is libvirt's. Which links are down is noted, for one who comes after a kill.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterator

from ..core.command import run
from ..core.errors import VirtnetError
from ..core.files import File, jot, read_note
from ..core.paths import Paths
from ..libvirt.connection import driver_installed
from ..libvirt.domains import DOWN, UP, Domains
from ..orchestration.restore import say

# So long a guest's link stays down for the guest to notice: systemd-networkd and NetworkManager ignore shorter ones.
_LOSS = 0.5


@contextlib.contextmanager
def taken_down(ports: Collection[str], paths: Paths) -> Iterator[None]:
    """Have the links of guests down meanwhile, and for a while at least; says what cannot be done.

    ``ports``: the host's ends.
    """
    if not ports:
        yield
        return
    # Until it is known which machines' links go down: all of them.
    machines = sorted(ports) if driver_installed(paths.root, "qemu") else []
    jot(File(_note(paths), json.dumps({"ports": sorted(ports), "machines": machines})))
    try:
        _set_ports(ports, DOWN)
        machines = _set_machines(ports, DOWN) if machines else []
        noticed = time.monotonic() + _LOSS
        # What was down before is not ours to bring up.
        jot(File(_note(paths), json.dumps({"ports": sorted(ports), "machines": machines})))
        yield
        time.sleep(max(0.0, noticed - time.monotonic()))
    finally:
        bring_back(paths)


def bring_back(paths: Paths) -> None:
    """Bring the links up that are noted as taken down."""
    try:
        noted = read_note(_note(paths))
        if noted is None:
            return
        ports, machines = list(noted["ports"]), list(noted["machines"])
    except (ValueError, KeyError, TypeError):
        ports = machines = []
    _set_ports(ports, UP)
    if machines:
        _set_machines(machines, UP)
    os.unlink(_note(paths))


def _note(paths: Paths) -> str:
    return os.path.join(paths.runtime, "links-down")


def _set_ports(ports: Collection[str], state: str) -> None:
    script = "".join(f"link set dev {port} {state}\n" for port in ports)
    try:
        run(["ip", "-force", "-batch", "-"], stdin=script, check=False)
    except VirtnetError as error:
        say(f"Could not set the guests' links {state}: {error}")


def _set_machines(taps: Collection[str], state: str) -> list[str]:
    try:
        with Domains() as domains:
            done, failed = domains.set_links(taps, state)
    except VirtnetError as error:
        say(f"Could not set the links of libvirt's guests {state}: {error}")
        return []
    for line in failed:
        say(f"Could not set the link of a guest of libvirt's {state}: {line}")
    return done
