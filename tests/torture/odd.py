# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trials on hosts that are unlike others, from the start to the start: each is run, changed and torn down."""

from __future__ import annotations

import time

from torture.faults import judge
from torture.host import unlike
from torture.plans import site, teardown
from torture.trials import Course, Trial, changes, failure

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
# What makes it so, and what undoes it. A module of IPv6 that is not there leaves no folder; its sockets alone remain.
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


def odd_host(course: Course, kind: str) -> Trial:
    """Two runs, of which the second changes nothing, a teardown, and nothing is left."""
    trial = Trial(kind, "a first run, a second, teardown")
    make, undo = ODD[kind]
    host = course.host
    host.sh(make)
    # What is ours goes, whoever made it.
    before = {name: one for name, one in host.snapshot().items() if not name.startswith("file /var/lib/virtnet")}
    wanted = [one for one in course.networks if kind != "no IPv6" or "ipv6" not in one]
    start = time.monotonic()
    done = host.play(site(wanted))
    trial.what += f", {time.monotonic() - start:.1f} s"
    judge(trial, failure(done))
    refused = kind == "sysctls that nobody may set"
    if bool(failure(done)) != refused:
        trial.converged = False
        trial.flaw(failure(done) or "it ended well without what it needs")
    if not refused:
        start = time.monotonic()
        again = host.play(site(wanted))
        trial.what += f", {time.monotonic() - start:.1f} s"
        if failure(again) or changes(again):
            trial.converged = False
            trial.flaw(f"the second run: {failure(again)}{changes(again)}")
    elif "/proc/sys/net" not in failure(done):
        trial.flaw(f"the error does not name what could not be set: {failure(done)}")
    gone = host.play(teardown())
    if failure(gone):
        trial.flaw(f"teardown: {failure(gone)}")
    left = unlike(before, host.snapshot())
    if left:
        trial.left = len(left)
        trial.flaw(f"{len(left)} left over: {'; '.join(left)[:1000]}")
    host.sh(f"{undo}\nrm -rf /var/lib/virtnet; : >/var/lib/misc/dnsmasq.leases" if undo else ":")
    return trial
