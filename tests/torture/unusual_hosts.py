# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scenarios on unusual hosts: two runs and a teardown on each."""

from __future__ import annotations

import time

from torture.faults import check_message
from torture.host import SCRIPTS, differences
from torture.plans import site, teardown
from torture.scenario import Outcome, Scenario, changes, error_of

# Commands that make a host unusual, and commands that undo this. Where the kernel module of IPv6 is missing, its folder
# below /proc/sys is missing too, but IPv6 sockets still exist here.
UNUSUAL_HOSTS = {
    "1,000 links and 500 routes of others": (
        f"sh -e {SCRIPTS}/add_many_links.sh", f"sh -e {SCRIPTS}/delete_many_links.sh"
    ),
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


def run_on_unusual_host(scenario: Scenario, kind: str) -> Outcome:
    """Two runs, of which the second changes nothing, and a teardown that removes everything."""
    outcome = Outcome(kind, "a first run, a second, teardown")
    make, undo = UNUSUAL_HOSTS[kind]
    host = scenario.host
    host.sh(make)
    # Whatever is ours is removed, also if another program made it.
    before = {name: value for name, value in host.snapshot().items() if not name.startswith("file /var/lib/virtnet")}
    networks = [network for network in scenario.networks if kind != "no IPv6" or "ipv6" not in network]
    start = time.monotonic()
    first = host.run_tasks(site(networks))
    outcome.what += f", {time.monotonic() - start:.1f} s"
    check_message(outcome, error_of(first))
    is_refused = kind == "sysctls that nobody may set"
    if bool(error_of(first)) != is_refused:
        outcome.converged = False
        outcome.fail(error_of(first) or "it ended well without what it needs")
    if not is_refused:
        start = time.monotonic()
        second = host.run_tasks(site(networks))
        outcome.what += f", {time.monotonic() - start:.1f} s"
        if error_of(second) or changes(second):
            outcome.converged = False
            outcome.fail(f"the second run: {error_of(second)}{changes(second)}")
    elif "/proc/sys/net" not in error_of(first):
        outcome.fail(f"the error does not name what could not be set: {error_of(first)}")
    teardown_result = host.run_tasks(teardown())
    if error_of(teardown_result):
        outcome.fail(f"teardown: {error_of(teardown_result)}")
    leftovers = differences(before, host.snapshot())
    if leftovers:
        outcome.leftovers = len(leftovers)
        outcome.fail(f"{len(leftovers)} left over: {'; '.join(leftovers)[:1000]}")
    host.sh(f"{undo}\nrm -rf /var/lib/virtnet; : >/var/lib/misc/dnsmasq.leases" if undo else ":")
    return outcome
