"""Programs that manage resolv.conf on a lab's host, a VPN with a name server and a domain, and lookups of names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .guest import Guest
from .host import Host
from .internet import WEB_NAME
from .run import SCRIPTS, eventually, script

TIMEOUT = 60
VPN_SERVER = "10.99.0.53"
VPN = script("start_vpn.sh", VPN_SERVER, WEB_NAME)
CLEAR_ENTRIES = Path(__file__).with_name("programs") / "clear_resolver_entries.py"
NM_CONF = "/etc/NetworkManager/conf.d/lab.conf"


@dataclass(frozen=True)
class Owner:
    """How a program takes over resolv.conf and gives it back, and how a VPN registers its name server with it."""

    name: str
    hosts: tuple[str, ...]
    start: str = ""
    stop: str = ""
    vpn_up: str = ""
    vpn_down: str = ""


MANAGERS = ("debian12", "debian13")
PLAIN = "search internet.test\\nnameserver 203.0.113.1\\n"
RESTORED = f"rm -f /etc/resolv.conf; printf '{PLAIN}' > /etc/resolv.conf"
UPLINK = (SCRIPTS / "uplink.nmconnection").read_text()


def networkmanager(dns: str) -> str:
    return script("start_networkmanager.sh", dns, UPLINK, (SCRIPTS / "vpn.nmconnection").read_text())


# A stopped manager leaves addresses without their routes, which the next manager treats as foreign.
RETURN_TO_IFUPDOWN = "ip address flush dev eth0; ifup --force eth0"
NM_STOP = f"""
systemctl stop NetworkManager
rm -f {NM_CONF} /etc/NetworkManager/system-connections/* /run/NetworkManager/system-connections/*
{RETURN_TO_IFUPDOWN}
{RESTORED}
"""
NM_VPN = (
    "nmcli -w 30 connection up corp",
    "nmcli -w 30 connection down corp; ip address replace 10.99.0.1/24 dev vpn0",
)
TUN = (f"printf 'search corp.internet.test\\nnameserver {VPN_SERVER}\\n' | resolvconf -a tun0", "resolvconf -d tun0")

RESOLVED = script("start_resolved.sh")
OWNERS = (
    Owner("plain", ("debian12",), RESTORED, RESTORED,
          rf"sed -i 's/^nameserver 203.0.113.1/nameserver {VPN_SERVER}\n&/' /etc/resolv.conf",
          f"sed -i /{VPN_SERVER}/d /etc/resolv.conf"),
    Owner("systemd-resolved", MANAGERS,
          RESOLVED,
          f"systemctl stop systemd-resolved; rm -r /etc/systemd/resolved.conf.d; {RESTORED}",
          f"resolvectl dns vpn0 {VPN_SERVER}; resolvectl domain vpn0 corp.internet.test", "resolvectl revert vpn0"),
    Owner("NetworkManager", MANAGERS, networkmanager("default"), NM_STOP, *NM_VPN),
    Owner("NetworkManager, dnsmasq", ("debian13",), networkmanager("dnsmasq"), NM_STOP, *NM_VPN),
    Owner("resolvconf", ("resolvconf12",), "", "", *TUN),
    Owner("openresolv", ("openresolv13",), "", "", *TUN),
)  # fmt: skip


def shell(host: Host, script: str) -> str:
    return host.run(["sh", "-euc", script])


def clear_entries(host: Host) -> None:
    """Removes our entries, and stops the guard, which would restore them."""
    shell(host, "systemctl stop virtnet.service")
    host.run(["python3", "-I", "-"], stdin=CLEAR_ENTRIES.read_text())


def answers(host: Host, guest: Guest) -> dict[str, str]:
    """The addresses that a program on the host gets for each kind of name."""
    address = guest.address()

    def name(queried: str) -> str:
        return " ".join(host.resolves(queried)) or "-"

    reverse = host.attempt(["getent", "hosts", address]).out.split()
    return {
        "short": name(guest.name),
        "full": name(f"{guest.name}.lab.internet.test"),
        "reverse": " ".join(reverse[1:2]) or "-",
        "outside": name(WEB_NAME),
        "VPN": name("wiki.corp.internet.test"),
    }


def with_our_entries(before: dict[str, str], guest: Guest) -> dict[str, str]:
    """The expected answers with our entries; ``before`` has the answers without them."""
    address = guest.address()
    return {**before, "short": address, "full": address, "reverse": f"{guest.name}.lab.internet.test"}


def wait_for_answers(host: Host, guest: Guest, expected: dict[str, str]) -> dict[str, str]:
    """Waits for the expected answers; NetworkManager and systemd-resolved need some time after each change."""
    eventually(lambda: answers(host, guest) == expected, TIMEOUT)
    return answers(host, guest)
