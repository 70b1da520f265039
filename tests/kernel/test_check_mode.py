# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check mode foretells the run, task by task: on fresh, converged and damaged hosts, and for changes of the list.

All tasks of the play run twice, in check mode and then in earnest, with the real dnsmasq, nft and kernel. What they
return has to be equal, and a second check mode has to show nothing.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any, TypeVar

import pytest
from torture.host import Host, new_host
from torture.plans import Network, Tasks, installation, site
from torture.services import DEFAULTS

T = TypeVar("T")

# Each test runs many plays.
pytestmark = pytest.mark.timeout(1200)

# What the administrator's dnsmasq has in its configuration; None: a host that has the program alone.
CONFIGS: dict[str, str | None] = {
    "wildcard sockets": "no-ping\n",
    "bind-dynamic": "no-ping\nbind-dynamic\ninterface=lo\n",
    "bind-interfaces": "no-ping\nbind-interfaces\n",
    "no service": None,
}
# `make test-all` runs each case with every configuration, `make test` half of them, each with one of two.
EVERY_CASE = bool(os.environ.get("VIRTNET_EVERY_CASE"))
SOME_CONFIGS = list(CONFIGS) if EVERY_CASE else ["wildcard sockets", "no service"]
SUBNET = {"ipv4": {"address": "192.168.60.1/24"}}
WEB = {"mac": "52:54:00:00:00:01", "name": "web", "ip": "192.168.60.10"}
LISTS: dict[str, list[Network]] = {
    "plain": [{"name": "lab"}],
    "isolated": [{"name": "lab", "mode": "isolated", **SUBNET}],
    "IPv6": [{"name": "lab", **SUBNET, "ipv6": {"address": "fd00:60::1/64"}}],
    "DHCPv6": [{"name": "lab", **SUBNET, "ipv6": {"address": "fd00:60::1/64", "dhcp": {"enabled": True}}}],
    "forwards": [
        {
            "name": "lab",
            "ipv4": {**SUBNET["ipv4"], "dhcp": {"hosts": [WEB]}},
            "extra_addresses": ["192.0.2.7/32"],
            "port_forwards": [{"protocol": "tcp", "port": 8080, "address": "192.0.2.7", "to": "web", "to_port": 80}],
        }
    ],
    "private": [{"name": "lab", **SUBNET, "dns": {"domain": "lab.test"}, "dnsmasq": {"instance": "private"}}],
    "redirect": [{"name": "lab", **SUBNET, "dnsmasq": {"instance": "private", "redirect": True}}],
    "raw lines": [{"name": "lab", **SUBNET, "dnsmasq": {"options": ["stop-dns-rebind"]}}],
    "two": [
        {"name": "lab", **SUBNET, "dns": {"domain": "lab.test"}},
        {"name": "iso", "mode": "isolated", "ipv4": {"address": "192.168.61.1/24"}},
    ],
    "routed": [
        {
            "name": "lab",
            "mode": "routed",
            **SUBNET,
            "bridge": {"mtu": 1400},
            "routes": [{"to": "10.50.0.0/24", "via": "192.168.60.50"}],
            "bandwidth": {"inbound": {"average": 90000}},
            "isolate_guests": True,
        }
    ],
}
BASE: list[Network] = [
    {
        "name": "lab",
        **SUBNET,
        "ipv6": {"address": "fd00:60::1/64"},
        "dns": {"domain": "lab.test"},
        "bandwidth": {"inbound": {"average": 90000}},
    },
    {
        "name": "own",
        "ipv4": {"address": "192.168.61.1/24", "dhcp": {"hosts": [{**WEB, "ip": "192.168.61.10"}]}},
        "dns": {"domain": "own.test"},
        "dnsmasq": {"instance": "private"},
        "port_forwards": [{"protocol": "tcp", "port": 8080, "to": "web", "to_port": 80}],
    },
    {"name": "iso", "mode": "isolated", "ipv4": {"address": "192.168.62.1/24"}},
]
LAB_ALONE: Network = {"name": "lab", **SUBNET, "dns": {"domain": "lab.test"}}
LAB_OF_SYSTEM: Network = {"ipv4": {"address": "192.168.61.1/24"}, "dnsmasq": {"instance": "system"}}
# Shell commands that damage a host with these networks.
DAMAGE = {
    "nothing": "",
    "bridges deleted": "for name in lab own iso; do ip link delete vn-$name; done",
    "servers started without bridges": (
        "for name in lab own iso; do ip link delete vn-$name; done; "
        "[ ! -e /etc/default/dnsmasq ] || systemctl restart dnsmasq.service; "
        "for folder in /run/virtnet-dnsmasq/*; do systemctl restart virtnet-dnsmasq@${folder##*/}.service; done"
    ),
    "addresses deleted": "for name in lab iso; do ip address flush dev vn-$name; done",
    "bridges down": "for name in lab own iso; do ip link set vn-$name down; done",
    "rules flushed": "nft flush ruleset",
    "forwarding disabled": "echo 0 >/proc/sys/net/ipv4/ip_forward",
    "fragments removed": "rm -rf /etc/dnsmasq.d/virtnet-* /etc/virtnet/dnsmasq*",
    "files changed by hand": (
        "for file in /etc/dnsmasq.d/virtnet-* /etc/virtnet/dnsmasq*/*; do [ ! -e $file ] || echo '# x' >>$file; done; "
        "sed -i s/own.test/other.test/ /etc/virtnet/networks/own.json; echo nameserver 203.0.113.1 >/etc/resolv.conf"
    ),
    "servers stopped": (
        "[ ! -e /etc/default/dnsmasq ] || systemctl stop dnsmasq.service; "
        "for folder in /run/virtnet-dnsmasq/*; do systemctl stop virtnet-dnsmasq@${folder##*/}.service; done"
    ),
    "definitions removed": "rm /etc/virtnet/networks/*",
    "engine and units removed": "rm -rf /usr/local/lib/virtnet /etc/systemd/system/*",
    "all state removed": "rm -rf /etc/virtnet /var/lib/virtnet /run/virtnet",
    "all of that": "nft flush ruleset; ip link delete vn-lab; ip link delete vn-iso; rm -f /etc/dnsmasq.d/virtnet-*",
}


def each_with(**options: object) -> list[Network]:
    return [{**network, **options} for network in BASE]


# Lists that follow on BASE, each with the value of purge.
CHANGES: dict[str, tuple[list[Network], bool]] = {
    "purge of one": (BASE[1:], True),
    "purge of the private one": ([BASE[0], BASE[2]], True),
    "purge of all": ([], True),
    "inactive": (each_with(state="inactive"), False),
    "bridges renamed": ([{**one, "bridge": {"name": f"br-{one['name']}"}} for one in BASE], False),
    "other instances": ([{**BASE[0], "dnsmasq": {"instance": "private"}}, {**BASE[1], "dnsmasq": {}}, BASE[2]], False),
    "other modes": (
        [{**BASE[0], "mode": "isolated"}, {**BASE[1], "mode": "routed"}, {**BASE[2], "mode": "nat"}],
        False,
    ),
    "other subnets": (
        [
            {**one, "ipv4": {"address": f"192.168.7{i}.1/24"}, "port_forwards": []}
            for i, one in enumerate(BASE)
        ],
        False,
    ),
    "other options": (each_with(isolate_guests=True, bridge={"mtu": 1400}), False),
    "no DNS": (each_with(dns={"enabled": False}), False),
    "raw lines": (each_with(dnsmasq={"options": ["stop-dns-rebind"]}), False),
    "redirect": (each_with(dnsmasq={"instance": "private", "redirect": True}), False),
}  # fmt: skip


def cases_for(config: str, cases: Mapping[str, T]) -> dict[str, T]:
    """The cases that run with this configuration."""
    if EVERY_CASE:
        return dict(cases)
    return dict(islice(cases.items(), SOME_CONFIGS.index(config), None, 2 * len(SOME_CONFIGS)))


@contextmanager
def host_with(config: str | None) -> Iterator[Host]:
    with new_host(serving=config is not None) as host:
        if config is not None:
            host.run("sh", "-ec", "cat >/etc/dnsmasq.conf; systemctl restart dnsmasq.service", stdin=config)
        yield host


def play(networks: list[Network], *, purge: bool = False) -> Tasks:
    return [*installation(), *site(networks, purge=purge)]


def assert_foretold(host: Host, tasks: Tasks, what: str) -> None:
    """Run the tasks in check mode, in earnest, and in check mode again."""
    foretold, done, again = (
        host.run_tasks(copy.deepcopy(tasks), check=check)["answers"] for check in (True, False, True)
    )
    assert not [answer for answer in done if answer.get("failed")], what
    assert [answer["task"] for answer in foretold] == [answer["task"] for answer in done], (what, foretold[-1])
    assert_equal(foretold, done, what)
    assert not [change for answer in again for change in answer.get("changes", ())], what


def assert_equal(foretold: list[dict[str, Any]], done: list[dict[str, Any]], what: str) -> None:
    """All return values but warnings, and what is pending: both may concern what the run has changed by then."""
    for check, run in zip(foretold, done, strict=True):
        differing = [key for key in sorted({*check, *run} - {"warnings", "pending"}) if check.get(key) != run.get(key)]
        shown = {key: {"check": check.get(key), "run": run.get(key)} for key in differing}
        assert not shown, f"{what}, task {run['task']}: {json.dumps(shown, indent=1)}"


@pytest.mark.parametrize(("networks", "config"), list(zip(LISTS, cycle(CONFIGS))))
def test_check_mode_foretells_the_first_run_on_a_fresh_host(networks: str, config: str) -> None:
    with host_with(CONFIGS[config]) as host:
        assert_foretold(host, play(LISTS[networks]), f"{networks}, {config}")


@pytest.mark.parametrize("config", SOME_CONFIGS)
def test_check_mode_foretells_the_first_run_of_several_networks_and_the_removal_of_all(config: str) -> None:
    with host_with(CONFIGS[config]) as host:
        assert_foretold(host, play(BASE), f"fresh, {config}")
        assert_foretold(host, play([], purge=True), f"purge, {config}")


@pytest.mark.parametrize("config", SOME_CONFIGS)
def test_check_mode_foretells_the_repair_of_a_damaged_host(config: str) -> None:
    with host_with(CONFIGS[config]) as host:
        host.run_tasks(play(BASE))
        for damage, script in cases_for(config, DAMAGE).items():
            host.sh(script)
            assert_foretold(host, play(BASE), f"{damage}, {config}")


@pytest.mark.parametrize("config", SOME_CONFIGS)
def test_check_mode_foretells_the_repair_after_a_reboot(config: str) -> None:
    with host_with(CONFIGS[config]) as host:
        host.run_tasks(play(BASE))
        host.halt()
        # Without the guard, the system's dnsmasq may not start before the bridges exist.
        host.serving = False
        host.boot()
        if CONFIGS[config] is not None:
            host.run("systemctl", "start", "dnsmasq.service", check=False)
        assert_foretold(host, play(BASE), f"reboot, {config}")


@pytest.mark.parametrize("config", SOME_CONFIGS)
def test_check_mode_foretells_changes_of_the_list(config: str) -> None:
    with host_with(CONFIGS[config]) as host:
        host.run_tasks(play(BASE))
        for change, (networks, purge) in cases_for(config, CHANGES).items():
            assert_foretold(host, play(networks, purge=purge), f"to {change}, {config}")
            assert_foretold(host, play(BASE), f"from {change}, {config}")


@pytest.mark.parametrize("networks", [[LAB_ALONE], [LAB_ALONE, {**LAB_OF_SYSTEM, "name": "sys"}]], ids=len)
def test_check_mode_foretells_a_run_that_installs_dnsmasq(networks: list[Network]) -> None:
    """The play installs the service where a network asks for it, else the program alone."""
    installs_service = len(networks) > 1
    tasks = play(networks)
    with new_host(serving=False) as host:
        host.sh("echo no-ping >/etc/dnsmasq.conf; mount --bind /dev/null /usr/sbin/dnsmasq")
        foretold = host.run_tasks(copy.deepcopy(tasks), check=True)["answers"]
        host.sh("umount /usr/sbin/dnsmasq")
        if installs_service:
            host.run("sh", "-ec", "cat >/etc/default/dnsmasq; systemctl start dnsmasq.service", stdin=DEFAULTS)
        done = host.run_tasks(copy.deepcopy(tasks))["answers"]
        # The host's task tells what is missing.
        assert [answer["task"] for answer in foretold] == [answer["task"] for answer in done], foretold[-1]
        assert_equal(foretold[1:], done[1:], "dnsmasq is installed")
