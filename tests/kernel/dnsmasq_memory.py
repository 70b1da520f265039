# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory of the dnsmasq that serves 1, 10 and 100 networks: ``make dnsmasq-memory``.

Our shared instance, also at ports of its own, is compared with one dnsmasq for each network with libvirt's options
(bridge_driver.c); all run at the same time on the same host. PSS counts a page that n processes share as 1/n of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kernel.dnsmasq_testbed import (
    PROGRAM,
    Daemon,
    NamedNamespace,
    has_ended,
    new_testbed,
    open_folder,
    running,
)
from kernel.polling import eventually

COUNTS = (1, 10, 100)
_FIELDS = ("Rss", "Pss")


def network(i: int) -> dict[str, Any]:
    subnet = f"172.20.{i}"
    ranges = [{"start": f"{subnet}.2", "end": f"{subnet}.254"}]
    return {"name": f"n{i}", "interface": f"virt{i}", "address": f"{subnet}.1/24", "ranges": ranges,
            "domain": f"n{i}.test"}  # fmt: skip


def memory(pids: Sequence[int]) -> dict[str, float]:
    """RSS and PSS of processes in MiB (proc(5), smaps_rollup)."""
    sizes = dict.fromkeys(_FIELDS, 0.0)
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in sizes:
                sizes[name] += int(value.split()[0]) / 1024
    return sizes


@contextlib.contextmanager
def dnsmasq_per_network(namespace: NamedNamespace, folder: Path, count: int) -> Iterator[list[int]]:
    """A dnsmasq for each network, as libvirt starts them, on bridges in a namespace of its own."""
    pids = []
    try:
        for i in range(count):
            options = network(i)
            conf, pid = folder / f"each{i}.conf", folder / f"each{i}.pid"
            conf.write_text(
                "strict-order\nno-resolv\nexcept-interface=lo\nbind-dynamic\ninterface={interface}\n"
                "dhcp-no-override\ndhcp-authoritative\ndhcp-lease-max=253\nuser=dnsmasq\nno-hosts\n"
                "dhcp-range={start},{end},255.255.255.0\n".format(
                    interface=options["interface"], **options["ranges"][0]
                )
                + f"dhcp-leasefile={folder}/each{i}.leases\npid-file={pid}\n"
            )
            namespace.run(PROGRAM, f"--conf-file={conf}")
            pids.append(int(pid.read_text()))
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            assert eventually(lambda pid=pid: has_ended(pid), 30)


def create_bridges(namespace: NamedNamespace, count: int) -> None:
    for i in range(count):
        options = network(i)
        namespace.run("ip", "link", "add", options["interface"], "type", "bridge")
        namespace.run("ip", "address", "add", options["address"], "dev", options["interface"])
        namespace.run("ip", "link", "set", options["interface"], "up")


def measure(count: int) -> list[dict[str, float]]:
    """The memory of the system's dnsmasq, of private instances, and of one dnsmasq for each network."""
    with new_testbed() as our_testbed, new_testbed() as libvirt_testbed, open_folder() as folder:
        for testbed in (our_testbed, libvirt_testbed):
            create_bridges(testbed.host, count)
        fragments = [{**network(i), "upstream": True} for i in range(count)]
        (folder / "system").mkdir()
        (folder / "private").mkdir()
        (folder / "beside").mkdir()
        with dnsmasq_per_network(libvirt_testbed.host, folder, count) as each:
            with running(Daemon(our_testbed.host, folder / "system")) as daemon:
                daemon.converge(*fragments)
                system = memory([daemon.pid])
            config = "bind-dynamic\ninterface=eth0\n"
            with running(Daemon(our_testbed.host, folder / "private", config)) as daemon:
                private = private_memory(daemon, fragments)
            with running(Daemon(our_testbed.host, folder / "beside")) as daemon:
                beside = private_memory(daemon, [{**fragment, "redirect": True} for fragment in fragments])
            return [system, private, beside, memory(each)]


def private_memory(daemon: Daemon, fragments: Sequence[dict[str, Any]]) -> dict[str, float]:
    daemon.converge(*({**fragment, "instance": "private"} for fragment in fragments))
    pids = [daemon.private.pid(name) for name in dict.fromkeys(daemon.private.starts)]
    assert len(pids) == 1
    return memory(pids)


def main() -> None:
    columns = ("the system's", "a private one", "at its own ports", "one for each network")
    print(f"{'MiB: RSS / PSS':<16}" + "".join(f"{name:<24}" for name in columns))
    for count in COUNTS:
        cells = [f"{sizes['Rss']:.1f} / {sizes['Pss']:.2f}" for sizes in measure(count)]
        print(f"{f'{count} networks':<16}" + "".join(f"{cell:<24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
