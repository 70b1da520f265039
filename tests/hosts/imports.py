# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PYTHONPATH=tests python -m hosts.imports [OWNER...]: imports networks of other programs, which go on as ours.

A guest shows that what was read is what is served: it has an address of the range and the way out of its owner's
network, and has the same of ours afterwards. Exit status 1 if that failed for an owner; logs are in
.build/hosts/import-OWNER.log.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import snapshot
from lab.guest import Guest
from lab.host import Host
from lab.internet import ADDRESS
from lab.lab import Lab
from lab.run import Failed

from .faults import Fault, wait_for
from .playbook import LOGS, first_error, play_in_lab

OWNERS_FOLDER = Path(__file__).with_name("owners")
# What programs write by themselves while they run, and what the guests of these tests leave.
CHANGES_BY_ITSELF = ("/var/lib/incus/", "/var/lib/NetworkManager/", "/var/lib/systemd/", "/run/", "/etc/netns")


@dataclass(frozen=True)
class Owner:
    """A program, its network as it has to be read, and what guests get; ``source``: as the import calls it."""

    image: str
    source: str
    network: Mapping[str, Any]
    first: str
    last: str


OWNERS: Mapping[str, Owner] = {
    "networkmanager": Owner(
        "trixie-managers",
        "NetworkManager",
        {
            "name": "Lab-network",
            "mode": "nat",
            "bridge": {"name": "nmbr0"},
            "ipv4": {
                "address": "10.99.0.1/24",
                "dhcp": {"ranges": [{"start": "10.99.0.10", "end": "10.99.0.254", "lease_time": "3600"}]},
            },
            "dns": {"domain": ""},
        },
        "10.99.0.10",
        "10.99.0.254",
    ),
    "networkd": Owner(
        "trixie-managers",
        "systemd-networkd",
        {
            "name": "vmbr0",
            "mode": "nat",
            "bridge": {"name": "vmbr0"},
            "ipv4": {
                "address": "10.77.0.1/24",
                "dhcp": {"ranges": [{"start": "10.77.0.100", "end": "10.77.0.149"}], "lease_time": "7200"},
            },
            "dns": {"domain": ""},
        },
        "10.77.0.100",
        "10.77.0.149",
    ),
    "incus": Owner(
        "trixie-incus",
        "incus",
        {
            "name": "lab0",
            "mode": "nat",
            "bridge": {"name": "lab0"},
            "ipv4": {"address": "10.66.0.1/24", "dhcp": {"ranges": [{"start": "10.66.0.50", "end": "10.66.0.90"}]}},
            "dns": {"domain": "lab.example"},
        },
        "10.66.0.50",
        "10.66.0.90",
    ),
}


@dataclass(frozen=True)
class Import:
    """The import of one owner's network on one host."""

    host: Host
    name: str
    owner: Owner
    log: Path

    def run(self) -> None:
        """All steps; raises Fault and Failed."""
        self._script("up")
        guest = Guest(self.host, "guest")
        self._serve(guest)
        networks = self._import()
        guest.unplug()
        self._script("down")
        if not self._play("site", networks):
            raise Fault("site changed nothing")
        self._serve(guest)
        if changed := self._play("site", networks):
            raise Fault(f"a second run of site changed {changed} tasks")
        if self._written(networks):
            raise Fault("a network of ours was imported")
        guest.unplug()
        self._play("teardown", networks)

    def _import(self) -> Sequence[Mapping[str, Any]]:
        """The networks of the file that the playbook writes; nothing on the host changes by it."""
        before = snapshot.take(self.host)
        networks = self._written([])
        found = [
            line
            for line in snapshot.differences(before, snapshot.take(self.host))
            if not any(path in line for path in CHANGES_BY_ITSELF)
        ]
        if found:
            raise Fault(f"the import changed something: {found[:5]}")
        if networks != [self.owner.network]:
            raise Fault(f"read: {networks}, not {self.owner.network}")
        if f"({self.owner.source})" not in self._file.read_text():
            raise Fault(f"the file does not name {self.owner.source}")
        return networks

    @property
    def _file(self) -> Path:
        return self.log.with_suffix(".networks.yml")

    def _written(self, networks: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        self._play("import", networks, "-e", f"virtnet_import_file={self._file}")
        variables = yaml.safe_load(self._file.read_text())["all"]["hosts"][self.host.name]
        written: Sequence[Mapping[str, Any]] = variables.get("virtnet_networks", [])
        return written

    def _serve(self, guest: Guest) -> None:
        """A guest gets an address of the range, and reaches the outside with the address of the host."""
        guest.plug(str(self.owner.network["bridge"]["name"]))
        address = ipaddress.ip_address(guest.lease())
        first, last = map(ipaddress.ip_address, (self.owner.first, self.owner.last))
        if not int(first) <= int(address) <= int(last):
            raise Fault(f"the guest has {address}, which is not in {first} - {last}")
        wait_for("the guest's way out", lambda: guest.fetch(f"http://{ADDRESS}/"), self.host.address)

    def _script(self, word: str) -> None:
        script = (OWNERS_FOLDER / f"{self.name}.sh").read_text()
        self.host.run(["sh", "-eu", "-s", word], 120, stdin=script)

    def _play(self, playbook: str, networks: Sequence[Mapping[str, Any]], *options: str) -> int:
        typed, result = play_in_lab(self.host, self.log.with_suffix(".json"), playbook, networks, *options)
        with self.log.open("a") as log:
            log.write(f"{typed}\n{result.output}\n")
        if result.status or not result.passed or result.changed is None:
            raise Fault(f"the playbook {playbook} failed: {first_error(result.output)}")
        return result.changed


def fault_of(name: str) -> str:
    """Why the import of an owner's network failed; "" if it did not."""
    owner, lab = OWNERS[name], Lab(f"import-{name}")
    log = LOGS / f"import-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    lab.down()
    try:
        lab.up({"host": owner.image})
        Import(lab.host("host"), name, owner, log).run()
    except (Fault, Failed, OSError, KeyError) as error:
        return str(error)
    finally:
        lab.down()
    return ""


def main(names: Sequence[str]) -> int:
    if unknown := set(names) - set(OWNERS):
        print(f"no such owner: {', '.join(sorted(unknown))}; there are {', '.join(OWNERS)}")
        return 2
    faults = {name: fault_of(name) for name in names or OWNERS}
    for name, fault in faults.items():
        print(f"{name}: {f'FAILED: {fault}' if fault else 'ok'}")
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
