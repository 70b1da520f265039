# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks and guests for the tests of rules, of either family; a subnet is written as 192.168.30 or fd00:a."""

from __future__ import annotations

import time
from typing import Any

from kernel.bed import Bed, Space


def subnet_of(subnet: str) -> str:
    """All of it, in CIDR notation."""
    return f"{subnet}::/64" if ":" in subnet else f"{subnet}.0/24"


def address_of(subnet: str, host: int) -> str:
    """The address of a host in it."""
    return f"{subnet}::{host}" if ":" in subnet else f"{subnet}.{host}"


def network(name: str, subnet: str, mode: str = "nat", **more: Any) -> dict[str, Any]:
    """A network on the bridge br-NAME."""
    return {"name": name, "bridge": f"br-{name}", "mode": mode, "subnets": [subnet_of(subnet)], **more}


def plug(bed: Bed, name: str, subnet: str, host: int = 2) -> Space:
    """A guest with a service, whose address can be used; the bridge is made with the first."""
    length = subnet_of(subnet).partition("/")[2]
    gateway = address_of(subnet, 1)
    if bed.link(f"br-{name}") is None:
        bed.task("bridge", [{"name": f"br-{name}", "addresses": [f"{gateway}/{length}"]}])
    guest = bed.guest(f"br-{name}", f"{address_of(subnet, host)}/{length}", gateway=gateway)
    guest.serve()
    if ":" in subnet:
        settle(bed.host, guest)
    return guest


def settle(*spaces: Space) -> None:
    """Wait until addresses have been found to be unique: until then none is a source (RFC 4862 section 5.4)."""
    end = time.monotonic() + 60
    while any(space.run("ip", "-6", "address", "show", "tentative") for space in spaces):
        assert time.monotonic() < end, "an address stays tentative"
        time.sleep(0.1)
