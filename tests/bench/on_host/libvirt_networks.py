# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt, on a host: by virsh, a process for each call, or by its Python binding in one process.

python3 libvirt_networks.py ACTION ... CLIENT        prints {"result": seconds} as JSON
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import (
    CHANGED_LAST,
    COMMON,
    LAST,
    Stopped,
    bridge,
    bridges,
    call,
    clear_kernel,
    inotify,
    kill_dnsmasq,
    main,
    seconds,
    service,
    subnet,
    wait_until,
)

URI = "network:///system"
CONFIG = Path("/etc/libvirt/network.conf")
# libvirt fills in checksums of DHCP replies with tc's action csum, which some kernels lack; this program then replaces
# tc, so that libvirt starts networks at all.
STAND_IN = Path("/usr/local/sbin/tc")
STAND_IN_TEXT = """\
#!/bin/sh
case "$*" in *"action csum"*) exit 0 ;; esac
exec /usr/sbin/tc "$@"
"""


def xml(i: int, last: int = LAST, uuid: str = "") -> str:
    net = subnet(i)
    return f"""<network><name>net{i}</name>{f"<uuid>{uuid}</uuid>" if uuid else ""}<forward mode="nat"/>
<bridge name="{bridge(i)}" stp="off" delay="0"/><domain name="net{i}.test" localOnly="yes"/>
<ip address="{net}.1" netmask="255.255.255.0"><dhcp><range start="{net}.2" end="{net}.{last}"/></dhcp></ip></network>"""


class Virsh:
    """A process for each call, as in scripts."""

    def define(self, text: str) -> None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            self._virsh("net-define", file.name)

    def autostart(self, name: str) -> None:
        self._virsh("net-autostart", name)

    def start(self, name: str) -> None:
        self._virsh("net-start", name)

    def destroy(self, name: str) -> None:
        self._virsh("net-destroy", name)

    def undefine(self, name: str) -> None:
        self._virsh("net-undefine", name)

    def dump(self, name: str) -> str:
        return self._virsh("net-dumpxml", "--inactive", name)

    def active(self) -> set[str]:
        return set(self._virsh("net-list", "--name").split())

    def defined(self) -> set[str]:
        return set(self._virsh("net-list", "--all", "--name").split())

    def _virsh(self, *words: str) -> str:
        return call("virsh", "-c", URI, *words)


class Binding:
    """One connection of python3-libvirt."""

    def __init__(self) -> None:
        import libvirt

        libvirt.registerErrorHandler(lambda *_: None, None)
        self._error = libvirt.libvirtError
        self._inactive = libvirt.VIR_NETWORK_XML_INACTIVE
        self._connection = libvirt.open(URI)

    def define(self, text: str) -> None:
        self._query(lambda: self._connection.networkDefineXML(text))

    def autostart(self, name: str) -> None:
        self._query(lambda: self._network(name).setAutostart(1))

    def start(self, name: str) -> None:
        self._query(lambda: self._network(name).create())

    def destroy(self, name: str) -> None:
        self._query(lambda: self._network(name).destroy())

    def undefine(self, name: str) -> None:
        self._query(lambda: self._network(name).undefine())

    def dump(self, name: str) -> str:
        return str(self._query(lambda: self._network(name).XMLDesc(self._inactive)))

    def active(self) -> set[str]:
        return {network.name() for network in self._query(self._connection.listAllNetworks) if network.isActive()}

    def defined(self) -> set[str]:
        return {network.name() for network in self._query(self._connection.listAllNetworks)}

    def _network(self, name: str) -> Any:
        return self._connection.networkLookupByName(name)

    def _query(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._error as problem:
            raise Stopped(str(problem)[:300]) from problem


CLIENTS = {"virsh": Virsh, "python": Binding}


def first(count: int, client: Any) -> None:
    for i in range(count):
        client.define(xml(i))
    for i in range(count):
        client.autostart(f"net{i}")
    for i in range(count):
        client.start(f"net{i}")


def no_op(count: int, client: Any) -> None:
    """Whether all is as expected, as a careful script would check."""
    active = client.active()
    for i in range(count):
        if f"net{i}" not in active or f"{subnet(i)}.{LAST}" not in client.dump(f"net{i}"):
            raise Stopped(f"net{i} is not as defined")


def change_one(client: Any) -> None:
    """A range can only be changed in the stored definition; then a restart disconnects the network's guests."""
    match = re.search("<uuid>(.*)</uuid>", client.dump("net0"))
    client.define(xml(0, CHANGED_LAST, match[1] if match else ""))
    client.destroy("net0")
    client.start("net0")


def remove(names: list[str], client: Any) -> None:
    for name in names:
        client.destroy(name)
        client.undefine(name)


def restart(count: str, _client: str) -> float:
    """Wait for the daemon, which reloads every network."""

    def work() -> None:
        service("restart", "libvirtd")
        wait_until(lambda: len(Virsh().active()) == int(count), "all networks active")

    return seconds(work)


def restore(count: str, _client: str) -> float:
    call("systemctl", "stop", "libvirtd")
    kill_dnsmasq()
    clear_kernel(int(count))
    call("rm", "-rf", "/run/libvirt/network")

    def work() -> None:
        service("start", "libvirtd")
        wait_until(lambda: len(Virsh().active()) == int(count), "all networks active")

    return seconds(work)


def clear(count: str, _client: str) -> None:
    """Remove the networks in any state."""
    for name in Virsh().defined():
        call("virsh", "-c", URI, "net-destroy", name, check=False)
        call("virsh", "-c", URI, "net-undefine", name, check=False)
    kill_dnsmasq()
    clear_kernel(int(count))


def on(backend: str) -> None:
    """Start the daemon with this firewall backend and without networks, also without libvirt's default network."""
    call("systemctl", "disable", "--now", "dnsmasq", check=False)
    call("resolvconf", "-f", "-d", "lo.dnsmasq", check=False)
    STAND_IN.unlink(missing_ok=True)
    if backend == "nftables" and not has_csum():
        STAND_IN.write_text(STAND_IN_TEXT)
        STAND_IN.chmod(0o755)
    lines = [line for line in CONFIG.read_text().splitlines() if not line.startswith("firewall_backend")]
    CONFIG.write_text("\n".join([*lines, f'firewall_backend = "{backend}"']) + "\n")
    service("restart", "libvirtd")
    clear("0", "")


def has_csum() -> bool:
    """Whether the kernel has tc's action csum (tc-csum(8))."""
    call("ip", "link", "add", "csum-probe", "type", "bridge")
    try:
        call("tc", "qdisc", "add", "dev", "csum-probe", "root", "handle", "1:", "htb")
        words = "protocol ip parent 1: u32 match ip dport 68 ffff action csum ip and udp".split()
        result = subprocess.run(["tc", "filter", "add", "dev", "csum-probe", *words], capture_output=True, check=False)
        return result.returncode == 0
    finally:
        call("ip", "link", "delete", "csum-probe")


def timed(work: Callable[[int, Any], None]) -> Callable[[str, str], float]:
    """Includes the time that the client takes to start."""

    def action(count: str, client: str) -> float:
        try:
            return seconds(lambda: work(int(count), CLIENTS[client]()))
        except Stopped as error:
            if "dnsmasq" in str(error) and "inotify" in str(error):
                raise Stopped(
                    f"after {bridges()} networks, since each dnsmasq takes an instance of inotify, of which "
                    f"fs.inotify.max_user_instances allows {inotify()} to a user, over all containers"
                ) from error
            raise

    return action


if __name__ == "__main__":
    main(
        {
            **COMMON,
            "memory": lambda *_: COMMON["memory"](),
            "rules": lambda *_: COMMON["rules"](),
            "has csum": lambda *_: has_csum(),
            "first": timed(first),
            "no-op": timed(no_op),
            "change one": timed(lambda _count, client: change_one(client)),
            "restart": restart,
            "restore": restore,
            "remove one": timed(lambda count, client: remove([f"net{count - 1}"], client)),
            "remove all": timed(lambda count, client: remove([f"net{i}" for i in range(count - 1)], client)),
            "clear": clear,
            "on": on,
            "off": lambda *_: None,
        }
    )
