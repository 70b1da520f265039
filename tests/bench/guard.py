# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times from a fault to its repair, 20 times each; and how long the service takes to restore 100 and 300 networks,
compared with libvirt's daemon with as many.

python tests/bench/guard.py [ROUNDS [NETWORKS_OF_LIBVIRT...]]

``measure()`` measures everything and returns data, ``tables()`` prints it as Markdown.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from bench import playbook  # noqa: E402

from lab.guest import NetworkdGuest  # noqa: E402
from lab.host import Host  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.progress import step  # noqa: E402
from lab.run import Failed, eventually  # noqa: E402

ROUNDS = 20
FLOOD = 5000
COUNTS = (1, 100, 300)
LIBVIRT_COUNTS = (100, 300)
TIMEOUT = 120.0
NAME, LIBVIRT = "bench-guard", "bench-libvirt"
SCRIPT = Path(__file__).with_name("guard_run.py").read_text()
LIBVIRT_SCRIPT = Path(__file__).with_name("libvirt_run.py").read_text()

Row = Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """Seconds for each kind of fault; the cost of a flood; restores by number of networks, ours and libvirt's.

    ``libvirt`` has for each number a row of ``autostart`` and one of ``re-adopt``; ``version`` is that of its daemon.
    """

    latencies: Mapping[str, Sequence[float]]
    flood: Row
    restores: Mapping[int, Row]
    libvirt: Mapping[int, Mapping[str, Row]]
    version: str


def run_script(host: Host, *arguments: object, script: str = SCRIPT, timeout: float = 7200) -> Any:
    """The output of a script that runs on the host."""
    return json.loads(host.run(["/usr/bin/python3", "-", *map(str, arguments)], timeout=timeout, stdin=script))


def run_playbook(folder: Path) -> None:
    """Define one network on the host, by a run of the playbook."""
    file = folder / "hosts.yml"
    file.write_text(
        f"all:\n  hosts:\n    {NAME}:\n      ansible_connection: lab\n      lab_name: guardbench\n"
        "      virtnet_purge: true\n"
        "      virtnet_networks:\n        - {name: lab, dns: {domain: lab.test}}\n"
    )
    playbook(file, "virtnet.linux.site")


def lease_seconds(host: Host, rounds: int) -> list[float]:
    """From a conflict to a lease of the new subnet, for a guest whose client reacts to its link."""
    guest = NetworkdGuest(host, "guest-n")
    guest.plug("vn-lab")
    seconds = []
    try:
        for _ in range(rounds):
            # A moved network does not move again for a while; a new guard has no memory of it.
            host.run(["systemctl", "restart", "virtnet"])
            net = guest.lease(TIMEOUT).rpartition(".")[0] + "."
            host.run(["ip", "address", "add", f"{net}77/24", "dev", "eth0"])
            start = time.monotonic()

            def has_new_lease(net: str = net) -> bool:
                return not (guest.address() or net).startswith(net)

            if not eventually(has_new_lease, TIMEOUT, interval=0.02):
                raise Failed(f"the guest has got no lease of another subnet within {TIMEOUT:g} s")
            seconds.append(time.monotonic() - start)
            host.run(["ip", "address", "delete", f"{net}77/24", "dev", "eth0"])
    finally:
        guest.unplug()
    return seconds


def latencies(host: Host, rounds: int) -> dict[str, list[float]]:
    """Each kind of fault, while the system's dnsmasq serves the network."""
    with step(f"faults and their repair, {rounds} times each"):
        latencies: dict[str, list[float]] = run_script(host, "repair", rounds)
    with step("a guest follows its network"):
        latencies["guest re-leased (systemd-networkd)"] = lease_seconds(host, rounds)
    return latencies


def private_latencies(host: Host, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Faults that exist only with a private dnsmasq, which the host uses from now on."""
    with step(f"faults and their repair with a private dnsmasq, {rounds} times each"):
        host.run(["systemctl", "disable", "--now", "dnsmasq.service"])
        run_playbook(folder)
        latencies: dict[str, list[float]] = run_script(host, "private", rounds)
    return latencies


def restores(host: Host) -> dict[int, Row]:
    """Restores networks of which only the definitions exist, until the service is ready."""
    restores = {}
    for count in COUNTS:
        with step(f"restore {count} networks"):
            restores[count] = run_script(host, "restore", count)
        if restores[count]["bridges"] != count:
            raise Failed(f"{restores[count]['bridges']} of {count} networks were restored")
    return restores


def measure_libvirt(host: Host, counts: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The same for libvirt's daemon, see libvirt_run.py."""
    rows = {}
    for count in counts:
        with step(f"libvirt starts {count} networks"):
            rows[count] = run_script(host, count, script=LIBVIRT_SCRIPT)
    return rows


def measure(rounds: int = ROUNDS, libvirt_counts: Sequence[int] = LIBVIRT_COUNTS) -> Measured:
    """All measurements, on hosts of a lab; libvirt, which takes minutes for many networks, with these numbers."""
    lab = Lab("guardbench")
    try:
        lab.up({NAME: "bookworm", LIBVIRT: "trixie-libvirt"})
        host = lab.host(NAME)
        with tempfile.TemporaryDirectory() as name:
            with step("a network on a host"):
                run_playbook(Path(name))
            latencies_of_kinds = latencies(host, rounds)
            with step("a flood of addresses elsewhere"):
                flood = run_script(host, "flood", FLOOD)
            restored = restores(host)
            latencies_of_kinds.update(private_latencies(host, Path(name), rounds))
        libvirt = measure_libvirt(lab.host(LIBVIRT), libvirt_counts)
    finally:
        lab.down()
    version = next((row["version"] for row in libvirt.values()), "")
    return Measured(latencies_of_kinds, flood, restored, libvirt, version)


def tables(measured: Measured) -> str:
    """The results, as Markdown."""
    rounds = max(map(len, measured.latencies.values()))
    lines = [f"From the event to right again, seconds, {rounds} times", ""]
    lines += ["| what | median | worst |", "|---|---|---|"]
    lines += [
        f"| {kind} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |"
        for kind, seconds in measured.latencies.items()
    ]
    flood = measured.flood
    comparison = (
        f"; beside libvirt {measured.version}, whose networks have neither DHCP nor DNS here"
        if measured.libvirt
        else ""
    )
    lines += [
        "",
        f"{FLOOD} addresses came and went elsewhere in {flood['seconds']:.1f} s: the guard took {flood['cpu']:.2f} s "
        f"of CPU, then {flood['idle']:.2f} s in 10 s of calm; {flood['MiB']:.1f} MiB resident",
        "",
        f"Networks of which nothing is left but their definitions, until all run{comparison}",
        "",
        "| networks | what | seconds | CPU, seconds | resident, MiB |",
        "|---|---|---|---|---|",
    ]
    rows = [(count, "virtnet.service", row) for count, row in measured.restores.items()]
    for count, of_daemon in measured.libvirt.items():
        rows.append((count, "libvirtd starts them", of_daemon["autostart"]))
        rows.append((count, "libvirtd finds them running", of_daemon["re-adopt"]))
    for count, what, row in sorted(rows, key=lambda seconds: seconds[0]):
        lines.append(f"| {count} | {what} | {row['seconds']:.2f} | {row['cpu']:.2f} | {row['MiB']:.1f} |")
    return "\n".join(lines)


def main() -> int:
    numbers = list(map(int, sys.argv[1:]))
    measured = measure(numbers[0] if numbers else ROUNDS, numbers[1:] or LIBVIRT_COUNTS)
    print(f"\n{tables(measured)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
