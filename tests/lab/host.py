"""A host of a lab: a systemd container in a network namespace that exists before it boots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import netns
from .internet import ADDRESS, PREFIX, Internet
from .podman import ask, inspect, podman
from .run import Failed, Result, attempt, eventually, run

LABEL = "virtnet.lab"
FIRST_HOST_NUMBER = 10
BOOT_SECONDS = 180
STOP_SECONDS = 20
READY = ("running", "degraded")
# The environment of a root login there; the machine's own environment must not get in.
ENVIRONMENT = {
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


@dataclass(frozen=True)
class Host:
    name: str
    number: int
    lab: str
    namespace: str
    state: Path
    internet: Internet

    @property
    def address(self) -> str:
        return f"{ADDRESS.rpartition('.')[0]}.{FIRST_HOST_NUMBER + self.number}"

    @property
    def port(self) -> str:
        """The internet's end of the host's veth."""
        return f"host{self.number}"

    @property
    def pid_file(self) -> Path:
        return self.state / f"{self.name}.pid"

    @property
    def pid(self) -> int:
        """The machine's pid of the container's init, or 0."""
        try:
            pid = int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return pid if netns.holds(self.namespace, pid) else 0

    def runs(self, image: str) -> bool:
        return self.pid != 0 and self.internet.has(self.port) and self._has_image(image)

    def ensure(self, image: str) -> None:
        """Starts the host; one with an outdated image, or one that cannot be started, is replaced."""
        if self.runs(image) or (self._has_image(image) and self._try_reboot()):
            return
        self.remove()
        self._connect()
        podman(
            "run", "--detach", "--name", self.namespace, "--hostname", self.name, "--privileged", "--systemd=always",
            "--label", f"{LABEL}={self.lab}", "--network", f"ns:{netns.path(self.namespace)}", "--dns", "none",
            "--pidfile", str(self.pid_file), "--volume", f"{self._interfaces()}:/etc/network/interfaces.d/eth0:ro",
            image, "/sbin/init",
        )  # fmt: skip
        self._wait_for_boot()

    def reboot(self) -> None:
        """Stops in order, and boots in a fresh namespace, as after a kernel's start."""
        podman("stop", "--time", str(STOP_SECONDS), self.namespace, timeout=STOP_SECONDS + 30)
        self._disconnect()
        self._connect()
        podman("start", self.namespace)
        self._wait_for_boot()

    def _try_reboot(self) -> bool:
        """False if podman can neither stop nor start it, for example after its monitor was killed."""
        try:
            self.reboot()
        except Failed:
            return False
        return True

    def remove(self) -> None:
        ask("rm", "--force", "--time", "0", self.namespace)
        self._disconnect()
        self.pid_file.unlink(missing_ok=True)

    def command(self, command: list[str]) -> list[str]:
        """The command line, for use on the machine, that runs a command on this host."""
        if not self.pid:
            raise Failed(f"host {self.name} does not run")
        return ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--", *command]

    def run(self, command: list[str], timeout: float = 60, stdin: str = "") -> str:
        return run(self.command(command), timeout, stdin, env=ENVIRONMENT)

    def attempt(self, command: list[str], timeout: float = 60, stdin: str = "") -> Result:
        return attempt(self.command(command), timeout, stdin, env=ENVIRONMENT)

    def resolves(self, name: str) -> list[str]:
        """The IPv4 addresses that a program on this host gets for a name."""
        return addresses(self.attempt(["getent", "ahostsv4", name]))

    def _has_image(self, image: str) -> bool:
        container = inspect(self.namespace)
        return container is not None and container["ImageName"] == image

    def _interfaces(self) -> Path:
        return self.state / f"{self.name}.interfaces"

    def _connect(self) -> None:
        self._interfaces().write_text(
            f"auto eth0\niface eth0 inet static\n  address {self.address}/{PREFIX}\n"
            f"  gateway {ADDRESS}\n  dns-nameservers {ADDRESS}\n"
        )
        netns.make(self.namespace)
        self.internet.plug(self.namespace, self.port, f"52:54:00:00:00:{self.number:02x}")

    def _disconnect(self) -> None:
        # The kernel removes a namespace, and with it the veth's other end, some time later: remove the veth first.
        self.internet.unplug(self.port)
        netns.drop(self.namespace)

    def _wait_for_boot(self) -> None:
        """Polls, because `is-system-running --wait` may miss the moment and hang."""

        def has_booted() -> bool:
            return self.pid != 0 and self.attempt(["systemctl", "is-system-running"]).out.strip() in READY

        if not eventually(has_booted, BOOT_SECONDS):
            raise Failed(f"host {self.name} has not booted within {BOOT_SECONDS} s")
        failed = self.run(["systemctl", "--failed", "--plain", "--no-legend"])
        if failed:
            raise Failed(f"host {self.name} has booted, but not all of it:\n{failed}")


def addresses(answer: Result) -> list[str]:
    return sorted({line.split()[0] for line in answer.out.splitlines() if line.strip()})
