"""After the teardown Open vSwitch runs without anything of ours."""

from __future__ import annotations

from testinfra.host import Host as Machine


def test_no_bridge_is_left(host: Machine) -> None:
    assert host.check_output("ovs-vsctl list-br") == ""
    assert host.check_output("ovs-vsctl --bare --columns=name list Port") == ""
    assert host.service("openvswitch-switch.service").is_running
