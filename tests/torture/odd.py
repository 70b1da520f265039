# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scenarios on unusual hosts: two runs and a teardown on each."""

from __future__ import annotations

import time

from torture.faults import judge
from torture.host import unlike
from torture.plans import site, teardown
from torture.scenario import Outcome, Scenario, changes, error_of

_CROWD = """
for i in $(seq 1 500); do echo link add o$i type veth peer name p$i; done >/run/batch
for i in $(seq 1 500); do echo link set o$i up; done >>/run/batch
for i in $(seq 1 500); do echo route add 10.$((i / 200)).$((i % 200)).0/24 via 203.0.113.1; done >>/run/batch
ip -batch /run/batch; rm /run/batch
"""
_ALONE = """
for i in $(seq 1 500); do echo link delete o$i; done >/run/batch
for i in $(seq 1 500); do echo route delete 10.$((i / 200)).$((i % 200)).0/24; done >>/run/batch
ip -batch /run/batch; rm /run/batch
"""
# Commands that make a host unusual, and commands that undo this. Where the kernel module of IPv6 is missing, its folder
# below /proc/sys is missing too, but IPv6 sockets still exist here.
ODD = {
    "1,000 links and 500 routes of others": (_CROWD, _ALONE),
    "no IPv6": ("mount -t tmpfs none /proc/sys/net/ipv6", "umount /proc/sys/net/ipv6"),
    "no default route": ("ip route delete default", "ip route add default via 203.0.113.1"),
    "leases of a far future and a far past": (
        "mkdir -p /var/lib/virtnet/dnsmasq; for f in misc/dnsmasq virtnet/dnsmasq/_shared; do"
        " printf '4102444800 52:54:00:00:00:77 192.168.31.77 late *\\n1 52:54:00:00:00:78 192.168.31.78 early *\\n'"
        " >/var/lib/$f.leases; done; touch -d 2099-01-01 /etc/resolv.conf /etc/dnsmasq.conf",
        "",
    ),
    "sysctls that nobody may set": (
        "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys", "umount /proc/sys"
    ),
}  # fmt: skip


def odd_host(scenario: Scenario, kind: str) -> Outcome:
    """Two runs, of which the second changes nothing, a teardown, and nothing is left."""
    outcome = Outcome(kind, "a first run, a second, teardown")
    make, undo = ODD[kind]
    host = scenario.host
    host.sh(make)
    # What is ours goes, whoever made it.
    before = {name: one for name, one in host.snapshot().items() if not name.startswith("file /var/lib/virtnet")}
    wanted = [one for one in scenario.networks if kind != "no IPv6" or "ipv6" not in one]
    start = time.monotonic()
    done = host.play(site(wanted))
    outcome.what += f", {time.monotonic() - start:.1f} s"
    judge(outcome, error_of(done))
    refused = kind == "sysctls that nobody may set"
    if bool(error_of(done)) != refused:
        outcome.converged = False
        outcome.fail(error_of(done) or "it ended well without what it needs")
    if not refused:
        start = time.monotonic()
        again = host.play(site(wanted))
        outcome.what += f", {time.monotonic() - start:.1f} s"
        if error_of(again) or changes(again):
            outcome.converged = False
            outcome.fail(f"the second run: {error_of(again)}{changes(again)}")
    elif "/proc/sys/net" not in error_of(done):
        outcome.fail(f"the error does not name what could not be set: {error_of(done)}")
    gone = host.play(teardown())
    if error_of(gone):
        outcome.fail(f"teardown: {error_of(gone)}")
    left = unlike(before, host.snapshot())
    if left:
        outcome.left = len(left)
        outcome.fail(f"{len(left)} left over: {'; '.join(left)[:1000]}")
    host.sh(f"{undo}\nrm -rf /var/lib/virtnet; : >/var/lib/misc/dnsmasq.leases" if undo else ":")
    return outcome
