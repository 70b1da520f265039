# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with a LAN, an uplink and a bridge with a guest, each in a network namespace, and a real dnsmasq.

lan 10.1.0.5 --- eth0 10.1.0.1 [host] up0 10.99.0.1 --- 10.99.0.2 [uplink] 172.31.5.5
                               virt0 192.168.100.1 --- [guest]
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import Plan, converge
from ansible_collections.virtnet.linux.plugins.module_utils.core.systemctl import Unit
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import Layout
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reconciler import Fragments, FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import (
    DnsmasqFailed,
    ServiceStatus,
    parse_version,
    relevant_lines,
)
from kernel.polling import eventually

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000

# Another version to test with: DNSMASQ=/path/to/dnsmasq pytest tests/kernel/test_dnsmasq.py
PROGRAM = os.environ.get("DNSMASQ", "/usr/sbin/dnsmasq")

NAME = "www.example.test"
NAMED_ADDRESS = "203.0.113.5"
OK, REFUSED, SILENT = "ok", "refused", "none"
_DIG_NO_REPLY = 9

# As Debian's unit starts it.
LOCAL = ("--local-service",)

BRIDGE_ADDRESS = "192.168.100.1"
LAN_ADDRESS = "10.1.0.1"
UPLINK_ADDRESS = "10.99.0.1"
# Options of a network on the bridge, as the reconciler gets them.
LAB_FRAGMENT: dict[str, Any] = {
    "name": "lab",
    "interface": "virt0",
    "address": "192.168.100.1/24",
    "ranges": [{"start": "192.168.100.2", "end": "192.168.100.200", "lease_time": "12h"}],
    "domain": "virt.test",
}


def run(command: Sequence[str], check: bool = True, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if check and result.returncode:
        raise AssertionError(f"{' '.join(command)}: {result.stderr or result.stdout}")
    return result


@dataclass(frozen=True)
class NamedNamespace:
    """A network namespace."""

    name: str

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    def argv(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net={self.path}", "--", *command]

    def run(self, *command: str, check: bool = True, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        return run(self.argv(command), check, timeout)

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The block runs in the namespace, and so do the programs that it starts."""
        with Path("/proc/thread-self/ns/net").open("rb") as own_netns, Path(self.path).open("rb") as target_netns:
            _enter(target_netns.fileno())
            try:
                yield
            finally:
                _enter(own_netns.fileno())


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class DnsmasqTestbed:
    """The namespaces; ``bridges`` are made as tests need them."""

    host: NamedNamespace
    guest: NamedNamespace
    lan: NamedNamespace
    uplink: NamedNamespace

    def bridge(self, name: str = "virt0", address: str = f"{BRIDGE_ADDRESS}/24") -> None:
        self.host.run("ip", "link", "add", name, "type", "bridge")
        self.host.run("ip", "address", "add", address, "dev", name)
        self.host.run("ip", "link", "set", name, "up")

    def delete_bridges(self) -> None:
        self.unplug()
        for line in self.host.run("ip", "-o", "link", "show", "type", "bridge").stdout.splitlines():
            self.host.run("ip", "link", "delete", line.split(": ")[1].partition("@")[0])

    def plug(self, bridge: str = "virt0", mac: str = "52:54:00:00:00:01") -> None:
        """Connect the guest to a bridge."""
        self.host.run("ip", "link", "add", "tap0", "type", "veth", "peer", "name", "eth0", "address", mac,
                      "netns", self.guest.path)  # fmt: skip
        self.host.run("ip", "link", "set", "tap0", "master", bridge, "up")
        self.guest.run("ip", "link", "set", "eth0", "up")

    def unplug(self) -> None:
        self.host.run("ip", "link", "delete", "tap0", check=False)


@contextlib.contextmanager
def new_testbed() -> Iterator[DnsmasqTestbed]:
    prefix = f"vnd-{uuid4().hex[:6]}"
    names = [f"{prefix}-{kind}" for kind in ("host", "guest", "lan", "up")]
    try:
        for name in names:
            run(["ip", "netns", "add", name])
            run(["ip", "-n", name, "link", "set", "lo", "up"])
        testbed = DnsmasqTestbed(*map(NamedNamespace, names))
        _connect(testbed.host, "eth0", f"{LAN_ADDRESS}/24", testbed.lan, "10.1.0.5/24")
        _connect(testbed.host, "up0", f"{UPLINK_ADDRESS}/24", testbed.uplink, "10.99.0.2/24")
        testbed.uplink.run("ip", "address", "add", "172.31.5.5/32", "dev", "lo")
        testbed.host.run("ip", "route", "add", "172.31.5.5", "via", "10.99.0.2")
        yield testbed
    finally:
        for name in names:
            run(["ip", "netns", "delete", name], check=False)


def _connect(host: NamedNamespace, name: str, address: str, other: NamedNamespace, other_address: str) -> None:
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", other.path)
    for namespace, link, cidr in ((host, name, address), (other, "eth0", other_address)):
        namespace.run("ip", "address", "add", cidr, "dev", link)
        namespace.run("ip", "link", "set", link, "up")


@dataclass
class Daemon:
    """A dnsmasq in the host's namespace, started as Debian's unit does; to the engine it is the service.

    ``fault``: what happens once, while it is restarted.
    """

    namespace: NamedNamespace
    folder: Path
    config: str = ""
    arguments: Sequence[str] = LOCAL
    hidden_arguments: Sequence[str] = ()
    fault: Callable[[], object] | None = None
    enabled: str = "enabled"
    installed: bool = True
    ordered_after_us: bool = False
    read_folder: bool = True
    restarts: int = 0
    queued: int = 0
    signals: int = 0
    paths: Paths = field(init=False)
    private: PrivateDaemons = field(init=False)

    def __post_init__(self) -> None:
        self.paths = Paths(str(self.folder))
        self.private = PrivateDaemons(self.namespace, self.folder)
        (self.folder / "etc/dnsmasq.d").mkdir(parents=True)
        # No file is watched, because inotify instances are few; no pings before offers, to save time.
        self.write(self.config)

    def write(self, config: str) -> None:
        common = f"no-resolv\nno-hosts\nno-ping\nhost-record={NAME},{NAMED_ADDRESS}\n"
        (self.folder / "etc/dnsmasq.conf").write_text(common + config)

    @property
    def fragments(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.folder / "etc/dnsmasq.d").iterdir()}

    @property
    def log(self) -> str:
        """What dnsmasq logged."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    @property
    def command(self) -> tuple[str, ...]:
        folder = ("-7", f"{self.folder}/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new") if self.read_folder else ()
        return (PROGRAM, "-x", f"{self.folder}/pid", "-u", "dnsmasq", "-l", f"{self.folder}/leases",
                "-C", f"{self.folder}/etc/dnsmasq.conf", f"--log-facility={self.folder}/log", *folder,
                *self.arguments)  # fmt: skip

    @property
    def pid(self) -> int:
        """The running process; never another process that got its number later."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self.folder / "pid").read_text())
            if f"{self.folder}/pid".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0

    def status(self) -> ServiceStatus:
        return ServiceStatus(
            command=self.command,
            installed=self.installed,
            version=parse_version(run([PROGRAM, "--version"]).stdout),
            active="active" if self.pid else "inactive",
            enabled=self.enabled,
            pid=self.pid,
            ordered_after_us=self.ordered_after_us,
        )

    def restart(self) -> None:
        self.restarts += 1
        self.stop()
        fault, self.fault = self.fault, None
        if fault is not None:
            fault()
        result = self.namespace.run(*self.command, *self.hidden_arguments, check=False)
        if result.returncode:
            raise DnsmasqFailed(relevant_lines(result.stderr + self.log))

    def restart_later(self) -> None:
        self.queued += 1

    def reload(self) -> None:
        self.signals += 1
        os.kill(self.pid, signal.SIGHUP)

    def stop(self) -> None:
        pid = self.pid
        if pid:
            os.kill(pid, signal.SIGTERM)
            assert eventually(lambda: has_ended(pid)), "dnsmasq does not end"

    def converge(self, *fragments: dict[str, Any], purge: bool = False, check: bool = False) -> Plan[Any]:
        """Run the reconciler on fragments given as a user would."""
        specs = [FragmentSpec.from_options(Options(options, f"fragments[{i}]")) for i, options in enumerate(fragments)]
        with self.namespace.entered():
            reconciler = Fragments(specs, purge, self.paths, service=self, instances=self.private)
            return converge(reconciler, self.paths, check=check)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that dnsmasq's own user can enter."""
    with tempfile.TemporaryDirectory(prefix="vnd-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def serving(
    testbed: DnsmasqTestbed, folder: Path, config: str = "", arguments: Sequence[str] = LOCAL
) -> contextlib.AbstractContextManager[Daemon]:
    """The system's dnsmasq with the configuration of an administrator."""
    return running(Daemon(testbed.host, folder, config, arguments))


@contextlib.contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    daemon.restart()
    daemon.restarts = 0
    try:
        yield daemon
    finally:
        daemon.private.close()
        daemon.stop()


def start_query(
    namespace: NamedNamespace, server: str, name: str = NAME, source: str = "", kind: str = "A"
) -> subprocess.Popen[str]:
    """Start a DNS query; ``query_answer`` returns its result."""
    bind = ["-b", source] if source else []
    return namespace.start("dig", *bind, "+time=1", "+tries=3", "+short", f"@{server}", name, kind)


def query_answer(query: subprocess.Popen[str]) -> str:
    """The answer to a query, or why there is none."""
    out, _ = query.communicate(timeout=20)
    if query.returncode == 0 and ";;" not in out:
        return out.strip() or "empty"
    if "refused" in out:
        return REFUSED
    # That no server answered (dig(1), "RETURN CODES"), and not that dig itself failed.
    assert query.returncode == _DIG_NO_REPLY, f"dig: {query.returncode}: {out}"
    return SILENT


def resolve(namespace: NamedNamespace, server: str, name: str = NAME, kind: str = "A") -> str:
    return query_answer(start_query(namespace, server, name, kind=kind))


def start_dhcp_client(
    namespace: NamedNamespace, folder: Path, hostname: str = "", configure: bool = False
) -> subprocess.Popen[str]:
    """Start a DHCP client; the lease is written to a file, and with ``configure`` also set on the interface."""
    script = folder / f"udhcpc-{namespace.name}"
    configuration = 'ip -4 addr flush dev $interface; ip addr add "$ip/$mask" dev $interface' if configure else "true"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = bound ] || [ "$1" = renew ] || exit 0\nenv >{script}.lease.new\n{configuration}\n'
        f"mv {script}.lease.new {script}.lease\n"
    )
    script.chmod(0o755)
    lease = Path(f"{script}.lease")
    lease.unlink(missing_ok=True)
    arguments = ["-x", f"hostname:{hostname}"] if hostname else []
    return namespace.start("udhcpc", "-f", "-n", "-q", "-t", "4", "-T", "1", "-A", "0", "-i", "eth0",
                       "-O", "42", "-O", "26", "-O", "252", "-O", "search", "-s", str(script), *arguments)  # fmt: skip


def lease_of_client(client: subprocess.Popen[str], namespace: NamedNamespace, folder: Path) -> dict[str, str]:
    """The lease that a DHCP client got; empty if there was no reply."""
    client.communicate(timeout=30)
    lease = folder / f"udhcpc-{namespace.name}.lease"
    if not lease.exists():
        return {}
    return dict(line.partition("=")[::2] for line in lease.read_text().splitlines())


def get_lease(namespace: NamedNamespace, folder: Path, hostname: str = "") -> dict[str, str]:
    return lease_of_client(start_dhcp_client(namespace, folder, hostname, configure=True), namespace, folder)


@dataclass(frozen=True)
class Observation:
    """The services that everybody gets from the host's dnsmasq: one row of the matrix."""

    guest_lease: bool
    guest_dns: str
    lan_dns: str
    lan_dhcp: bool
    host_dns: str
    on_link: str
    off_link: str

    @property
    def others(self) -> tuple[object, ...]:
        """The results of all but the guest."""
        return self.lan_dns, self.lan_dhcp, self.host_dns, self.on_link, self.off_link


def observe(testbed: DnsmasqTestbed, folder: Path) -> Observation:
    """All queries in parallel, because most timeouts last a second."""
    guest = start_dhcp_client(testbed.guest, folder, "vmone")
    lan = start_dhcp_client(testbed.lan, folder)
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
    queries = [
        start_query(testbed.guest, BRIDGE_ADDRESS),
        start_query(testbed.lan, LAN_ADDRESS),
        start_query(testbed.host, "127.0.0.1"),
        start_query(testbed.uplink, UPLINK_ADDRESS),
        start_query(testbed.uplink, UPLINK_ADDRESS, source="172.31.5.5"),
    ]
    answers = [query_answer(query).replace(NAMED_ADDRESS, OK) for query in queries]
    return Observation(
        guest_lease=lease_of_client(guest, testbed.guest, folder).get("ip", "").startswith("192.168.100."),
        guest_dns=answers[0],
        lan_dns=answers[1],
        lan_dhcp=lease_of_client(lan, testbed.lan, folder).get("ip", "").startswith("10.1.0."),
        host_dns=answers[2],
        on_link=answers[3],
        off_link=answers[4],
    )


_CAPABILITIES = "-all,+net_admin,+net_raw,+net_bind_service"


def has_ended(pid: int) -> bool:
    """Whether a process has closed its sockets too; its command line disappears before."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@dataclass
class PrivateDaemons:
    """Private instances in the host's namespace; to the engine they are its services.

    They run with the user, the capabilities and the command of the unit.
    """

    namespace: NamedNamespace
    folder: Path
    starts: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    paths: Paths = field(init=False)

    def __post_init__(self) -> None:
        self.paths = Paths(str(self.folder))

    def _pid_file(self, name: str) -> Path:
        return self.folder / f"run/virtnet-dnsmasq/{name}/pid"

    def pid(self, name: str) -> int:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self._pid_file(name).read_text())
            if str(self._pid_file(name)).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0

    def log(self, name: str) -> str:
        path = self.folder / f"run/virtnet-dnsmasq/{name}/log"
        return path.read_text() if path.exists() else ""

    def status(self, names: Sequence[str]) -> dict[str, Unit]:
        return {
            name: Unit(active="active" if self.pid(name) else "inactive", main_pid=self.pid(name)) for name in names
        }

    def daemon_reload(self) -> None:
        pass

    def stop(self, names: Sequence[str]) -> None:
        for name in names:
            pid = self.pid(name)
            if pid:
                os.kill(pid, signal.SIGTERM)
                assert eventually(lambda pid=pid: has_ended(pid)), "dnsmasq does not end"

    def restart(self, names: Sequence[str]) -> None:
        self.stop(names)
        for name in names:
            self.starts.append(name)
            for path in (self._pid_file(name).parent, Path(self.paths.private_leases)):
                path.mkdir(parents=True, exist_ok=True)
                run(["chown", "-R", "dnsmasq", str(path)])
            conf = Layout(self.paths).instance(name)
            result = self.namespace.run(
                "setpriv", "--reuid=dnsmasq", "--regid=nogroup", "--clear-groups", f"--inh-caps={_CAPABILITIES}",
                f"--ambient-caps={_CAPABILITIES}", f"--bounding-set={_CAPABILITIES}", "--no-new-privs", PROGRAM,
                f"--conf-file={conf}", f"--pid-file={self._pid_file(name)}", "--no-ping",
                f"--log-facility={self._pid_file(name).parent}/log", check=False,
            )  # fmt: skip
            if result.returncode:
                raise DnsmasqFailed(relevant_lines(result.stderr + self.log(name)))

    def restart_later(self, names: Sequence[str]) -> None:
        self.later += names

    def reload(self, name: str) -> None:
        self.signals.append(name)
        os.kill(self.pid(name), signal.SIGHUP)

    def close(self) -> None:
        self.stop([path.parent.name for path in (self.folder / "run/virtnet-dnsmasq").glob("*/pid")])
