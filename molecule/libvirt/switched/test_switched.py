"""The command `virtnet` informs libvirt, and does not wait for ever if libvirt does not answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.host import Host
from lab.lab import Lab
from lab.run import Result

VIRTNET = "/usr/local/lib/virtnet/virtnet"


@pytest.mark.parametrize("name", ["lab", "site"])
def test_stop_and_start_reach_libvirt(virsh, name: str) -> None:
    virsh.host.run([VIRTNET, "stop", name])
    assert virsh.networks()[name] == "inactive yes yes"
    shown = virsh.host.run([VIRTNET, "list"])
    assert f" {name} " in next(line for line in shown.splitlines() if " inactive " in line and f" {name} " in line)
    virsh.host.run([VIRTNET, "start", name])
    assert virsh.networks()[name] == "active yes yes"


def test_the_bridge_of_the_host_is_not_changed(virsh) -> None:
    virsh.host.run([VIRTNET, "stop", "site"])
    assert ",UP" in virsh.host.run(["ip", "-br", "link", "show", "br0"])
    virsh.host.run([VIRTNET, "start", "site"])


def without_an_answer(host: Host) -> tuple[Result, Result]:
    """The output of stop and start while libvirtd hangs."""
    pid = host.run(["systemctl", "show", "--value", "--property=MainPID", "libvirtd.service"]).strip()
    host.run(["kill", "-STOP", pid])
    try:
        stopped = host.attempt([VIRTNET, "stop", "lab"], timeout=120)
    finally:
        host.run(["kill", "-CONT", pid])
    return stopped, host.attempt([VIRTNET, "start", "lab"], timeout=120)


def test_a_hanging_libvirtd_is_reported_after_a_timeout() -> None:
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(without_an_answer, Lab("molecule-libvirt").hosts()))
    for stopped, started in answers:
        assert stopped.ok, stopped.err
        assert "note: networks are not registered with libvirt: libvirt's network driver does not answer" in stopped.out
        assert "no answer within 20 s; look at systemctl status libvirtd virtnetworkd" in stopped.out
        assert started.ok, started.err
        assert "note:" not in started.out
