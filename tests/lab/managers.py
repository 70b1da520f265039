"""Programs that manage the interfaces of a lab's host, and how they may affect a bridge that is not theirs."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from .host import Host
from .resolvers import NM_CONF, RESOLVED, RETURN_TO_IFUPDOWN, UPLINK, networkmanager
from .run import script

BRIDGE = "vn-lab"
TAP = "kvm7"
ADDRESS = "10.80.0.1"
# These managers configure every link, as on some cloud images; but not the loopback device, or they would remove the
# route that 127.0.0.53 needs.
CATCH_ALL = "[Match]\nName=!lo\n\n[Network]\nDHCP=yes\nLinkLocalAddressing=ipv6\n"


@dataclass(frozen=True)
class Manager:
    """How a manager is started, made to reapply its configuration, and stopped."""

    name: str
    hosts: tuple[str, ...]
    start: str
    reapply: dict[str, str]
    stop: str


_ADDRESS = "$(ip -4 -o address show eth0 | awk '{print $4}' | head -n 1)"
_NETPLAN = (
    "network: {version: 2, renderer: networkd, ethernets: {eth0: {addresses: [%s], link-local: [], "
    "routes: [{to: default, via: 203.0.113.1}]}}}"
)

MANAGERS = (
    Manager(
        "systemd-networkd",
        ("debian13",),
        script("start_networkd.sh", CATCH_ALL),
        {"restart": "systemctl restart systemd-networkd", "reload": "networkctl reload; networkctl reconfigure eth0"},
        "systemctl stop systemd-networkd systemd-networkd.socket; rm /etc/systemd/network/[59]0-*.network\n"
        + RETURN_TO_IFUPDOWN,
    ),
    Manager(
        "netplan",
        ("debian12",),
        f"""
printf '{_NETPLAN}\\n' "{_ADDRESS}" > /etc/netplan/lab.yaml
chmod 600 /etc/netplan/lab.yaml
netplan apply
""",
        {"restart": "netplan generate; systemctl restart systemd-networkd", "reload": "netplan apply"},
        "systemctl stop systemd-networkd systemd-networkd.socket; rm /etc/netplan/lab.yaml; netplan generate\n"
        + RETURN_TO_IFUPDOWN,
    ),
    Manager(
        "NetworkManager",
        ("debian12", "debian13"),
        script("start_networkmanager_uplink.sh", UPLINK),
        {"restart": "systemctl restart NetworkManager", "reload": "nmcli general reload; nmcli connection reload"},
        f"systemctl stop NetworkManager; rm -f {NM_CONF} /etc/NetworkManager/system-connections/*\n"
        + RETURN_TO_IFUPDOWN,
    ),
    Manager(
        "ifupdown",
        ("debian12",),
        "true",
        {"restart": "systemctl restart networking", "reload": "ifreload -a 2>/dev/null || ifup -a"},
        "true",
    ),
)

# The manager that configures interfaces at boot, by the name of the host; by default ifupdown.
BOOT_MANAGERS = {"debian12": "netplan, systemd-networkd", "debian13": "NetworkManager"}
BOOT_SCRIPTS = {
    "debian12": f"""
{MANAGERS[1].start}
printf '%s' {shlex.quote(CATCH_ALL)} > /etc/systemd/network/90-all.network
{RESOLVED}
systemctl enable systemd-networkd systemd-resolved
systemctl disable networking
""",
    "debian13": f"""
{networkmanager("default")}
systemctl enable NetworkManager
systemctl disable networking
""",
}


def bridge(host: Host) -> dict[str, object]:
    """The state of the bridge, with its index, which shows whether it was recreated."""
    (link,) = json.loads(host.run(["ip", "-d", "-j", "address", "show", "dev", BRIDGE]))
    ports = json.loads(host.run(["ip", "-j", "link", "show", "master", BRIDGE]))
    return {
        "index": link["ifindex"],
        "addresses": sorted(item["local"] for item in link["addr_info"] if item["scope"] == "global"),
        "ports": sorted(port["ifname"] for port in ports if "ifname" in port),
        "up": "UP" in link["flags"],
        "alias": link.get("ifalias", ""),
    }


def as_text(state: dict[str, object]) -> str:
    """The state of a bridge in one line."""
    return ", ".join(f"{key} {' '.join(value) if isinstance(value, list) else value}" for key, value in state.items())


def bridge_faults(host: Host) -> list[str]:
    """Deviations of our bridge from its definition."""
    state = bridge(host)
    faults = []
    if state["addresses"] != [ADDRESS]:
        faults.append(f"addresses {state['addresses']}")
    if not state["up"]:
        faults.append("down")
    return faults


def taken_over(host: Host) -> list[str]:
    """The bridge and the tap, by each running manager that has configured one."""
    found_links = []
    # How NetworkManager reports a link of another program that it does not configure.
    untouched_states = {BRIDGE: ("unmanaged",), TAP: ("unmanaged", "connected (externally)")}
    if host.attempt(["systemctl", "is-active", "--quiet", "systemd-networkd"]).ok:
        listed = json.loads(host.run(["networkctl", "--json=short", "list"]))["Interfaces"]
        found_links += [f"networkd: {link['Name']}" for link in listed
                  if link["Name"] in untouched_states and link["AdministrativeState"] != "unmanaged"]  # fmt: skip
    if host.attempt(["systemctl", "is-active", "--quiet", "NetworkManager"]).ok:
        for line in host.run(["nmcli", "-t", "-f", "DEVICE,STATE", "device"]).splitlines():
            device, _, state = line.partition(":")
            if state not in untouched_states.get(device, (state,)):
                found_links.append(f"NetworkManager: {device} {state}")
    return found_links
