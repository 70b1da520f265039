# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other servers take ports that dnsmasq needs: of DNS as soon as an address exists, of DHCPv6 for themselves alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from kernel.testbed import script
from torture.host import Host, differences, new_host
from torture.plans import installation, site
from torture.scenario import error_of

LAB = {"name": "lab", "ipv4": {"address": "192.168.60.1/24"}, "dns": {"domain": "lab.test"}}
WEB = {"name": "web", "ipv4": {"address": "192.168.61.1/24"}}
CONFIG = "no-ping\nbind-dynamic\ninterface=lo\n"
TAKER = script("address_taker")
# What a run that is undone leaves: what it has learnt of the network, and the server of the test.
LEARNT = ("file /run/virtnet/taken.json", "file /var/lib/virtnet/", f"process {TAKER[0]}")


def assert_untouched(host: Host, before: dict[str, object]) -> None:
    assert not [one for one in differences(before, host.snapshot()) if not one.startswith(LEARNT)]


@pytest.fixture(params=["system", "private"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with a system's dnsmasq that binds to single addresses, or with the program alone."""
    with new_host(serving=request.param == "system") as host:
        if host.serving:
            host.run("sh", "-c", "cat >/etc/dnsmasq.conf; systemctl restart dnsmasq.service", stdin=CONFIG)
        host.run_tasks(installation())
        yield host


def assert_served_at_the_next_run(host: Host) -> None:
    assert not error_of(host.run_tasks(site([LAB])))
    assert '"redirect": true' in host.sh("cat /etc/virtnet/networks/lab.json")
    # The guest gets a lease.
    host.plug("vn-lab")
    assert host.run("dig", "+short", "@192.168.60.1", "lab.test", "SOA", namespace="guest", check=False).returncode == 0
    assert not [answer for answer in host.run_tasks(site([LAB]), check=True)["answers"] if answer["changed"]]


def test_a_server_that_takes_each_new_address_is_named_and_the_next_run_redirects_the_guests(host: Host) -> None:
    before = host.snapshot()
    taker = host.start(*TAKER)
    assert taker.stdout is not None
    assert taker.stdout.readline() == "ready\n"
    error = error_of(host.run_tasks(site([LAB])))
    assert "holds TCP port 53 on 192.168.60.1" in error or "holds UDP port 53 on 192.168.60.1" in error
    assert "leave dnsmasq.redirect out and run again" in error
    assert "everything that the run has changed is undone: lab does not exist" in error
    assert "at work" not in host.command("check").stdout
    assert_untouched(host, before)
    assert_served_at_the_next_run(host)


def test_a_run_is_undone_as_a_whole_when_a_port_is_taken_while_dnsmasq_starts(host: Host) -> None:
    with new_host(serving=host.serving) as other:
        other.run("sh", "-c", "cat >/etc/dnsmasq.conf", stdin=CONFIG)
        other.run_tasks(installation())
        steps = other.run_tasks(site([LAB]))["steps"]
    before = host.snapshot()
    step = next(i for i, text in enumerate(steps, 1) if "systemctl restart" in text)
    fault = f"mkfifo /run/ready; {' '.join(TAKER)} 192.168.60.1 >/run/ready & read line </run/ready; rm /run/ready"
    error = error_of(host.run_tasks(site([LAB]), step=step, fault=fault))
    assert_untouched(host, before)
    assert "put back: the files and leases of DHCP and DNS" in error
    assert ("dnsmasq.service runs with them" in error) == host.serving
    assert "everything that the run has changed is undone: lab does not exist" in error
    assert "holds TCP port 53 on 192.168.60.1" in error or "holds UDP port 53 on 192.168.60.1" in error
    assert_served_at_the_next_run(host)


DHCP6 = {
    "address": "fd00:60::1/64",
    "dhcp": {"enabled": True, "ranges": [{"start": "fd00:60::10", "end": "fd00:60::99"}]},
}
HOLDER = """
import socket, sys
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
server.bind(("::", 547))
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_server_of_dhcpv6_that_leaves_no_room_is_named_before_anything_is_changed(host: Host) -> None:
    """The system's dnsmasq shares the port, which takes two (src/dhcp6.c, dhcp6_init())."""
    assert not error_of(host.run_tasks(site([LAB])))
    holder = host.start(sys.executable, "-c", HOLDER)
    assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
    before = host.snapshot()
    for instance in ("auto", "private", *(["system"] if host.serving else [])):
        error = error_of(host.run_tasks(site([{**LAB, "ipv6": DHCP6, "dnsmasq": {"instance": instance}}])))
        assert "holds UDP port 547 on every address for itself alone; stop that, or leave ipv6.dhcp out" in error
        assert not differences(before, host.snapshot())
    assert not error_of(host.run_tasks(site([{**LAB, "ipv6": {"address": "fd00:60::1/64"}}])))


def test_guests_keep_their_dnsmasq_where_a_private_one_beside_it_does_not_start() -> None:
    """dnsmasq accepts the line when it tests it, and does not start with it, which is not tried: it writes a log.

    Everybody may enter the folder, and root alone write to it.
    """
    with new_host(serving=True) as host:
        host.run_tasks(installation())
        assert not error_of(host.run_tasks(site([LAB, WEB])))
        host.sh("echo unreadable >/etc/virtnet/networks/web.json")
        host.plug("vn-lab")
        host.sh("mkdir -p -m 755 /tmp/of-root")
        options = {"options": ["log-facility=/tmp/of-root/log"]}
        error = error_of(host.run_tasks(site([{**LAB, "dnsmasq": options}])))
        assert "cannot open log" in error
        assert "everything that the run has changed is undone: lab is as before" in error
        assert host.run("dig", "+short", "@192.168.60.1", "lab.test", "SOA", namespace="guest").returncode == 0
        assert "vn-lab" not in host.sh("nft list set inet virtnet vn_redirected")
        # What an unreadable definition stands for is unknown, so its rules stay.
        assert "vn-web" in host.sh("nft list set inet virtnet vn_bridges")
        assert not error_of(host.run_tasks(site([LAB])))
