"""A guest: a network namespace inside a host, a veth into one of its bridges, and a real DHCP client."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .host import Host, addresses
from .run import Failed, Result, eventually, script

UDHCPC_SCRIPT = "/usr/lib/virtnet-lab/udhcpc"
GUARD_SECONDS = 60
LEASE_SECONDS = 60
LISTENER_SECONDS = 30


@dataclass(frozen=True)
class Guest:
    host: Host
    name: str

    @property
    def mac(self) -> str:
        digest = hashlib.sha256(f"{self.host.lab} {self.host.name} {self.name}".encode()).digest()
        return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])

    @property
    def tap(self) -> str:
        """The host's end of the guest's veth."""
        return f"tap-{self.name}"

    @property
    def _pid_file(self) -> str:
        return f"/run/udhcpc-{self.name}.pid"

    def plug(self, bridge: str) -> None:
        """Connects the guest anew and starts its DHCP client; does not wait for the lease."""
        self.unplug()
        host = self.host
        host.run(["mkdir", "-p", f"/etc/netns/{self.name}"])
        host.run(["touch", f"/etc/netns/{self.name}/resolv.conf"])
        host.run(["ip", "netns", "add", self.name])
        host.run(["ip", "link", "add", self.tap, "type", "veth",
                  "peer", "name", "eth0", "address", self.mac, "netns", self.name])  # fmt: skip
        self._attach(bridge)
        self.run(["ip", "link", "set", "lo", "up"])
        self._start_client()

    def _start_client(self) -> None:
        self.run(["ip", "link", "set", "eth0", "up"])
        options = ["--interface=eth0", f"--script={UDHCPC_SCRIPT}", "--tryagain=1", "-x", f"hostname:{self.name}"]
        options.append(f"--pidfile={self._pid_file}")
        self.start(["udhcpc", "--foreground", "--syslog", *options])

    def signal_client(self, signal: str) -> None:
        """Sends a signal to the DHCP client alone: its script, which it starts, may end at any moment."""
        pid = self.host.run(["cat", self._pid_file]).strip()
        self.host.run(["kill", f"-{signal}", pid])

    def _attach(self, bridge: str) -> None:
        host = self.host
        if not host.attempt(["ovs-vsctl", "br-exists", bridge]).ok:
            host.run(["ip", "link", "set", self.tap, "master", bridge, "up"])
            return
        host.run(["ip", "link", "set", self.tap, "up"])
        host.run(["ovs-vsctl", "--timeout=30", "add-port", bridge, self.tap])
        # Open vSwitch's userspace datapath forwards checksums that a veth left to hardware, although they are wrong.
        self.run(["ethtool", "-K", "eth0", "tx", "off"])
        # Until the guard has handled the port, the host's own stack would answer the guest's ARP requests too.
        arp_is_off = ["grep", "-qx", "8", f"/proc/sys/net/ipv4/conf/{self.tap}/arp_ignore"]
        userspace = host.attempt(["ovs-vsctl", "get", "bridge", bridge, "datapath_type"]).out.strip() == "netdev"
        if userspace and not eventually(lambda: host.attempt(arp_is_off).ok, GUARD_SECONDS):
            raise Failed(f"no guard on {host.name} has seen to {self.tap} within {GUARD_SECONDS} s")

    def unplug(self) -> None:
        """Removes the guest; its lease stays with the server, as after a machine is switched off."""
        host = self.host
        for pid in host.attempt(["ip", "netns", "pids", self.name]).out.split():
            host.attempt(["kill", "-9", pid])
        if self.is_plugged():
            host.run(["ip", "netns", "delete", self.name])
        host.attempt(["ovs-vsctl", "--timeout=30", "--if-exists", "del-port", self.tap])
        host.attempt(["ip", "link", "delete", self.tap])
        host.run(["rm", "-rf", f"/etc/netns/{self.name}", self._pid_file])
        host.attempt(["rmdir", "/etc/netns"])

    def is_plugged(self) -> bool:
        return self.host.attempt(["test", "-e", f"/run/netns/{self.name}"]).ok

    def lease(self, timeout: float = LEASE_SECONDS) -> str:
        """The address of the DHCP client, once it and the options of the lease are set.

        The client's script sets the address first, then the route and resolv.conf.
        """
        if not eventually(lambda: bool(self.address()) and not self._client_script_runs(), timeout, interval=0.1):
            raise Failed(f"guest {self.name} on {self.host.name} has got no lease within {timeout:g} s")
        return self.address()

    def _client_script_runs(self) -> bool:
        return self.host.attempt(["pgrep", "-f", "[v]irtnet-lab/udhcpc (bound|renew)"]).ok

    def address(self) -> str:
        listed = json.loads(self.run(["ip", "-j", "-4", "address", "show", "dev", "eth0"]))
        addresses = [item["local"] for link in listed for item in link.get("addr_info", [])]
        return addresses[0] if addresses else ""

    def resolves(self, name: str) -> list[str]:
        return addresses(self.attempt(["getent", "ahostsv4", name]))

    def fetch(self, url: str) -> str:
        return self.attempt(["curl", "-s", "-S", "-m", "20", url]).out.strip()

    def pings(self, address: str) -> bool:
        return self.attempt(["ping", "-n", "-c", "1", "-W", "2", address]).ok

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """A TCP listener in the guest that answers HTTP."""
        pid = self.start(["python3", "-I", "-m", "http.server", "--bind", "0.0.0.0", str(port)])
        try:
            ready = ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]
            if not eventually(lambda: self.attempt(ready).ok, LISTENER_SECONDS):
                raise Failed(f"the listener in guest {self.name} does not start")
            yield
        finally:
            self.host.run(["kill", pid])

    def start(self, command: list[str]) -> str:
        """Starts a daemon in the guest, which ends with the host at the latest; returns its pid on the host."""
        return self.run(["sh", "-c", '"$@" >/dev/null 2>&1 & echo $!', "sh", *command]).strip()

    def run(self, command: list[str], timeout: float = 60) -> str:
        return self.host.run(["ip", "netns", "exec", self.name, *command], timeout)

    def attempt(self, command: list[str], timeout: float = 60) -> Result:
        return self.host.attempt(["ip", "netns", "exec", self.name, *command], timeout)


class NetworkdGuest(Guest):
    """A guest whose client is systemd-networkd, which renews its lease after its link lost the carrier."""

    def _start_client(self) -> None:
        self.start(["sh", "-c", script("networkd_client.sh", self.name)])
