# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A firewalld in a namespace, with a bus and a configuration of its own."""

from __future__ import annotations

import os
from pathlib import Path

from kernel.polling import wait_until
from kernel.testbed import Namespace
from kernel.unpacked import unpacked

_PACKAGES = ("firewalld", "python3-firewall", "python3-nftables", "python3-dbus", "python3-gi", "gir1.2-glib-2.0")
_BUS = """<busconfig>
<type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default">
<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/>
</policy>
</busconfig>
"""


class Firewalld:
    """The daemon. Its ``firewall-cmd`` is in the folder ``bin`` of the root, which the caller adds to PATH."""

    def __init__(self, host: Namespace, root: Path) -> None:
        self.host = host
        self.configuration = root / "etc/firewalld"
        for folder in ("zones", "policies"):
            (self.configuration / folder).mkdir(parents=True, exist_ok=True)
        files = unpacked("firewalld", *_PACKAGES)
        self._default = files.root / "usr/lib/firewalld"
        self._daemon = files.root / "usr/sbin/firewalld"
        bus = root / "bus"
        libraries = files.libraries
        environment = {
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}",
            "PYTHONPATH": str(files.root / "usr/lib/python3/dist-packages"),
            "LD_LIBRARY_PATH": libraries,
            "GI_TYPELIB_PATH": os.pathsep.join(f"{folder}/girepository-1.0" for folder in libraries.split(os.pathsep)),
        }
        self._environment = [f"{name}={value}" for name, value in environment.items()]
        program = root / "bin/firewall-cmd"
        program.parent.mkdir(exist_ok=True)
        words = " ".join(f"'{word}'" for word in self._environment)
        program.write_text(f'#!/bin/sh\nexec env {words} /usr/bin/python3 {files.root / "usr/bin/firewall-cmd"} "$@"\n')
        program.chmod(0o755)
        (root / "bus.conf").write_text(_BUS.format(socket=bus))
        host.start("dbus-daemon", f"--config-file={root / 'bus.conf'}", "--nofork")
        wait_until(bus.exists)
        self.command = str(program)
        self.start()

    def start(self) -> None:
        options = ("--nofork", "--nopid", "--log-target=console", f"--default-config={self._default}")
        words = ("/usr/bin/python3", str(self._daemon), *options, f"--system-config={self.configuration}")
        self._process = self.host.start("env", *self._environment, *words)
        wait_until(lambda: self.ask("--state", check=False) == "running")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def ask(self, *options: str, check: bool = True) -> str:
        """The output of firewall-cmd."""
        return self.host.run(self.command, *options, check=check).strip()

    def files(self) -> dict[str, str]:
        """The configuration of the administrator."""
        return {str(path): path.read_text() for path in self.configuration.rglob("*.xml")}
