# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""IPv6 from a real dnsmasq: advertisements heard by the kernel and by rdisc6, DHCPv6 by dhclient; silence elsewhere."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.leases import parse_leases
from kernel.dhcp_client import dhcp6
from kernel.dnsmasq_bed import (
    BRIDGE_ADDRESS,
    NAMED_ADDRESS,
    Bed,
    Space,
    ask,
    eventually,
    get_lease,
    made_bed,
    serving,
)
from kernel.dnsmasq_bed import (
    SERVED as LAB,
)

ADDRESS6 = "fd00:100::1"
MAC, OWN_PART = "52:54:00:00:00:01", "5054:ff:fe00:1"
ONLY6: dict[str, Any] = {"name": "lab", "interface": "virt0", "domain": "virt.test"}
RANGE = {"start": "fd00:100::100", "end": "fd00:100::1ff", "lease_time": "15m"}


@pytest.fixture(scope="module")
def shared_bed() -> Iterator[Bed]:
    with made_bed() as made:
        for space in (made.guest, made.host):
            space.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        # As the rules of every network but an isolated one have it.
        made.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        made.lan.run("ip", "address", "add", "fd00:1::5/64", "dev", "eth0", "nodad")
        made.host.run("ip", "address", "add", "fd00:1::1/64", "dev", "eth0", "nodad")
        yield made


@pytest.fixture
def bed(shared_bed: Bed) -> Iterator[Bed]:
    shared_bed.bridge()
    shared_bed.host.run("ip", "address", "add", f"{ADDRESS6}/64", "dev", "virt0", "nodad")
    shared_bed.plug()
    yield shared_bed
    shared_bed.no_bridges()


def lab(service: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**LAB, "ipv6": {"address": f"{ADDRESS6}/64", **service}, **more}


def only6(service: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**ONLY6, "ipv6": {"address": f"{ADDRESS6}/64", **service}, **more}


def has_own_address(space: Space) -> bool:
    shown = space.run("ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "global").stdout
    return any(
        one.get("local") == f"fd00:100::{OWN_PART}" and "tentative" not in one
        for link in json.loads(shown)
        for one in link.get("addr_info", [])
    )


def advertised(space: Space) -> str:
    """What a router says when it is asked; '' when none answers."""
    asked = space.run("rdisc6", "-1", "-r", "3", "-w", "1000", "eth0", check=False)
    return "" if asked.returncode else asked.stdout


@contextlib.contextmanager
def wire_of_the_lan(bed: Bed) -> Iterator[list[str]]:
    """What the host says over IPv6 on its LAN meanwhile, as seen on the wire."""
    heard: list[str] = []
    what = "icmp6 and ip6[40] == 134 or udp port 546"
    listener = bed.lan.start("tcpdump", "-l", "-n", "-i", "eth0", "-Q", "in", what)
    assert listener.stdout is not None
    assert "listening on" in next(line for line in listener.stdout if "listening" in line)
    try:
        yield heard
    finally:
        listener.terminate()
        out, _ = listener.communicate(timeout=10)
        heard += [line for line in out.splitlines() if "IP6" in line]


def test_guests_make_addresses_and_no_other_link_hears_of_it(bed: Bed, tmp_path: Path) -> None:
    # The system gives DHCPv6 on the LAN, so that a global enable-ra of ours would be heard there.
    system = "dhcp-range=fd00:1::100,fd00:1::1ff,64,1h\n"
    with serving(bed, tmp_path, system) as daemon, wire_of_the_lan(bed) as heard:
        daemon.converge(lab({}))
        assert eventually(lambda: has_own_address(bed.guest))
        told = advertised(bed.guest)
        assert not advertised(bed.lan)
        assert dhcp6(bed.lan, tmp_path)["new_ip6_address"].startswith("fd00:1::1")
        assert ask(bed.guest, ADDRESS6) == NAMED_ADDRESS
        route = bed.guest.run("ip", "-6", "route").stdout
    assert re.search("^default via fe80::.* proto ra", route, re.MULTILINE), route
    assert re.search(r"Stateful address conf.\s*:\s+No", told)
    assert re.search(r"Recursive DNS server\s*:\s*" + ADDRESS6, told)
    assert "virt.test" in told
    # The LAN's own DHCPv6 is all that is heard there.
    assert heard
    assert all("dhcp6" in line for line in heard), heard


def test_lan_without_dhcp_stays_silent(bed: Bed, tmp_path: Path) -> None:
    with serving(bed, tmp_path) as daemon, wire_of_the_lan(bed) as heard:
        daemon.converge(lab({"ranges": [RANGE]}))
        assert not advertised(bed.lan)
        assert not dhcp6(bed.lan, tmp_path, patience=3)
        assert not dhcp6(bed.lan, tmp_path, "-S", patience=3)
    assert not heard


def test_names_of_guests_resolve_to_the_addresses_that_they_made(bed: Bed, tmp_path: Path) -> None:
    with serving(bed, tmp_path) as daemon:
        daemon.converge(lab({}))
        assert eventually(lambda: has_own_address(bed.guest))
        get_lease(bed.guest, tmp_path, "vmone")
        own = f"fd00:100::{OWN_PART}"
        assert eventually(lambda: ask(bed.host, "127.0.0.1", "vmone.virt.test", "AAAA") == own)


def test_nothing_is_advertised_that_was_switched_off(bed: Bed, tmp_path: Path) -> None:
    with serving(bed, tmp_path) as daemon:
        daemon.converge(lab({"ra": False}))
        assert not advertised(bed.guest)
        assert not dhcp6(bed.guest, tmp_path, patience=3)
        assert ask(bed.host, BRIDGE_ADDRESS) == NAMED_ADDRESS


def test_closed_network_offers_neither_router_nor_dns(bed: Bed, tmp_path: Path) -> None:
    with serving(bed, tmp_path, f"dhcp-option=option6:dns-server,[{ADDRESS6}]\n") as daemon:
        daemon.converge(lab({}, router=False, dns=False))
        assert eventually(lambda: has_own_address(bed.guest))
        told = advertised(bed.guest)
    assert re.search(r"Router lifetime\s*:\s+0 ", told)
    assert "fd00:100::/64" in told
    assert "DNS" not in told
    assert "default" not in bed.guest.run("ip", "-6", "route").stdout


def test_stateless_guests_get_options_alone(bed: Bed, tmp_path: Path) -> None:
    with serving(bed, tmp_path) as daemon:
        daemon.converge(lab({"stateless": True, "options": {"sntp-server": "fd00:100::9"}}))
        assert eventually(lambda: has_own_address(bed.guest))
        told = advertised(bed.guest)
        assert re.search(r"Stateful address conf.\s*:\s+No", told)
        assert re.search(r"Stateful other conf.\s*:\s+Yes", told)
        options = dhcp6(bed.guest, tmp_path, "-S")
        assert not dhcp6(bed.guest, tmp_path, patience=3)
    assert options["new_dhcp6_name_servers"] == ADDRESS6
    assert options["new_dhcp6_sntp_servers"] == "fd00:100::9"
    assert options["new_dhcp6_domain_search"].rstrip(".") == "virt.test"
    assert "new_ip6_address" not in options


@pytest.mark.parametrize("ra", [True, False])
def test_network_with_ipv6_alone_hands_out_addresses(bed: Bed, tmp_path: Path, ra: bool) -> None:
    with serving(bed, tmp_path) as daemon:
        plan = daemon.converge(only6({"ranges": [RANGE], "ra": ra}))
        assert not daemon.converge(only6({"ranges": [RANGE], "ra": ra})).changes
        assert [str(change) for change in plan.changes] == ["lab: virtnet-lab.conf created"]
        told = dhcp6(bed.guest, tmp_path)
        assert 0x100 <= int(told["new_ip6_address"].rpartition(":")[2], 16) <= 0x1FF
        assert told["new_max_life"] == "900"
        assert told["new_dhcp6_name_servers"] == ADDRESS6
        assert ("Stateful address conf.    :          Yes" in advertised(bed.guest)) is ra
        assert ask(bed.guest if ra else bed.host, ADDRESS6) == NAMED_ADDRESS
        assert not get_lease(bed.guest, tmp_path)


@pytest.mark.parametrize(
    ("ranges", "hosts"),
    [([RANGE], []), ([], [{"mac": MAC, "ip": "fd00:100::77"}])],
    ids=["range", "static"],
)
def test_a_subnet_longer_than_a_64_is_served_without_advertisements(
    bed: Bed, tmp_path: Path, ranges: list[dict[str, str]], hosts: list[dict[str, str]]
) -> None:
    bed.host.run("ip", "address", "delete", f"{ADDRESS6}/64", "dev", "virt0")
    bed.host.run("ip", "address", "add", f"{ADDRESS6}/112", "dev", "virt0", "nodad")
    service = {"address": f"{ADDRESS6}/112", "ra": False, "ranges": ranges, "hosts": hosts}
    with serving(bed, tmp_path) as daemon:
        daemon.converge({**ONLY6, "ipv6": service})
        address = dhcp6(bed.guest, tmp_path)["new_ip6_address"]
    assert address == "fd00:100::77" if hosts else 0x100 <= int(address.rpartition(":")[2], 16) <= 0x1FF


@pytest.mark.parametrize("known_by", [{"mac": MAC}, {"id": f"00:03:00:01:{MAC}"}], ids=["mac", "duid"])
@pytest.mark.parametrize("ranges", [[RANGE], []], ids=["beside-range", "alone"])
def test_static_host_gets_its_address_and_name(
    bed: Bed, tmp_path: Path, known_by: dict[str, str], ranges: list[dict[str, str]]
) -> None:
    host = {**known_by, "name": "web", "ip": "fd00:100::77", "lease_time": "20m"}
    with serving(bed, tmp_path) as daemon:
        daemon.converge(lab({"ranges": ranges, "hosts": [host]}))
        told = dhcp6(bed.guest, tmp_path)
        assert ask(bed.host, "127.0.0.1", "web.virt.test", "AAAA") == "fd00:100::77"
    assert (told["new_ip6_address"], told["new_max_life"]) == ("fd00:100::77", "1200")


def network() -> Network:
    subnets = {"ipv4": {"address": "192.168.100.1/24"}, "ipv6": {"address": f"{ADDRESS6}/64"}}
    return read_network(Options({"name": "lab", **subnets}), "host")


def test_one_guest_has_a_fixed_address_of_each_family(bed: Bed, tmp_path: Path) -> None:
    hosts = [{"mac": MAC, "name": "web", "ip": "192.168.100.77"}]
    hosts6 = [{"mac": MAC, "name": "web", "ip": "fd00:100::77"}]
    with serving(bed, tmp_path) as daemon:
        daemon.converge(lab({"ranges": [RANGE], "hosts": hosts6}, hosts=hosts))
        assert get_lease(bed.guest, tmp_path)["ip"] == "192.168.100.77"
        assert dhcp6(bed.guest, tmp_path)["new_ip6_address"] == "fd00:100::77"
        assert ask(bed.host, "127.0.0.1", "web.virt.test") == "192.168.100.77"
        # The address that it made itself may have got the name too.
        assert "fd00:100::77" in ask(bed.host, "127.0.0.1", "web.virt.test", "AAAA").split()
        leases = parse_leases((tmp_path / "leases").read_text(), [network()])
        told = [one.as_options(time.time()) for one in leases]
        assert [(one["ip"], one["hostname"]) for one in told] == [("192.168.100.77", "web"), ("fd00:100::77", "web")]
        assert (told[0]["mac"], told[1]["duid"]) == (MAC, f"00:03:00:01:{MAC}")
        assert 42000 < told[0]["remaining"] <= 43200 and 600 < told[1]["remaining"] <= 900
        reverse = "7.7" + ".0" * 22 + ".0.0.1.0.0.0.d.f.ip6.arpa"
        assert ask(bed.host, "127.0.0.1", reverse, "PTR") == "web.virt.test."


def test_default_range_of_a_whole_subnet_works(bed: Bed, tmp_path: Path) -> None:
    with serving(bed, tmp_path) as daemon:
        daemon.converge(only6({"ranges": [{"start": "fd00:100::2", "end": "fd00:100::ffff:ffff:ffff:ffff"}]}))
        assert dhcp6(bed.guest, tmp_path)["new_ip6_address"].startswith("fd00:100::")


@pytest.mark.parametrize("binding", ["bind-interfaces", "bind-dynamic"])
def test_guests_are_served_where_interfaces_are_listed(bed: Bed, tmp_path: Path, binding: str) -> None:
    with serving(bed, tmp_path, f"{binding}\ninterface=eth0\n") as daemon:
        daemon.converge(only6({"ranges": [RANGE]}))
        assert dhcp6(bed.guest, tmp_path)
        assert ask(bed.guest, ADDRESS6) == NAMED_ADDRESS
        assert not daemon.converge(only6({"ranges": [RANGE]})).changes


def test_range_holds_for_its_own_bridge_alone(bed: Bed, tmp_path: Path) -> None:
    """A second bridge with an address of the same prefix hears nothing."""
    bed.no_bridges()
    bed.bridge("other0", "192.168.90.1/24")
    bed.host.run("ip", "address", "add", f"{ADDRESS6}/64", "dev", "other0", "nodad")
    bed.plug("other0")
    with serving(bed, tmp_path) as daemon:
        daemon.converge(lab({"ranges": [RANGE]}))
        assert not advertised(bed.guest)
        assert not dhcp6(bed.guest, tmp_path, patience=3)
