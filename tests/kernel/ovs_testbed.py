# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with Open vSwitch: ovsdb-server and ovs-vswitchd of Debian's packages, started by hand in its namespace.

They are unpacked, not installed (tests/tools/unpack-packages), and use the userspace datapath (datapath_type netdev).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from .polling import eventually
from .testbed import Namespace, NamespaceTestbed, script
from .unpacked import Unpacked, unpacked


def programs() -> Unpacked:
    """The folder of the unpacked packages."""
    return unpacked("openvswitch", "openvswitch-common", "openvswitch-switch")


class OpenvswitchNamespace(Namespace):
    """A namespace in which Open vSwitch is installed and runs."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / "openvswitch"
        self.folder.mkdir()
        unpacked_programs = programs()
        root = unpacked_programs.root
        self.environment = {
            "PATH": os.pathsep.join([f"{root}/usr/bin", f"{root}/usr/sbin", os.environ["PATH"]]),
            "LD_LIBRARY_PATH": unpacked_programs.libraries,
            **dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(self.folder)),
            "OVS_PKGDATADIR": f"{root}/usr/share/openvswitch",
        }
        super().__init__(name)

    def command(self, *command: str) -> list[str]:
        return super().command("env", *(f"{name}={value}" for name, value in self.environment.items()), *command)

    def start_switch(self) -> None:
        """Starts the programs as openvswitch-switch.service does."""
        database = self.folder / "conf.db"
        if not database.exists():
            self.run("ovsdb-tool", "create", str(database), f"{self.environment['OVS_PKGDATADIR']}/vswitch.ovsschema")
        log = "--log-file"
        self.run("ovsdb-server", "--remote=punix:" + str(self.folder / "db.sock"), "--pidfile", "--detach", log,
                 str(database))  # fmt: skip
        self.run("ovs-vsctl", "--no-wait", "init")
        self.start_vswitchd()

    def start_vswitchd(self) -> None:
        self.run(f"{programs().root}/usr/lib/openvswitch-switch/ovs-vswitchd", "--pidfile", "--detach", "--log-file")

    def vsctl(self, *words: str) -> str:
        return self.run("ovs-vsctl", "--timeout=30", *words).strip()

    def stop(self, program: str) -> None:
        """Stop one of the programs and wait for its end."""
        file = self.folder / f"{program}.pid"
        if file.exists():
            pid = int(file.read_text())
            os.kill(pid, signal.SIGTERM)
            if not eventually(lambda: not Path(f"/proc/{pid}").exists()):
                os.kill(pid, signal.SIGKILL)

    def stop_switch(self) -> None:
        for program in ("ovs-vswitchd", "ovsdb-server"):
            self.stop(program)

    def close(self) -> None:
        self.stop_switch()
        super().close()


class OpenvswitchTestbed(NamespaceTestbed):
    """The whole testbed, with Open vSwitch on the host."""

    host: OpenvswitchNamespace
    bridge_type = "openvswitch"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.host.start_switch()

    def new_host(self) -> Namespace:
        return OpenvswitchNamespace("host", self.root)

    def plug(self, bridge: str, tap: str) -> None:
        self.host.vsctl("add-port", bridge, tap)

    def add_guest(self, bridge: str, address: str, gateway: str = "") -> Namespace:
        """As in NamespaceTestbed; the guest computes checksums itself, because the userspace datapath does not."""
        namespace = super().add_guest(bridge, address, gateway)
        namespace.run(*script("checksums_in_software"), "eth0")
        return namespace

    def port(self, name: str) -> dict[str, str]:
        """Some columns of a port's row."""
        columns = ("tag", "trunks", "vlan_mode", "protected")
        return {column: self.host.vsctl("get", "Port", name, column) for column in columns}
