# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A controller, a host and a guest behind it, each a network namespace, the last two with a real sshd.

controller 203.0.113.1 --- 203.0.113.2 host 192.168.90.1 --- 192.168.90.10 guest
           2001:db8::1 --- 2001:db8::2      fd00:90::1   --- fd00:90::10

The controller has no route to the guest. Its user's home has no file of ssh and no agent runs. Debian's sshd is
unpacked, not installed, since its package starts a service.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .polling import eventually
from .testbed import Namespace, call
from .unpacked import unpacked

PORT = 2222
HOST = {4: "203.0.113.2", 6: "2001:db8::2"}
GUEST = {4: "192.168.90.10", 6: "fd00:90::10"}
# Another name for root, so that the log shows which user was requested.
OPERATOR = "operator"
# The users of every machine here: root's home has no files of the real machine.
PASSWD = """\
root:*:0:0:root:{home}:/bin/sh
operator:*:0:0:operator:{home}:/bin/sh
sshd:*:65533:65534::/run/sshd:/usr/sbin/nologin
nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
SSHD_CONFIG = """\
Port {port}
HostKey {folder}/host_key
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
AuthorizedKeysFile none
Match User {user}
    AuthorizedKeysFile {folder}/authorized_keys
"""


@dataclass
class Machine:
    """One of the three machines, with a file system in which its users are those of PASSWD."""

    namespace: Namespace
    folder: Path

    def __post_init__(self) -> None:
        etc, home = self.folder / "etc", self.folder / "home"
        for folder in (etc, home):
            folder.mkdir(parents=True)
        (etc / "passwd").write_text(PASSWD.format(home=home))

    def inside(self, command: list[str], *, usr: Path | None = None) -> list[str]:
        """The arguments that run a command on this machine."""
        mounts = [f"mount -t overlay overlay -o lowerdir={self.folder}/etc:/etc /etc"]
        if usr is not None:
            mounts += [
                f"mount -t overlay overlay -o lowerdir={usr}:/usr /usr",
                "mount -t tmpfs run /run",
                "mkdir -m 755 /run/sshd",
            ]
        script = f'{" && ".join(mounts)} && exec "$@"'
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "enter"]
        return self.namespace.command(*unshare, *command)

    def serve_ssh(self, user: str, key: Path) -> None:
        """An sshd that accepts one user with one key."""
        keygen(self.folder / "host_key")
        (self.folder / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
        config = self.folder / "sshd_config"
        config.write_text(SSHD_CONFIG.format(port=PORT, folder=self.folder, user=user))
        unpacked_packages = unpacked("openssh", "openssh-server", "openssh-sftp-server")
        sshd = [
            "env",
            f"LD_LIBRARY_PATH={unpacked_packages.libraries}",
            "/usr/sbin/sshd",
            "-D",
            "-e",
            "-f",
            str(config),
        ]
        log = (self.folder / "sshd.log").open("w")
        process = subprocess.Popen(
            self.inside(sshd, usr=unpacked_packages.root / "usr"), stdin=subprocess.DEVNULL, stderr=log, text=True
        )
        self.namespace.processes.append(process)
        answers = ["ssh-keyscan", "-T", "2", "-p", str(PORT), "127.0.0.1"]
        listening = eventually(lambda: "127.0.0.1" in self.namespace.run(*answers, check=False), 30)
        assert listening, (self.folder / "sshd.log").read_text()

    def known_hosts(self, *names: str) -> str:
        """Lines for known_hosts (sshd(8)) with its key under these names."""
        key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        return "".join(f"[{name}]:{PORT} {key}\n" for name in names)


def keygen(path: Path) -> None:
    """Create an ssh key without a passphrase."""
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))


@dataclass
class SshTestbed:
    """The three machines."""

    folder: Path

    def __post_init__(self) -> None:
        names = ("controller", "host", "guest")
        self.controller, self.host, self.guest = (Machine(Namespace(name), self.folder / name) for name in names)
        self.host_key, self.guest_key = self.folder / "key of the host", self.folder / "key of the guest"
        for key in (self.host_key, self.guest_key):
            keygen(key)
        self._connect(self.controller, ["203.0.113.1/24", "2001:db8::1/64"], ["203.0.113.2/24", "2001:db8::2/64"])
        self._connect(self.guest, ["192.168.90.10/24", "fd00:90::10/64"], ["192.168.90.1/24", "fd00:90::1/64"])

    def _connect(self, machine: Machine, addresses: list[str], at_host: list[str]) -> None:
        near, far, link = machine.namespace, self.host.namespace, f"to-{machine.folder.name}"
        far.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", near.name)
        for namespace, name, own in ((near, "eth0", addresses), (far, link, at_host)):
            namespace.run("ip", "link", "set", name, "up")
            for address in own:
                namespace.run("ip", "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))

    def start(self) -> None:
        """Start both sshd, each with its own key and user."""
        self.host.serve_ssh(OPERATOR, self.host_key)
        self.guest.serve_ssh("root", self.guest_key)

    def on_controller(self, words: list[str]) -> list[str]:
        """The arguments that run a command on the controller, without an ssh agent."""
        return self.controller.inside(["env", "-u", "SSH_AUTH_SOCK", *words])

    def close(self) -> None:
        for machine in (self.controller, self.host, self.guest):
            machine.namespace.close()
