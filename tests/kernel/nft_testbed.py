# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks and guests for the tests of rules, IPv4 or IPv6; a subnet is written as 192.168.30 or fd00:a."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernel.polling import wait_until
from kernel.testbed import Namespace, NamespaceTestbed


def serving_testbed(root: Path) -> Iterator[NamespaceTestbed]:
    """For a fixture: a testbed whose machine outside runs the service of probe.py."""
    testbed = NamespaceTestbed(root)
    testbed.outside.serve()
    yield testbed
    testbed.close()


def subnet_of(subnet: str) -> str:
    """The subnet in CIDR notation."""
    return f"{subnet}::/64" if ":" in subnet else f"{subnet}.0/24"


def address_of(subnet: str, host: int) -> str:
    """The address of a host in the subnet."""
    return f"{subnet}::{host}" if ":" in subnet else f"{subnet}.{host}"


def network(name: str, subnet: str, mode: str = "nat", **options: Any) -> dict[str, Any]:
    """Options of a network on the bridge br-NAME."""
    return {"name": name, "bridge": f"br-{name}", "mode": mode, "subnets": [subnet_of(subnet)], **options}


def plug(testbed: NamespaceTestbed, name: str, subnet: str, host: int = 2) -> Namespace:
    """A guest that runs the service of probe.py; the bridge is created with the first guest."""
    length = subnet_of(subnet).partition("/")[2]
    gateway = address_of(subnet, 1)
    if testbed.link(f"br-{name}") is None:
        testbed.task("bridge", [{"name": f"br-{name}", "addresses": [f"{gateway}/{length}"]}])
    guest = testbed.add_guest(f"br-{name}", f"{address_of(subnet, host)}/{length}", gateway=gateway)
    guest.serve()
    if ":" in subnet:
        wait_for_addresses(testbed.host, guest)
    return guest


def wait_for_addresses(*namespaces: Namespace) -> None:
    """Wait for duplicate address detection: a tentative address is no source of packets (RFC 4862 section 5.4)."""
    wait_until(lambda: not any(namespace.run("ip", "-6", "address", "show", "tentative") for namespace in namespaces))
