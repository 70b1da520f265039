# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host as a run of the playbook sets it up, with an attacker among the guests of its networks.

    lab    the defaults                    attacker .2, victim .3
    apart  isolate_guests, own dnsmasq     attacker .2, victim .3
    other  the defaults                    a guest .2
    wide   more addresses than leases      a guest .2

The host's own dnsmasq serves all networks but ``apart``, which has its own. Both forward queries to the outside.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from kernel.dnsmasq_testbed import PROGRAM, Daemon, NamedNamespace
from kernel.frames import Nic
from kernel.guard_testbed import GuardTestbed
from kernel.nft_testbed import wait_for_addresses
from kernel.testbed import OUTSIDE, Namespace, script

OUTSIDE6 = "2001:db8::1"
SUBNETS = {"lab": "192.168.30", "apart": "192.168.31", "other": "192.168.32", "wide": "192.168.33"}
SUBNETS6 = {"lab": "fd00:a", "apart": "fd00:b"}

# The static host "kept" of each network.
STATIC_HOST_MACS = {name: bytes([0x52, 0x54, 0, 0xAA, 0, number]) for number, name in enumerate(SUBNETS)}
# Leases of the host's dnsmasq, which has 1000 of them by default.
MAX_LEASES = 30
# What the server outside resolves. The address is none of RFC 5737: dnsmasq treats those as private.
PUBLIC_NAME, PUBLIC_ADDRESS, REBINDING, SILENT_DOMAIN = "www.good.test", "192.88.99.1", "rebind.test", "silent.test"
SILENT_SERVER = "198.51.100.99"


def network(name: str, **options: Any) -> dict[str, Any]:
    """The options of a network, as the user writes them."""
    subnet, subnet6 = SUBNETS[name], SUBNETS6.get(name)
    last = 200 if name == "wide" else 107
    dhcp = {
        "ranges": [{"start": f"{subnet}.100", "end": f"{subnet}.{last}"}],
        "hosts": [{"mac": STATIC_HOST_MACS[name].hex(":"), "name": "kept", "ip": f"{subnet}.50"}],
    }
    network = {"name": name, "ipv4": {"address": f"{subnet}.1/24", "dhcp": dhcp}, "dns": {"domain": f"{name}.test"}}
    if subnet6:
        network["ipv6"] = {"address": f"{subnet6}::1/64"}
    return {**network, **options}


NETWORKS = (
    network("lab"),
    network(
        "apart",
        isolate_guests=True,
        dns={"domain": "apart.test", "forwarders": [{"address": OUTSIDE}]},
        dnsmasq={"options": ["stop-dns-rebind", "dhcp-ignore=tag:!known"]},
    ),
    network("other"),
    network("wide"),
)


class AttackTestbed(GuardTestbed):
    """The whole testbed. Guests have fixed addresses, so that they need not wait for leases."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.host_dns = NamedNamespace(self.host.name)
        self.outside.serve()
        self._outside_has_ipv6()
        config = f"bind-dynamic\ninterface=lo\nserver={OUTSIDE}\ndhcp-lease-max={MAX_LEASES}\nlog-dhcp\n"
        self.daemon = Daemon(self.host_dns, root, config)
        self.silence = self._server_that_never_answers()
        server = root / "outside"
        server.mkdir()
        self.upstream = Daemon(
            NamedNamespace(self.outside.name),
            server,
            f"address=/{PUBLIC_NAME}/{PUBLIC_ADDRESS}\naddress=/{REBINDING}/{SUBNETS['lab']}.1\n"
            f"server=/{SILENT_DOMAIN}/{SILENT_SERVER}#5353\ndns-forward-max=100000\n",
            (),
        )

    def _outside_has_ipv6(self) -> None:
        self.outside.run("ip", "address", "add", f"{OUTSIDE6}/64", "dev", "eth0", "nodad")
        self.host.run("ip", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad")

    def _server_that_never_answers(self) -> Any:
        self.outside.run("ip", "address", "add", f"{SILENT_SERVER}/32", "dev", "lo")
        process = self.outside.start(*script("silent_udp_service"), SILENT_SERVER, "5353")
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    def start(self) -> None:
        """Does what a run of the playbook does, and then connects the guests."""
        self.upstream.restart()
        self.daemon.restart()
        definitions = self.run_playbook(*NETWORKS)
        self.daemon.converge(*definitions["fragments"])
        self.guests = {name: self._guests(name) for name in SUBNETS}
        wait_for_addresses(self.host, self.outside, *(nic.namespace for nics in self.guests.values() for nic in nics))
        # The next run isolates the ports that were connected meanwhile.
        self.run_playbook(*NETWORKS)

    def _guests(self, name: str) -> list[Nic]:
        return [Nic.of(self._guest(name, number)) for number in ((2, 3) if name in SUBNETS6 else (2,))]

    def _guest(self, name: str, number: int) -> Namespace:
        subnet, subnet6 = SUBNETS[name], SUBNETS6.get(name)
        guest = self.add_guest(f"vn-{name}", f"{subnet}.{number}/24", f"{subnet}.1")
        if subnet6:
            guest.run("ip", "address", "add", f"{subnet6}::{number}/64", "dev", "eth0", "nodad")
            guest.run("ip", "route", "replace", "default", "via", f"{subnet6}::1")
        return guest

    def bridge_mac(self, name: str) -> str:
        """The MAC address that an honest guest uses for its gateway."""
        return str(self.link(f"vn-{name}")["address"])

    def start_rogue_dhcp(self, name: str) -> tuple[subprocess.Popen[str], Path]:
        """The attacker runs an ordinary DHCP server; the requests that it receives are logged to the returned file."""
        log = self.root / f"rogue-{name}"
        subnet = SUBNETS[name]
        process = self.guests[name][0].namespace.start(
            PROGRAM, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping", "--leasefile-ro",
            "--pid-file=", "--user=root", f"--log-facility={log}", "--log-dhcp", "--dhcp-authoritative",
            f"--dhcp-range={subnet}.66,{subnet}.99,255.255.255.0,1h",
        )  # fmt: skip
        return process, log

    def close(self) -> None:
        self.daemon.private.close()
        self.daemon.stop()
        self.upstream.stop()
        super().close()
