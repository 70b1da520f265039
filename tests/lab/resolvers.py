"""Those who can own resolv.conf on a host of a lab, a VPN with a server and a domain of its own, and what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .guest import Guest
from .host import Host
from .internet import WEB_NAME
from .run import eventually

TIMEOUT = 60
VPN_SERVER = "10.99.0.53"
# A VPN's server knows names that others deny, and has its own view of some of theirs.
VPN = f"""
ip netns add corp
ip link add vpn0 type veth peer name eth0 netns corp
ip address add 10.99.0.1/24 dev vpn0
ip link set vpn0 up
ip -n corp address add {VPN_SERVER}/24 dev eth0
ip -n corp link set lo up
ip -n corp link set eth0 up
ip netns exec corp dnsmasq --conf-file=/dev/null --no-hosts --no-resolv --user=root --pid-file=/run/corp.pid \\
  --listen-address={VPN_SERVER} --bind-interfaces --local=/corp.internet.test/ \\
  --host-record=wiki.corp.internet.test,10.99.0.80 \\
  --host-record={WEB_NAME},10.99.0.99
"""
CLEAR_ENTRIES = Path(__file__).with_name("programs") / "clear_resolver_entries.py"
NM_CONF = "/etc/NetworkManager/conf.d/lab.conf"


@dataclass(frozen=True)
class Owner:
    """How somebody comes to own resolv.conf and goes again, and how a VPN tells it of its server."""

    name: str
    hosts: tuple[str, ...]
    start: str = ""
    stop: str = ""
    vpn_up: str = ""
    vpn_down: str = ""


MANAGERS = ("debian12", "debian13")
PLAIN = "search internet.test\\nnameserver 203.0.113.1\\n"
RESTORED = f"rm -f /etc/resolv.conf; printf '{PLAIN}' > /etc/resolv.conf"
UPLINK = """\
[connection]
id=uplink
type=ethernet
interface-name=eth0
[ipv4]
method=manual
address1=ADDRESS/24,203.0.113.1
dns=203.0.113.1;
dns-search=internet.test;
"""
CORP = """\
[connection]
id=corp
uuid=6a5a9d5e-1111-4000-8000-000000000001
type=ethernet
interface-name=vpn0
autoconnect=false
[ipv4]
method=manual
address1=10.99.0.1/24
dns=10.99.0.53;
dns-search=corp.internet.test;
dns-priority=50
never-default=true
"""


def networkmanager(dns: str) -> str:
    return f"""
mkdir -p /etc/NetworkManager/conf.d /etc/NetworkManager/system-connections
printf '[main]\\nplugins=keyfile\\nrc-manager=file\\ndns={dns}\\n' > {NM_CONF}
cat > /etc/NetworkManager/system-connections/uplink.nmconnection <<'E'
{UPLINK}E
cat > /etc/NetworkManager/system-connections/corp.nmconnection <<'E'
{CORP}E
sed -i "s/ADDRESS/$(ip -4 -o address show eth0 | awk '{{print $4}}' | cut -d / -f 1)/" \\
  /etc/NetworkManager/system-connections/uplink.nmconnection
chmod 600 /etc/NetworkManager/system-connections/*
printf '%s\\n' '[device-vpn0]' 'match-device=interface-name:vpn0' 'managed=1' >> {NM_CONF}
systemctl start NetworkManager
nmcli device set vpn0 managed yes
nmcli -w 30 connection up uplink
# It takes the address that is there for the profile's, and the profile for active.
nmcli -w 30 connection down corp || true
ip address replace 10.99.0.1/24 dev vpn0
"""


# A manager that goes leaves addresses whose routes it made itself, which the next one takes for somebody else's.
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

RESOLVED = """
mkdir -p /etc/systemd/resolved.conf.d
printf '%s\\n' '[Resolve]' DNS=203.0.113.1 Domains=internet.test LLMNR=no MulticastDNS=no \\
  > /etc/systemd/resolved.conf.d/lab.conf
systemctl restart systemd-resolved
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
"""

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
    """No entries of ours, and no guard that makes them again."""
    shell(host, "systemctl stop virtnet.service")
    host.run(["python3", "-I", "-"], stdin=CLEAR_ENTRIES.read_text())


def answers(host: Host, guest: Guest) -> dict[str, str]:
    """What a program on the host gets for each kind of name."""
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
    """The answers with our entries, where those without were ``before``."""
    address = guest.address()
    return {**before, "short": address, "full": address, "reverse": f"{guest.name}.lab.internet.test"}


def wait_for_answers(host: Host, guest: Guest, expected: dict[str, str]) -> dict[str, str]:
    """The answers once they are as expected; NetworkManager and systemd-resolved take their time after each change."""
    eventually(lambda: answers(host, guest) == expected, TIMEOUT)
    return answers(host, guest)
