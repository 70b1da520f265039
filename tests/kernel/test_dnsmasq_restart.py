# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would keep dnsmasq from starting again is refused before anything is touched: its test does not tell it."""

from __future__ import annotations

import pytest
from torture.host import Host, differences, new_host
from torture.plans import installation, site
from torture.scenario import error_of

LAB = {"name": "lab", "ipv4": {"address": "192.168.60.1/24"}, "dns": {"domain": "lab.test"}}
PRIVATE = {**LAB, "dnsmasq": {"instance": "private", "options": ["filter-AAAA"]}}
STARTS = "dnsmasq --keep-in-foreground --no-daemon --port=5353 --pid-file="


def refused(host: Host, network: dict[str, object]) -> str:
    """The error of the first task, of a run that changes nothing."""
    before = host.snapshot()
    answers = host.run_tasks(site([network]))["answers"]
    assert len(answers) == 1 and not differences(before, host.snapshot())
    return str(answers[0]["msg"])


@pytest.mark.parametrize(
    ("network", "serving"), [(LAB, True), (PRIVATE, True), (LAB, False)], ids=["system", "private", "private alone"]
)
def test_upstream_servers_in_a_folder_that_is_missing_are_refused(network: dict[str, object], serving: bool) -> None:
    """As where systemd-resolved was removed, and its link stayed."""
    with new_host(serving=serving) as host:
        host.run_tasks(installation())
        host.sh("ln -sfn ../run/gone/stub-resolv.conf /etc/resolv.conf")
        error = refused(host, network)
        assert "/etc/resolv.conf leads to /run/gone/stub-resolv.conf, and there is no folder /run/gone" in error
        assert "cannot poll" in host.sh(f"timeout 1 {STARTS} -C /dev/null 2>&1 || true")
        host.sh("mkdir /run/gone")
        assert not error_of(host.run_tasks(site([network])))


def test_a_first_range_of_the_systems_dnsmasq_with_more_leases_than_it_takes_is_refused() -> None:
    with new_host() as host:
        host.run_tasks(installation())
        rows = "".join(f"0 02:00:00:00:{i >> 8:02x}:{i & 255:02x} 10.9.{i >> 8}.{i & 255} * *\\n" for i in range(1200))
        host.sh(f"mkdir -p /var/lib/misc; printf '{rows}' >/var/lib/misc/dnsmasq.leases")
        assert "1200 leases, since it takes 1000 (dhcp-lease-max)" in refused(host, LAB)
        assert not error_of(
            host.run_tasks(site([{**LAB, "ipv4": {"address": "192.168.60.1/24", "dhcp": {"enabled": False}}}]))
        )
