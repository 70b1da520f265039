# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resolver part against the real openresolv and Debian's resolvconf: resolv.conf before, with and after."""

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
    """A folder outside of what is laid over, on a file system that can be an upper layer."""
    with tempfile.TemporaryDirectory(prefix="virtnet-resolver-", dir=CACHE) as folder:
        yield Path(folder)


@pytest.fixture
def openresolv(trees: dict[str, Path], scratch: Path) -> Iterator[ResolverHost]:
    """A host whose resolv.conf is openresolv's."""
    host = ResolverHost("openresolv", trees["openresolv"], scratch)
    host.uplink(UPLINK)
    yield host
    host.close()


@pytest.fixture
def debian(trees: dict[str, Path], scratch: Path) -> Iterator[ResolverHost]:
    """A host whose resolv.conf is that of Debian's resolvconf, set up as its package and service do."""
    host = ResolverHost("resolvconf", trees["resolvconf"], scratch)
    host.run("mkdir", "-p", "/run/resolvconf/interface")
    host.run("ln", "-s", "/run/resolvconf/resolv.conf", "/etc/resolv.conf")
    host.run("resolvconf", "--enable-updates")
    host.uplink(UPLINK)
    yield host
    host.close()


@pytest.fixture(params=["openresolv", "debian"])
def host(request: pytest.FixtureRequest) -> ResolverHost:
    """Either."""
    found: ResolverHost = request.getfixturevalue(request.param)
    return found


def servers(host: ResolverHost) -> list[str]:
    return [line.split()[1] for line in host.resolv_conf() if line.startswith("nameserver")]


def search(host: ResolverHost) -> list[str]:
    """The search list as a libc takes it: the last of domain and search."""
    lines = [line.split() for line in host.resolv_conf()]
    return [words[1:] for words in lines if words[0] in ("domain", "search")][-1]


def test_life_of_an_entry(host: ResolverHost) -> None:
    before = host.read("/etc/resolv.conf")
    assert servers(host) == ["10.0.0.53", "10.0.0.54"]

    checked = host.task(LAB, check=True)
    assert host.read("/etc/resolv.conf") == before

    made = host.task(LAB)
    assert made["changes"] == ["resolver entry vn-lab.virtnet: created"]
    assert (checked["changes"], checked["diff"]) == (made["changes"], made["diff"])
    assert servers(host) == ["10.0.0.53", "10.0.0.54", "192.168.30.1"]
    assert search(host) == ["example.org", "lab"]
    assert not host.task(LAB)["changed"]

    changed = host.task({**LAB, "domain": "lab.example", "addresses": ["192.168.40.1"]})
    assert changed["changes"] == [
        "resolver entry vn-lab.virtnet: addresses ['192.168.30.1'] -> ['192.168.40.1'], "
        "search ['lab'] -> ['lab.example']"
    ]
    assert servers(host) == ["10.0.0.53", "10.0.0.54", "192.168.40.1"]
    assert search(host) == ["example.org", "lab.example"]

    gone = host.task({"interface": "vn-lab", "state": "absent"})
    assert gone["changes"] == ["resolver entry vn-lab.virtnet: deleted"]
    assert host.read("/etc/resolv.conf") == before
    assert not host.task({"interface": "vn-lab", "state": "absent"})["changed"]


def test_purge_removes_ours_only(host: ResolverHost) -> None:
    before = host.read("/etc/resolv.conf")
    host.task(LAB, DMZ)
    assert host.task(LAB, purge=True)["changes"] == ["resolver entry vn-dmz.virtnet: deleted"]
    assert host.task(purge=True)["changes"] == ["resolver entry vn-lab.virtnet: deleted"]
    assert host.read("/etc/resolv.conf") == before


def test_long_spelling_of_an_address_is_the_same(host: ResolverHost) -> None:
    host.task({**DMZ, "addresses": ["fd00:0031:0:0::0001"]})
    assert not host.task({**DMZ, "addresses": ["fd00:31::1"]})["changed"]


def test_entry_that_was_altered_is_set_right(host: ResolverHost) -> None:
    host.task(LAB)
    host.uplink("nameserver 6.6.6.6\n", "vn-lab.virtnet")
    assert host.task(LAB)["changed"]
    assert "6.6.6.6" not in servers(host)
    assert not host.task(LAB)["changed"]


def test_removal_beside_a_loopback_resolver(host: ResolverHost) -> None:
    host.task(LAB)
    host.uplink("nameserver 127.0.0.1\n", "lo.dnsmasq")
    with_loopback = servers(host)
    assert with_loopback == ["127.0.0.1"]
    assert host.task({**LAB, "loopback_serves": True})["changes"] == ["resolver entry vn-lab.virtnet: deleted"]
    assert servers(host) == with_loopback
    assert search(host) == ["example.org"]
    assert not host.task({**LAB, "loopback_serves": True})["changed"]


def test_provider_that_is_not_there(openresolv: ResolverHost) -> None:
    answer = openresolv.task({**LAB, "provider": "resolvconf"})
    assert answer["msg"] == "resolvconf is not installed on this host; install the package resolvconf"


def test_foreign_resolv_conf_is_left_alone(host: ResolverHost) -> None:
    host.run("rm", "/etc/resolv.conf")
    host.write("/etc/resolv.conf", "nameserver 9.9.9.9\n")
    answer = host.task(LAB)
    assert not answer["changed"]
    assert "a file that no program manages" in answer["warnings"][0]
    refused = host.task({**LAB, "provider": host.provider})
    assert "leave the provider to 'auto'" in refused["msg"]
    assert host.read("/etc/resolv.conf") == "nameserver 9.9.9.9\n"


def test_metric_does_not_pass_servers_with_a_metric(openresolv: ResolverHost) -> None:
    openresolv.run("resolvconf", "-m", "3002", "-a", "wlan0", stdin="nameserver 10.9.0.53\n")
    before = servers(openresolv)
    openresolv.task(LAB)
    assert servers(openresolv) == [*before, "192.168.30.1"]


def test_local_resolver_is_told_of_a_private_entry(openresolv: ResolverHost) -> None:
    openresolv.run("mkdir", "-p", "/etc/dnsmasq.d")
    openresolv.write(
        "/etc/resolvconf.conf",
        "name_servers=127.0.0.1\ndnsmasq_conf=/etc/dnsmasq.d/resolvconf.conf\ndnsmasq_resolv=/run/upstream.conf\n",
    )
    openresolv.run("resolvconf", "-u")
    before = (openresolv.read("/etc/resolv.conf"), openresolv.read("/run/upstream.conf"))
    made = openresolv.task(LAB)
    assert "warnings" not in made
    assert "server=/lab/192.168.30.1\n" in openresolv.read("/etc/dnsmasq.d/resolvconf.conf")
    assert servers(openresolv) == ["127.0.0.1"]
    assert openresolv.read("/run/upstream.conf") == before[1]
    assert not openresolv.task(LAB)["changed"]
    openresolv.task({"interface": "vn-lab", "state": "absent"})
    assert (openresolv.read("/etc/resolv.conf"), openresolv.read("/run/upstream.conf")) == before
    assert "192.168.30.1" not in openresolv.read("/etc/dnsmasq.d/resolvconf.conf")
