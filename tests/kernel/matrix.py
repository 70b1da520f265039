# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packet matrix: who reaches whom in each mode, tested with real packets. `python -m kernel.matrix` prints it."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .nft_testbed import wait_for_addresses
from .ovs_testbed import OpenvswitchTestbed
from .testbed import Namespace, NamespaceTestbed

# What policies make of a mode.
POLICIES: dict[str, dict[str, Any]] = {
    "nat, policy opens other network": {"allow": [{"network": "b"}]},
    "isolated, policy opens port 8000": {"allow": [{"network": "b", "protocol": "tcp", "port": 8000}]},
    "routed, policy denies the rest": {"default": "deny", "allow": [{"protocol": "udp"}]},
    "nat, policy closes the host": {"to_host": []},
}
MODES = ("nat", "nat, ipv6 routed", "routed", "isolated", "open", "nat, guests apart", *POLICIES)
PROTOCOLS = ("tcp", "udp", "icmp")
FAMILIES = ("IPv4", "IPv6")

# Addresses and prefixes by family. OFF_LINK is an address behind the outside.
NET = {"IPv4": "192.168.30.", "IPv6": "fd00:a::"}
OTHER = {"IPv4": "192.168.31.", "IPv6": "fd00:b::"}
OUTSIDE = {"IPv4": "203.0.113.1", "IPv6": "2001:db8::1"}
UPLINK = {"IPv4": "203.0.113.2", "IPv6": "2001:db8::2"}
OFF_LINK = {"IPv4": "198.51.100.1", "IPv6": "2001:db8:f::1"}
LENGTH = {"IPv4": 24, "IPv6": 64}

FLOWS = (
    "guest -> sibling",
    "guest -> host",
    "guest -> host's uplink address",
    "guest -> host's address on other network",
    "guest -> guest of other network",
    "guest -> outside, on-link",
    "guest -> outside, off-link",
    "host -> guest",
    "guest of other network -> guest",
    "outside, on-link -> guest",
    "outside, off-link -> guest",
)

Matrix = dict[tuple[str, str, str], bool]


def networks(mode: str) -> list[dict[str, Any]]:
    """The network a with this mode and policy, and the network b in mode nat."""
    network: dict[str, Any] = {
        "name": "a",
        "bridge": "br-a",
        "mode": mode.partition(",")[0],
        "subnets": ["192.168.30.0/24", "fd00:a::/64"],
        "isolate_guests": mode.endswith("apart"),
    }
    if mode in POLICIES:
        network["policy"] = POLICIES[mode]
    if mode.endswith("ipv6 routed"):
        network["nat"] = {"ipv6": False}
    return [network, {"name": "b", "bridge": "br-b", "subnets": ["192.168.31.0/24", "fd00:b::/64"]}]


class MatrixTopology:
    """The host, its guests and the outside, each with a service."""

    def __init__(self, testbed: NamespaceTestbed, mode: str) -> None:
        self.testbed = testbed
        desired = networks(mode)
        testbed.task("nft", desired)
        testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        bridges = [
            {"name": f"br-{n}", "addresses": [f"{net['IPv4']}1/24", f"{net['IPv6']}1/64"], "type": testbed.bridge_type,
             "isolate_guests": n == "a" and desired[0]["isolate_guests"]}
            for n, net in (("a", NET), ("b", OTHER))
        ]  # fmt: skip
        testbed.task("bridge", bridges)
        self.guest, self.sibling, self.other = (
            self._guest("a", NET, 2),
            self._guest("a", NET, 3),
            self._guest("b", OTHER, 2),
        )
        testbed.task("bridge", bridges)
        self._outside()
        for namespace in (self.guest, self.sibling, self.other, testbed.host, testbed.outside):
            namespace.serve()
        wait_for_addresses(*testbed.namespaces)

    def _guest(self, name: str, net: dict[str, str], number: int) -> Namespace:
        guest = self.testbed.add_guest(f"br-{name}", f"{net['IPv4']}{number}/24", gateway=f"{net['IPv4']}1")
        guest.run("ip", "address", "add", f"{net['IPv6']}{number}/64", "dev", "eth0", "nodad")
        guest.run("ip", "-6", "route", "add", "default", "via", f"{net['IPv6']}1")
        return guest

    def _outside(self) -> None:
        host, outside = self.testbed.host, self.testbed.outside
        for namespace, address in ((host, UPLINK["IPv6"]), (outside, OUTSIDE["IPv6"])):
            namespace.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        host.run("ip", "-6", "route", "add", "default", "via", OUTSIDE["IPv6"])
        for family, length in (("IPv4", 32), ("IPv6", 128)):
            outside.run("ip", "address", "add", f"{OFF_LINK[family]}/{length}", "dev", "lo")
            for net, bits in ((NET, LENGTH[family]), (OTHER, LENGTH[family])):
                subnet = f"{net[family]}0/{bits}" if family == "IPv4" else f"{net[family]}/{bits}"
                outside.run("ip", "route", "add", subnet, "via", UPLINK[family])

    def is_answered(self, flow: str, family: str, protocol: str) -> bool:
        """Whether the client of a flow gets a reply."""
        net, other = NET[family], OTHER[family]
        client, target, source = {
            "guest -> sibling": (self.guest, f"{net}3", ""),
            "guest -> host": (self.guest, f"{net}1", ""),
            "guest -> host's uplink address": (self.guest, UPLINK[family], ""),
            "guest -> host's address on other network": (self.guest, f"{other}1", ""),
            "guest -> guest of other network": (self.guest, f"{other}2", ""),
            "guest -> outside, on-link": (self.guest, OUTSIDE[family], ""),
            "guest -> outside, off-link": (self.guest, OFF_LINK[family], ""),
            "host -> guest": (self.testbed.host, f"{net}2", ""),
            "guest of other network -> guest": (self.other, f"{net}2", ""),
            "outside, on-link -> guest": (self.testbed.outside, f"{net}2", OUTSIDE[family]),
            "outside, off-link -> guest": (self.testbed.outside, f"{net}2", OFF_LINK[family]),
        }[flow]
        if protocol == "icmp":
            from_source = ["-I", source] if source else []
            return " 0% packet loss" in client.run("ping", "-c1", "-W1", *from_source, target, check=False)
        return bool(client.ask(target, protocol=protocol, source=source))


def measure(mode: str, kind: type[NamespaceTestbed] = NamespaceTestbed) -> Matrix:
    """The matrix of one mode, on Linux bridges or on those of Open vSwitch."""
    cells = [(flow, family, protocol) for flow in FLOWS for family in FAMILIES for protocol in PROTOCOLS]
    with tempfile.TemporaryDirectory() as folder:
        testbed = kind(Path(folder))
        try:
            topology = MatrixTopology(testbed, mode)
            with ThreadPoolExecutor(8) as pool:
                return dict(zip(cells, pool.map(lambda cell: topology.is_answered(*cell), cells), strict=True))
        finally:
            testbed.close()


def show(mode: str, matrix: Matrix) -> str:
    """The matrix as a table."""
    columns = [(family, protocol) for family in FAMILIES for protocol in PROTOCOLS]
    lines = [f"{mode:42} " + "  ".join(f"{family} {protocol:4}" for family, protocol in columns)]
    for flow in FLOWS:
        cells = ("yes" if matrix[flow, family, protocol] else "-" for family, protocol in columns)
        lines.append(f"  {flow:40} " + "  ".join(f"{cell:9}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    """Print the matrix of all modes, or of the given ones; `--openvswitch`: on bridges of Open vSwitch."""
    words = sys.argv[1:]
    kind: type[NamespaceTestbed] = OpenvswitchTestbed if words[:1] == ["--openvswitch"] else NamespaceTestbed
    for mode in words[kind is OpenvswitchTestbed :] or MODES:
        print(show(mode, measure(mode, kind)), "\n", flush=True)


if __name__ == "__main__":
    main()
