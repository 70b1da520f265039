# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resolver reconciler with the real openresolv and Debian's resolvconf: resolv.conf before, with and after it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.resolver_host import CACHE, ResolverHost, unpack

UPLINK = "domain example.org\nnameserver 10.0.0.53\nnameserver 10.0.0.54\n"
LAB = {"interface": "vn-lab", "addresses": ["192.168.30.1"], "domain": "lab"}
DMZ = {"interface": "vn-dmz", "addresses": ["192.168.31.1", "fd00:31::1"], "domain": "dmz.lab"}


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both packages, unpacked."""
    return {name: unpack(name, tmp_path_factory.mktemp(name)) for name in ("openresolv", "resolvconf")}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder outside of the overlays, on a file system that can be an upper layer."""
    with tempfile.TemporaryDirectory(prefix="virtnet-resolver-", dir=CACHE) as folder:
        yield Path(folder)


@pytest.fixture
def openresolv(trees: dict[str, Path], scratch: Path) -> Iterator[ResolverHost]:
    """A host whose resolv.conf is managed by openresolv."""
    host = ResolverHost("openresolv", trees["openresolv"], scratch)
    host.uplink(UPLINK)
    yield host
    host.close()


@pytest.fixture
def debian(trees: dict[str, Path], scratch: Path) -> Iterator[ResolverHost]:
    """A host whose resolv.conf is managed by Debian's resolvconf, set up as its package and service do."""
    host = ResolverHost("resolvconf", trees["resolvconf"], scratch)
    host.run("mkdir", "-p", "/run/resolvconf/interface")
    host.run("ln", "-s", "/run/resolvconf/resolv.conf", "/etc/resolv.conf")
    host.run("resolvconf", "--enable-updates")
    host.uplink(UPLINK)
    yield host
    host.close()


@pytest.fixture(params=["openresolv", "debian"])
def host(request: pytest.FixtureRequest) -> ResolverHost:
    """Each of both hosts."""
    host: ResolverHost = request.getfixturevalue(request.param)
    return host


def servers(host: ResolverHost) -> list[str]:
    return [line.split()[1] for line in host.resolv_conf() if line.startswith("nameserver")]


def search(host: ResolverHost) -> list[str]:
    """The search list as libc reads it: the last of domain and search."""
    lines = [line.split() for line in host.resolv_conf()]
    return [words[1:] for words in lines if words[0] in ("domain", "search")][-1]


def test_an_entry_is_created_changed_and_removed(host: ResolverHost) -> None:
    before = host.read("/etc/resolv.conf")
    assert servers(host) == ["10.0.0.53", "10.0.0.54"]

    prediction = host.task(LAB, check=True)
    assert host.read("/etc/resolv.conf") == before

    creation = host.task(LAB)
    assert creation["changes"][-1] == "resolver entry vn-lab: created"
    assert (prediction["changes"], prediction["diff"]) == (creation["changes"], creation["diff"])
    assert servers(host) == ["192.168.30.1", "10.0.0.53", "10.0.0.54"]
    assert search(host) == ["example.org", "lab"]
    again = host.task(LAB)
    assert not again["changed"] and "warnings" not in again

    assert host.task({**LAB, "domain": "lab.example", "addresses": ["192.168.40.1"]})["changed"]
    assert servers(host) == ["192.168.40.1", "10.0.0.53", "10.0.0.54"]
    assert search(host) == ["example.org", "lab.example"]

    removal = host.task({"interface": "vn-lab", "state": "absent"})
    assert removal["changes"][-1] == "resolver entry vn-lab: deleted"
    assert host.read("/etc/resolv.conf") == before
    assert not host.task({"interface": "vn-lab", "state": "absent"})["changed"]


def test_a_vpn_that_connects_later_keeps_its_place(host: ResolverHost) -> None:
    host.uplink("search corp\nnameserver 10.9.0.53\n", "tun0")
    before, domains = servers(host), search(host)
    host.run("resolvconf", "-d", "tun0")
    host.task(LAB)
    host.uplink("search corp\nnameserver 10.9.0.53\n", "tun0")
    # Debian's resolvconf writes no more than three servers, the limit of libc.
    assert servers(host) == ["192.168.30.1", *before][: 3 if host.provider == "resolvconf" else None]
    assert search(host) == [*domains, "lab"]
    assert not host.task(LAB)["changed"]
    host.task(purge=True)
    assert (servers(host), search(host)) == (before, domains)


def test_many_networks_take_the_place_of_one_server(host: ResolverHost) -> None:
    before = host.read("/etc/resolv.conf")
    host.task(LAB, DMZ)
    assert servers(host) == ["192.168.31.1", "10.0.0.53", "10.0.0.54"]
    host.task(LAB, purge=True)
    assert servers(host) == ["192.168.30.1", "10.0.0.53", "10.0.0.54"]
    host.task(purge=True)
    assert host.read("/etc/resolv.conf") == before


def test_an_altered_entry_is_repaired(host: ResolverHost) -> None:
    host.task(LAB)
    host.uplink("nameserver 6.6.6.6\n", "lo.virtnet")
    assert host.task(LAB)["changed"]
    assert "6.6.6.6" not in servers(host)
    assert not host.task(LAB)["changed"]


def test_entries_are_removed_also_without_their_runtime_record(host: ResolverHost) -> None:
    before = host.read("/etc/resolv.conf")
    host.task(LAB, DMZ)
    host.run("rm", "/run/virtnet/resolver-entries")
    assert host.task(purge=True)["changed"]
    assert host.read("/etc/resolv.conf") == before


def test_removal_beside_a_loopback_resolver(host: ResolverHost) -> None:
    host.task(LAB)
    host.uplink("nameserver 127.0.0.1\n", "lo.dnsmasq")
    with_loopback = servers(host)
    assert with_loopback == ["127.0.0.1"]
    assert host.task({**LAB, "loopback_serves": True})["changes"][-1] == "resolver entry vn-lab: deleted"
    assert servers(host) == with_loopback
    assert search(host) == ["example.org"]
    assert not host.task({**LAB, "loopback_serves": True})["changed"]


def test_a_missing_provider_is_reported(openresolv: ResolverHost) -> None:
    answer = openresolv.task({**LAB, "provider": "resolvconf"})
    assert answer["msg"] == "resolvconf is not installed on this host; install the package resolvconf"


def test_foreign_file_of_a_host_is_marked_and_restored(host: ResolverHost) -> None:
    host.run("rm", "/etc/resolv.conf")
    host.write("/etc/resolv.conf", "search a\nnameserver 9.9.9.9")
    refused = host.task({**LAB, "provider": host.provider})
    assert "leave it to 'auto'" in refused["msg"]
    assert host.task(LAB)["changed"]
    assert (servers(host), search(host)) == (["192.168.30.1", "9.9.9.9"], ["a", "lab"])
    again = host.task(LAB)
    assert not again["changed"] and "warnings" not in again
    host.task(purge=True)
    assert host.read("/etc/resolv.conf") == "search a\nnameserver 9.9.9.9"


def test_a_generated_file_is_not_changed(host: ResolverHost) -> None:
    host.run("rm", "/etc/resolv.conf")
    host.write("/etc/resolv.conf", "# Generated by something\nnameserver 9.9.9.9\n")
    answer = host.task(LAB)
    assert not answer["changed"] and "'Generated by something'" in answer["warnings"][0]


def test_servers_with_a_metric_keep_their_order(openresolv: ResolverHost) -> None:
    openresolv.run("resolvconf", "-m", "3002", "-a", "wlan0", stdin="nameserver 10.9.0.53\n")
    before = servers(openresolv)
    openresolv.task(LAB)
    assert servers(openresolv) == ["192.168.30.1", *before]


def test_a_local_resolver_gets_a_private_entry(openresolv: ResolverHost) -> None:
    openresolv.run("mkdir", "-p", "/etc/dnsmasq.d")
    openresolv.write(
        "/etc/resolvconf.conf",
        "name_servers=127.0.0.1\ndnsmasq_conf=/etc/dnsmasq.d/resolvconf.conf\ndnsmasq_resolv=/run/upstream.conf\n",
    )
    openresolv.run("resolvconf", "-u")
    before = (openresolv.read("/etc/resolv.conf"), openresolv.read("/run/upstream.conf"))
    creation = openresolv.task(LAB)
    assert "warnings" not in creation
    assert "server=/lab/192.168.30.1\n" in openresolv.read("/etc/dnsmasq.d/resolvconf.conf")
    assert servers(openresolv) == ["127.0.0.1"]
    assert openresolv.read("/run/upstream.conf") == before[1]
    assert not openresolv.task(LAB)["changed"]
    openresolv.task({"interface": "vn-lab", "state": "absent"})
    assert (openresolv.read("/etc/resolv.conf"), openresolv.read("/run/upstream.conf")) == before
    assert "192.168.30.1" not in openresolv.read("/etc/dnsmasq.d/resolvconf.conf")
