"""For each manager of interfaces: our bridge, its addresses and its ports through a start, a restart and a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.guest import Guest
from lab.host import Host
from lab.managers import MANAGERS, TAP, Manager, as_text, bridge, bridge_faults, taken_over
from lab.resolvers import TIMEOUT, shell
from lab.run import eventually


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda manager: manager.name)
def test_a_manager_does_not_change_the_bridge(
    lab_host: Host, guest: Guest, manager: Manager, show: Callable[..., None]
) -> None:
    # A guest's link with an arbitrary name: a catch-all matches it, unless the driver is checked.
    shell(lab_host, f"ip tuntap add {TAP} mode tap; ip link set {TAP} master vn-lab up")
    before = bridge(lab_host)
    assert bridge_faults(lab_host) == []
    shell(lab_host, manager.start)
    try:
        # Configuration for a manager is written by the next run, by the guard, or now.
        shell(lab_host, "/usr/local/lib/virtnet/virtnet restore --stage networks")
        for action, script in {"start": "true", **manager.reapply}.items():
            shell(lab_host, script)
            assert eventually(lambda: taken_over(lab_host) == [], TIMEOUT), taken_over(lab_host)
            show(manager.name, action, as_text(bridge(lab_host)))
            assert bridge(lab_host) == before
            assert guest.pings("10.80.0.1")
            assert eventually(lambda: lab_host.attempt(["ping", "-c1", "-W1", "203.0.113.1"]).ok, TIMEOUT)
    finally:
        shell(lab_host, f"ip link delete {TAP}")
        shell(lab_host, manager.stop)
