"""After a boot with other firewalls enabled, in whatever order they start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from lab.guest import Guest
from lab.host import Host
from lab.run import eventually

if TYPE_CHECKING:
    from .conftest import FirewallHost

SERVICES = ["nftables", "firewalld", "docker"]
LEASED_ADDRESS = "192.168.77.10"
# The first service has started before the start of the second one begins.
ORDER = [
    ("nftables", "virtnet"),
    ("firewalld", "virtnet"),
    ("virtnet", "libvirtd"),
    ("virtnet", "dnsmasq"),
    ("dnsmasq", "virtnet-resolver"),
]
TIMEOUT = 60


@pytest.fixture(scope="module", autouse=True)
def _rebooted(lab_host: Host) -> Iterator[None]:
    lab_host.run(["systemctl", "enable", *SERVICES, "libvirtd"])
    guest = Guest(lab_host, "guest-a")
    guest.plug("vn-lab")
    assert guest.lease() == LEASED_ADDRESS
    lab_host.reboot()
    yield
    lab_host.run(["systemctl", "disable", "--now", *SERVICES, "docker.socket"])


def moment(host: Host, service: str, when: str) -> int:
    """Microseconds from the boot of the machine until a service last reached that state."""
    command = ["systemctl", "show", "--value", f"--property={when}TimestampMonotonic", f"{service}.service"]
    assert eventually(lambda: int(host.run(command)) > 0, TIMEOUT), (service, when)
    return int(host.run(command))


@pytest.mark.parametrize(("first", "then"), ORDER)
def test_services_came_up_in_order(lab_host: Host, first: str, then: str) -> None:
    assert moment(lab_host, first, "ActiveEnter") <= moment(lab_host, then, "InactiveExit")


def test_units_have_no_ordering_cycle(lab_host: Host) -> None:
    journal = lab_host.run(["journalctl", "--output=cat", "_PID=1"])
    assert "Started virtnet.service" in journal
    assert "ordering cycle" not in journal
    print(lab_host.run(["systemd-analyze", "critical-chain", "--no-pager", "virtnet.service"]))


def test_rules_bridge_and_leases_exist(lab_host: Host) -> None:
    assert "vn-lab" in lab_host.run(["nft", "list", "table", "inet", "virtnet"])
    assert "192.168.77.1/24" in lab_host.run(["ip", "-4", "address", "show", "dev", "vn-lab"])
    assert eventually(lambda: f"{LEASED_ADDRESS} " in lab_host.run(["virtnet", "leases"]), TIMEOUT)


def test_guests_pass_with_all_firewalls_enabled(firewall_host: FirewallHost) -> None:
    firewall_host.wait_and_print(
        "all of them enabled", "after boot", {"out": True, "dns": True, "dhcp": True, "forward": True}
    )
