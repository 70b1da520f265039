"""The internet of a lab: veths to its hosts, a DNS server and a web server, in one namespace."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from . import netns
from .run import Failed, Result, attempt, eventually, run, start

ADDRESS = "203.0.113.1"
PREFIX = 24
ZONE = "internet.test"
WEB_NAME = f"www.{ZONE}"
WEB_SERVER = Path(__file__).with_name("webserver.py")
SWITCH = "switch"
TIMEOUT = 10


@dataclass(frozen=True)
class Internet:
    namespace: str
    state: Path

    def ensure(self) -> bool:
        """Creates the internet unless it is complete; returns whether it had to."""
        if self._is_running():
            return False
        self.remove()
        netns.make(self.namespace)
        self._ip("link", "add", SWITCH, "type", "bridge")
        self._ip("address", "add", f"{ADDRESS}/{PREFIX}", "dev", SWITCH)
        self._ip("link", "set", SWITCH, "up")
        self._serve("dns", [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--pid-file",
            "--user=root", f"--listen-address={ADDRESS}", "--bind-interfaces", f"--local=/{ZONE}/",
            f"--host-record={WEB_NAME},{ADDRESS}", f"--host-record=ns.{ZONE},{ADDRESS}",
            f"--txt-record=txt.{ZONE},reached",
        ])  # fmt: skip
        self._serve("web", [sys.executable, "-I", str(WEB_SERVER), ADDRESS, "80"])
        if not eventually(self._servers_answer, TIMEOUT):
            raise Failed(f"the internet's servers do not answer; see {self.state}/*.log")
        return True

    def remove(self) -> None:
        netns.drop(self.namespace)

    def plug(self, host_namespace: str, port: str, mac: str) -> None:
        """A veth from here to a host, where it is called eth0."""
        self.unplug(port)
        self._ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", host_namespace)
        self._ip("link", "set", port, "master", SWITCH, "up")

    def unplug(self, port: str) -> None:
        if self.has(port):
            self._ip("link", "delete", port)

    def has(self, port: str) -> bool:
        return self.attempt(["ip", "link", "show", port]).ok

    def run(self, command: list[str], timeout: float = 60) -> str:
        return run(netns.inside(self.namespace, command), timeout)

    def attempt(self, command: list[str], timeout: float = 60) -> Result:
        return attempt(netns.inside(self.namespace, command), timeout)

    def reaches(self, address: str, port: int, gateway: str) -> list[str]:
        """How an outsider with a route through the host reaches a guest: by ping, by TCP, or normally not at all."""
        self._ip("route", "replace", f"{address}/32", "via", gateway)
        try:
            ping = self.attempt(["ping", "-n", "-c", "1", "-W", "1", address]).ok
            tcp = self.attempt(["curl", "-s", "-o", "/dev/null", "-m", "1", f"http://{address}:{port}/"]).ok
        finally:
            self._ip("route", "delete", f"{address}/32", "via", gateway)
        return [name for name, reached in (("ping", ping), ("tcp", tcp)) if reached]

    def _ip(self, *words: str) -> None:
        self.run(["ip", *words])

    def _serve(self, name: str, command: list[str]) -> None:
        pid = start(netns.inside(self.namespace, command), self.state / f"{name}.log")
        (self.state / f"{name}.pid").write_text(f"{pid}\n")

    def _is_running(self) -> bool:
        files = [self.state / f"{name}.pid" for name in ("dns", "web")]
        return all(file.exists() and netns.holds(self.namespace, int(file.read_text())) for file in files)

    def _servers_answer(self) -> bool:
        web = self.attempt(["curl", "-s", "-o", "/dev/null", "-m", "2", f"http://{ADDRESS}/"])
        dns = self.attempt(["dig", "+short", "+tries=1", "+time=1", f"@{ADDRESS}", WEB_NAME])
        return web.ok and dns.out.strip() == ADDRESS
