"""Prints the state of the host it runs on, as JSON: everything that a tool for networks may change.

Runs on the host itself (`python3 -I -`), so it imports nothing of ours. Every section is a flat
mapping of a name to a value; what changes by itself (counters, timers, indices, handles) is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

Section = dict[str, Any]
VOLATILE = {"ifindex", "link_index", "link_netnsid", "handle", "packets", "bytes", "metainfo", "valid_life_time",
            "preferred_life_time", "fdb_n_learned"}  # fmt: skip
TREES = ("/etc", "/usr/local", "/var/lib")
# Files of programs that write them by themselves.
EXCLUDED = (
    "/etc/.updated", "/etc/ld.so.cache", "/etc/machine-id", "/etc/mtab", "/var/lib/NetworkManager",
    "/var/lib/apt", "/var/lib/cloud", "/var/lib/dbus", "/var/lib/dhcp", "/var/lib/dnsmasq/dnsmasq.leases",
    "/var/lib/dpkg", "/var/lib/misc/dnsmasq.leases",
    "/var/lib/openvswitch/conf.db", "/var/lib/pam", "/var/lib/systemd",
)  # fmt: skip
LEASES = "/var/lib/libvirt/dnsmasq/*.status"
FIRST_BOOT = ("systemd-", "ldconfig.")
# D-Bus starts these on demand; the first ends after ten idle seconds.
ON_DEMAND = ("NetworkManager-dispatcher.", "polkit.")
SYSCTL_TREES = ("net/ipv4/conf", "net/ipv6/conf", "net/bridge")
SYSCTLS = ("net/ipv4/ip_forward", "net/ipv4/ip_nonlocal_bind", "net/ipv4/ip_local_port_range")
TIMEOUT = 30
SETTLE_SECONDS = 3


def run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    return result.stdout


def wait_for_addresses() -> None:
    """Waits until duplicate address detection has finished: it adds routes. A bridge without ports never finishes."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while run("ip", "-6", "address", "show", "tentative").strip() and time.monotonic() < deadline:
        time.sleep(0.1)


def without_volatile(value: Any) -> Any:
    """The value without its volatile keys, at any depth."""
    if isinstance(value, dict):
        return {
            key: without_volatile(item)
            for key, item in value.items()
            if key not in VOLATILE and not key.endswith("_timer")
        }
    if isinstance(value, list):
        return [without_volatile(item) for item in value]
    return value


def links() -> Section:
    return {link["ifname"]: without_volatile(link) for link in json.loads(run("ip", "-d", "-j", "link"))}


def addresses() -> Section:
    return {
        f"{link['ifname']} {item['local']}/{item['prefixlen']}": without_volatile(item)
        for link in json.loads(run("ip", "-j", "address"))
        for item in link["addr_info"]
    }


def routes() -> Section:
    section: Section = {}
    for family in ("-4", "-6"):
        for route in json.loads(run("ip", family, "-j", "route", "show", "table", "all")):
            key = f"{route.get('table', 'main')} {route.get('type', '')} {route['dst']} dev {route.get('dev')}"
            section[key] = without_volatile(route)
        for rule in json.loads(run("ip", family, "-j", "rule")):
            section[f"rule {family} {rule['priority']}"] = rule
    return section


def rules() -> Section:
    section: Section = {}
    # A host without nftables has no rules.
    ruleset = run("nft", "-j", "list", "ruleset") if shutil.which("nft") else '{"nftables": []}'
    for item in json.loads(ruleset)["nftables"]:
        for kind, body in without_volatile(item).items():
            name = " ".join(str(body[key]) for key in ("family", "table", "chain", "name") if key in body)
            section.setdefault(f"{kind} {name}".strip(), []).append(body)
    # libvirt inserts the rules of the last started network first.
    for name, bodies in section.items():
        if "LIBVIRT_" in name:
            bodies.sort(key=lambda body: json.dumps(body, sort_keys=True))
    return section


def iptables() -> Section:
    """Rules as iptables sees them, which can be had before nftables is installed."""
    section: Section = {}
    for program in ("iptables-save", "ip6tables-save"):
        table = ""
        for line in run(program).splitlines() if shutil.which(program) else ():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith(":"):
                chain, policy = line[1:].split()[:2]
                section[f"{program} {table} {chain}"] = [policy]
            elif line.startswith("-A"):
                section[f"{program} {table} {line.split()[1]}"].append(line)
    for name, lines in section.items():
        if "LIBVIRT_" in name:
            lines.sort()
    return section


def sysctls() -> Section:
    root = Path("/proc/sys")
    files = [file for tree in SYSCTL_TREES for file in (root / tree).rglob("*") if file.is_file()]
    section: Section = {}
    for file in [*files, *(root / name for name in SYSCTLS)]:
        try:
            section[str(file.relative_to(root))] = file.read_text().strip()
        except OSError:
            continue  # some can only be written, or have no value yet
    return section


def files() -> Section:
    section: Section = {}
    for tree in TREES:
        for folder, subfolders, names in os.walk(tree):
            subfolders[:] = [name for name in subfolders if os.path.join(folder, name) not in EXCLUDED]
            for name in [*subfolders, *names]:
                path = os.path.join(folder, name)
                if path not in EXCLUDED and not fnmatch(path, LEASES):
                    section[path] = describe(path)
    return section


def describe(path: str) -> str:
    status = os.lstat(path)
    owner = f"{status.st_mode:o} {status.st_uid}:{status.st_gid}"
    if os.path.islink(path):
        return f"link to {os.readlink(path)}"
    if os.path.isfile(path):
        return f"{owner} {hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
    return owner


def units() -> Section:
    listed = json.loads(run("systemctl", "list-unit-files", "--output=json"))
    return {unit["unit_file"]: unit["state"] for unit in listed}


def services() -> Section:
    listed = json.loads(run("systemctl", "list-units", "--type=service,timer,path,socket", "--output=json"))
    active = [
        unit
        for unit in listed
        if unit["active"] != "inactive" and not unit["unit"].startswith((*FIRST_BOOT, *ON_DEMAND))
    ]
    return {unit["unit"]: f"{unit['active']} {unit['sub']}" for unit in active}


def resolver() -> Section:
    section = {"/etc/resolv.conf": Path("/etc/resolv.conf").read_text().splitlines()}
    for folder in ("/run/resolvconf/interfaces", "/run/resolvconf/interface"):
        for file in Path(folder).glob("*"):
            section[str(file)] = file.read_text().splitlines()
    return section


SECTIONS = (links, addresses, routes, rules, iptables, sysctls, files, units, services, resolver)

if __name__ == "__main__":
    wait_for_addresses()
    print(json.dumps({section.__name__: section() for section in SECTIONS}, sort_keys=True))
