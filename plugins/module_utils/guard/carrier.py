# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes the links of guests down for a moment, so that guests that watch their link request an address at once.

The peer of a veth sees the host's end go down. The card of a virtual machine does not: libvirt sets the link of its
machines. The links that are down are saved, so that a guard that starts after a kill brings them up.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterator

from ..core.command import run
from ..core.errors import VirtnetError
from ..core.files import File, write_volatile
from ..core.notes import read_note
from ..core.paths import Paths
from ..libvirt.connection import driver_installed
from ..libvirt.domains import DOWN, UP, Domains
from ..orchestration.restore import log_line

# Seconds that a guest's link stays down: systemd-networkd and NetworkManager ignore shorter losses.
_LOSS = 0.5


@contextlib.contextmanager
def links_down(ports: Collection[str], paths: Paths) -> Iterator[None]:
    """Keep the links of guests down for the block, and long enough that guests notice; logs what fails.

    ``ports``: the host's ends.
    """
    if not ports:
        yield
        return
    # Until it is known which machines' links go down, all of them are saved.
    machines = sorted(ports) if driver_installed(paths.root, "qemu") else []
    _save(ports, machines, paths)
    try:
        _set_ports(ports, DOWN)
        # Links of machines that were down before stay down.
        machines = _set_machines(ports, DOWN) if machines else []
        noticed = time.monotonic() + _LOSS
        _save(ports, machines, paths)
        yield
        time.sleep(max(0.0, noticed - time.monotonic()))
    finally:
        bring_up_saved(paths)


def bring_up_saved(paths: Paths) -> None:
    """Bring up the links that are saved as taken down."""
    try:
        saved = read_note(_file(paths))
        if saved is None:
            return
        ports, machines = list(saved["ports"]), list(saved["machines"])
    except (ValueError, KeyError, TypeError):
        ports = machines = []
    _set_ports(ports, UP)
    if machines:
        _set_machines(machines, UP)
    os.unlink(_file(paths))


def _save(ports: Collection[str], machines: Collection[str], paths: Paths) -> None:
    write_volatile(File(_file(paths), json.dumps({"ports": sorted(ports), "machines": list(machines)})))


def _file(paths: Paths) -> str:
    return os.path.join(paths.runtime, "links-down")


def _set_ports(ports: Collection[str], state: str) -> None:
    script = "".join(f"link set dev {port} {state}\n" for port in ports)
    try:
        run(["ip", "-force", "-batch", "-"], stdin=script, check=False)
    except VirtnetError as error:
        log_line(f"Could not set the guests' links {state}: {error}")


def _set_machines(taps: Collection[str], state: str) -> list[str]:
    try:
        with Domains() as domains:
            done, failed = domains.set_links(taps, state)
    except VirtnetError as error:
        log_line(f"Could not set the links of libvirt's guests {state}: {error}")
        return []
    for line in failed:
        log_line(f"Could not set the link of a guest of libvirt's {state}: {line}")
    return done
