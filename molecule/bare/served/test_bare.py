"""What was installed serves the guests of networks, and nobody else."""

from __future__ import annotations

from testinfra.host import Host as Machine

from lab.host import Host
from lab.internet import ADDRESS, WEB_NAME


def test_no_service_of_dnsmasq_was_installed(host: Machine) -> None:
    assert not host.service("dnsmasq.service").exists
    assert host.service("virtnet-dnsmasq@_shared.service").is_running


def test_nothing_of_dnsmasq_listens_but_on_the_bridge(host: Machine, lab_host: Host) -> None:
    (gateway,) = host.interface("vn-lab", family="inet").addresses
    lines = [line.split() for line in lab_host.run(["ss", "-Hlntup"]).splitlines() if "dnsmasq" in line]
    assert {line[4] for line in lines if line[4].endswith(":53")} == {f"{gateway}:53"}
    assert {line[4] for line in lines if not line[4].endswith(":53")} == {"0.0.0.0%vn-lab:67"}


def test_the_resolver_of_the_host_answers_as_before(lab_host: Host) -> None:
    assert lab_host.resolves(WEB_NAME) == [ADDRESS]
