"""A real virtual machine on a host: QEMU under libvirt, Debian's kernel, and busybox for everything else.

It is emulated (TCG), so that it runs wherever the tests run. It prints to its serial console, which QEMU
writes to a file.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from .host import Host
from .run import Failed, eventually

KERNEL = "/srv/kernel"
FOLDER = "/run/machine"
INITRAMFS = Path(__file__).with_name("initramfs")
TIMEOUT = 120
ROUND_LINE = re.compile(r"guest: round (\d+): www\.internet\.test is (\S+), and sees (\S+)")

# 128 MiB are enough; with 64 the kernel has no space for its initramfs.
DOMAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>192</memory>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{folder}/initramfs</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 mitigations=off machine={name}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <on_reboot>destroy</on_reboot>
  <devices>
    {interface}
    <serial type='file'><source path='{console}'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""


@dataclass(frozen=True)
class Machine:
    host: Host
    name: str

    @property
    def console_file(self) -> str:
        return f"/var/log/libvirt/qemu/{self.name}-console.log"

    def boot(self, kind: str, **source: str) -> None:
        """Starts it with one interface, ``<interface type=KIND><source .../>``; does not wait until it has booted."""
        self._make_initramfs()
        attributes = "".join(f" {name}='{value}'" for name, value in source.items())
        interface = (
            f"<interface type='{kind}'><source{attributes}/><model type='virtio'/><rom enabled='no'/></interface>"
        )
        kernel = self.host.run(["sh", "-c", f"ls {KERNEL}/boot/vmlinuz-*"]).strip()
        text = DOMAIN.format(
            name=self.name, kernel=kernel, folder=FOLDER, interface=interface, console=self.console_file
        )
        self._virsh("create", "/dev/stdin", stdin=text)

    def power_off(self) -> None:
        """Powers off without a shutdown."""
        if self.name in self._virsh("list", "--name").split():
            self._virsh("destroy", self.name)
        self.host.run(["rm", "-rf", self.console_file, f"/var/log/libvirt/qemu/{self.name}.log", FOLDER])

    def console(self) -> str:
        """The output on the console so far."""
        return self.host.attempt(["cat", self.console_file]).out.replace("\r", "")

    def wait_for_output(self, pattern: str, timeout: float = TIMEOUT) -> re.Match[str]:
        """Waits for the first match on the console."""
        if not eventually(lambda: re.search(pattern, self.console()) is not None, timeout, interval=0.5):
            raise Failed(f"machine {self.name} has not said {pattern!r} within {timeout:g} s but:\n{self.console()}")
        match = re.search(pattern, self.console())
        assert match
        return match

    def rounds(self) -> list[tuple[int, str, str]]:
        """For every round: its number, the address of the name, and the guest's address as the web server saw it."""
        return [(int(number), name, source) for number, name, source in ROUND_LINE.findall(self.console())]

    def tap(self) -> str:
        """The host's end of its link: the tap."""
        rows = [line.split() for line in self._virsh("domiflist", self.name).splitlines()[2:] if line.strip()]
        return rows[0][0]

    def link(self) -> str:
        """The state of its link as libvirt reports it."""
        return self._virsh("domif-getlink", self.name, self.tap()).split()[-1]

    def set_link(self, state: str) -> None:
        """Sets the state of its link, as an administrator may."""
        self._virsh("domif-setlink", self.name, self.tap(), state)

    def _make_initramfs(self) -> None:
        if self.host.attempt(["test", "-e", f"{FOLDER}/initramfs"]).ok:
            return
        # The files pass through a pipe: another container has another mount namespace.
        for file in sorted(INITRAMFS.iterdir()):
            target = shlex.quote(f"{FOLDER}/{file.name}")
            self.host.run(["sh", "-c", f"mkdir -p {FOLDER} && cat > {target}"], stdin=file.read_text())
        self.host.run(["sh", f"{FOLDER}/make", KERNEL, FOLDER, f"{FOLDER}/initramfs"])

    def _virsh(self, *words: str, stdin: str = "") -> str:
        return self.host.run(["virsh", "-c", "qemu:///system", *words], stdin=stdin)
