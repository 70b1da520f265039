# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines for dnsmasq that are refused beside other options are those that lose, or have the option lose."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel.dhcp_client import boot_offer, take_leases
from kernel.dnsmasq_testbed import BRIDGE_ADDRESS, LAB_FRAGMENT, DnsmasqTestbed, resolve, serving

CONFIG = "bind-dynamic\nexcept-interface=virt0\n"
HOSTS = {"hosts": [{"ip": "192.168.100.9", "names": ["gw"]}]}


@pytest.mark.parametrize(
    ("line", "domain"), [("domain=x.test", b"virt.test"), ("domain=x.test,192.168.100.0/24", b"x.test")]
)
def test_a_domain_without_subnet_loses(testbed: DnsmasqTestbed, tmp_path: Path, line: str, domain: bytes) -> None:
    with serving(testbed, tmp_path, CONFIG) as daemon:
        daemon.converge({**LAB_FRAGMENT, "instance": "private", "raw": [line]})
        assert boot_offer(testbed.guest, b"", 15).options[15] == domain


def test_an_address_loses_to_a_host(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
    raw = ["address=/gw.virt.test/192.168.100.99"]
    with serving(testbed, tmp_path, CONFIG) as daemon:
        daemon.converge({**LAB_FRAGMENT, "instance": "private", "raw": raw, "names": HOSTS})
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "gw.virt.test") == "192.168.100.9"


def test_a_host_of_a_line_loses_to_one_of_the_option(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    raw = ["dhcp-host=52:54:00:00:00:01,192.168.100.30"]
    hosts = [{"mac": "52:54:00:00:00:01", "ip": "192.168.100.20"}]
    with serving(testbed, tmp_path, CONFIG) as daemon:
        daemon.converge({**LAB_FRAGMENT, "instance": "private", "raw": raw, "hosts": hosts})
        leases = take_leases(testbed.guest, 1, first=bytes.fromhex("525400000001"))
        assert list(leases.values()) == ["192.168.100.20"]


def test_a_range_of_a_line_does_not_replace_the_default_range(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    raw = ["dhcp-range=192.168.100.50,192.168.100.50,2h"]
    with serving(testbed, tmp_path, CONFIG) as daemon:
        daemon.converge({**LAB_FRAGMENT, "instance": "private", "raw": raw})
        assert set(take_leases(testbed.guest, 3).values()) - {"192.168.100.50"}


def test_all_addresses_of_a_name_are_answered_also_where_some_are_elsewhere(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    """With localise-queries, as for networks that share a dnsmasq, guests would get the first alone."""
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
    hosts = [{"ip": ip, "names": ["www"]} for ip in ("192.168.100.9", "192.0.2.1")]
    for config, instance in (("", "private"), ("localise-queries\n", "auto")):
        with serving(testbed, tmp_path / instance, CONFIG + config) as daemon:
            plan = daemon.converge({**LAB_FRAGMENT, "instance": instance, "names": {"hosts": hosts}})
            assert plan.result[0]["instance"] == "private"
            answer = resolve(testbed.guest, BRIDGE_ADDRESS, "www.virt.test").split()
            assert sorted(answer) == ["192.0.2.1", "192.168.100.9"]


def test_of_two_lines_about_one_guest_one_loses(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    raw = [f"dhcp-host=52:54:00:00:00:01,192.168.100.{last}" for last in (30, 31)]
    with serving(testbed, tmp_path, CONFIG) as daemon:
        daemon.converge({**LAB_FRAGMENT, "instance": "private", "raw": raw})
        assert len(set(take_leases(testbed.guest, 1, first=bytes.fromhex("525400000001")).values())) == 1


def test_an_alias_hides_a_static_host(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
    hosts = [{"mac": "52:54:00:00:00:01", "ip": "192.168.100.20", "name": "web"}]
    names = {**HOSTS, "cname": [{"name": "web", "target": "gw"}]}
    with serving(testbed, tmp_path, CONFIG) as daemon:
        daemon.converge({**LAB_FRAGMENT, "instance": "private", "hosts": hosts, "names": names})
        assert "192.168.100.20" not in resolve(testbed.guest, BRIDGE_ADDRESS, "web.virt.test")


def test_an_alias_hides_a_host_and_a_line_on_a_wildcard_loses(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
    names = {
        "hosts": [*HOSTS["hosts"], {"ip": "192.168.100.11", "names": ["other"]}],
        "wildcards": [{"name": "w", "ip": "192.168.100.8"}],
    }
    raw = ["cname=gw.virt.test,other.virt.test", "server=/w.virt.test/10.99.0.2"]
    with serving(testbed, tmp_path, CONFIG) as daemon:
        daemon.converge({**LAB_FRAGMENT, "instance": "private", "raw": raw, "names": names})
        assert "192.168.100.9" not in resolve(testbed.guest, BRIDGE_ADDRESS, "gw.virt.test")
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "a.w.virt.test") == "192.168.100.8"


def test_the_lease_time_of_a_line_is_not_that_of_renewals_and_option_81_is_not_sent(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    raw = ["dhcp-option=51,7200", *(f"dhcp-option-force={code},61:62:63" for code in (52, 57, 81))]
    with serving(testbed, tmp_path, CONFIG) as daemon:
        daemon.converge({**LAB_FRAGMENT, "instance": "private", "raw": raw})
        sent = boot_offer(testbed.guest, b"", 51).options
        assert int.from_bytes(sent[51], "big") == 7200 < int.from_bytes(sent[58], "big")
        assert not {52, 57, 81} & set(sent)
