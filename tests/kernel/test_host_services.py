# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who reaches which service of the host, at which of its addresses: a guest, the LAN, the host itself.

docs/docsite/rst/security.rst documents the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.nft import elements as nft_elements
from ansible_collections.virtnet.linux.plugins.module_utils.nft import script as nft_script
from kernel.dnsmasq_testbed import (
    LAB_FRAGMENT,
    LAN_ADDRESS,
    LOCAL,
    NAME,
    NAMED_ADDRESS,
    SILENT,
    DnsmasqTestbed,
    new_testbed,
    open_folder,
    resolve,
    serving,
)
from kernel.nft_testbed import network, plug
from kernel.testbed import UPLINK, Namespace, NamespaceTestbed

MODES = ("nat", "routed", "isolated", "open")
NETS = {mode: f"192.168.{30 + at}" for at, mode in enumerate(MODES)}


class ServiceTestbed(NamespaceTestbed):
    """A guest in a network of each mode; services on all addresses of the host: DNS at 53, another at 8000."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.task("nft", [network(mode, NETS[mode], mode) for mode in MODES])
        self.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        self.guests = {mode: plug(self, mode, NETS[mode]) for mode in MODES}
        for mode in MODES:
            self.outside.run("ip", "route", "add", f"{NETS[mode]}.0/24", "via", UPLINK)
        self.host.serve(53)
        self.host.serve(8000)
        # Another bridge of the host, such as a container bridge.
        self.host.run("ip", "link", "add", "theirs", "type", "bridge")
        self.host.run("ip", "address", "add", "172.17.0.1/24", "dev", "theirs")
        self.host.run("ip", "link", "set", "theirs", "up")
        self.container = self.add_guest("theirs", "172.17.0.2/24", gateway="172.17.0.1")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceTestbed]:
    testbed = ServiceTestbed(tmp_path_factory.mktemp("services"))
    yield testbed
    testbed.close()


def reached(namespace: Namespace, port: int) -> set[str]:
    """The addresses of the host that answer by TCP; UDP behaves the same."""
    addresses = {"uplink": UPLINK, **{mode: f"{NETS[mode]}.1" for mode in MODES}}
    names = {
        protocol: {name for name, address in addresses.items() if namespace.ask(address, port, protocol)}
        for protocol in ("tcp", "udp")
    }
    assert names["tcp"] == names["udp"]
    return names["tcp"]


@pytest.mark.parametrize("mode", MODES)
def test_what_a_guest_reaches_of_the_hosts_services(services: ServiceTestbed, mode: str) -> None:
    """A service on all addresses: reachable at the uplink and at its own network; elsewhere the mode decides."""
    expected = {
        "nat": {"uplink", "nat", "open"},
        "isolated": {"uplink", "isolated", "open"},
        "routed": {"uplink", "routed", "open"},
        "open": {"uplink", *MODES},
    }[mode]
    assert reached(services.guests[mode], 8000) == expected
    # Resolving outside names would be a way out of an isolated network.
    assert reached(services.guests[mode], 53) == ({mode} if mode == "isolated" else expected)


def test_what_the_lan_reaches_of_the_hosts_services(services: ServiceTestbed) -> None:
    """Others are reachable at every address; DNS, DHCP and TFTP not at those of our networks, but for mode open."""
    for namespace in (services.outside, services.container):
        assert reached(namespace, 8000) == {"uplink", *MODES}
        assert reached(namespace, 53) == {"uplink", "open"}


def test_the_host_reaches_all_of_its_services(services: ServiceTestbed) -> None:
    for port in (53, 8000):
        assert reached(services.host, port) == {"uplink", *MODES}


@pytest.fixture
def dns() -> Iterator[DnsmasqTestbed]:
    with new_testbed() as testbed:
        testbed.bridge()
        testbed.plug()
        testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
        testbed.guest.run("ip", "route", "replace", "default", "via", "192.168.100.1")
        testbed.lan.run("ip", "route", "add", "192.168.100.0/24", "via", LAN_ADDRESS)
        yield testbed


CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "stock": ("", {}),
    "loopback": ("interface=lo\n", {}),
    "bind-dynamic": ("interface=lo\nbind-dynamic\n", {}),
    "bind-interfaces": ("interface=lo\nbind-interfaces\n", {}),
    "private": ("interface=lo\nbind-interfaces\n", {"instance": "private"}),
}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("mode", ["nat", "routed", "isolated"])
def test_serving_a_network_opens_no_dnsmasq_on_the_uplink(dns: DnsmasqTestbed, config: str, mode: str) -> None:
    """The LAN keeps its services: at the host's LAN address, if the administrator's dnsmasq answers; nothing else."""
    text, options = CONFIGS[config]
    rules = nft_elements.Rules("lab", "virt0", mode, (), ("192.168.100.0/24",))
    with open_folder() as folder, serving(dns, folder, text, LOCAL) as daemon:
        before = resolve(dns.lan, LAN_ADDRESS)
        assert (before == NAMED_ADDRESS) == (config == "stock")
        script = folder / "rules"
        script.write_text(nft_script.render(nft_elements.merged([nft_elements.elements_of(rules)])))
        dns.host.run("nft", "-f", str(script))
        daemon.converge({**LAB_FRAGMENT, **options, "names": {"hosts": [{"ip": "192.168.100.9", "names": ["nas"]}]}})
        assert resolve(dns.guest, "192.168.100.1", "nas.virt.test") == "192.168.100.9"
        assert resolve(dns.lan, LAN_ADDRESS) == before
        for name in (NAME, "nas.virt.test"):
            assert resolve(dns.lan, "192.168.100.1", name) in ("refused", "none")
        # A guest reaches its own name server at the uplink address too, if one socket listens on all addresses; a guest
        # of an isolated network does not.
        elsewhere = NAMED_ADDRESS if config in ("stock", "loopback") else before
        assert resolve(dns.guest, LAN_ADDRESS) == (SILENT if mode == "isolated" else elsewhere)
        # There the LAN can resolve names of guests too.
        assert (resolve(dns.lan, LAN_ADDRESS, "nas.virt.test") == "192.168.100.9") == (config == "stock")
