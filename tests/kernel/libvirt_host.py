# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with libvirt's own daemon and network driver, which are unpacked, not installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from torture.host import Host, new_host

from .polling import wait_until
from .unpacked import unpacked

_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
# The driver of networks alone: that of guests needs users and programs that this machine lacks.
_START = """
ln -s /run /var/run
mkdir -p /etc/libvirt /run/libvirt /run/drivers /var/cache/libvirt /var/lib/libvirt /var/log/libvirt
ln -s {libraries}/libvirt/connection-driver/libvirt_driver_network.so /run/drivers
LIBVIRT_DRIVER_DIR=/run/drivers {tree}/usr/sbin/libvirtd --daemon
"""


class LibvirtHost:
    """The ``host``, and its libvirt."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._tree = unpacked("libvirt", "libvirt-daemon", "libvirt-clients", "python3-libvirt").root
        self._virsh = [f"{self._tree}/usr/bin/virsh", "--quiet", "--connect=network:///system"]
        lower = ":".join([f"{self._tree}/lib/x86_64-linux-gnu", f"{self._tree}{_LIBRARIES}", _LIBRARIES])
        host.sh(f"mount -t overlay -o ro,lowerdir={lower} none {_LIBRARIES}")
        host.sh(_START.format(tree=self._tree, libraries=_LIBRARIES))
        wait_until(lambda: host.run(*self._virsh, "uri", check=False).returncode == 0)

    @property
    def environment(self) -> dict[str, str]:
        """Where Python finds libvirt's binding."""
        return {"PYTHONPATH": f"{self._tree}/usr/lib/python3/dist-packages"}

    def virsh(self, *words: str, stdin: str | None = None) -> str:
        """The output of a command of virsh."""
        return self.host.run(*self._virsh, *words, stdin=stdin).stdout

    def networks(self) -> dict[str, str]:
        """libvirt's networks: the stored definition, the running one, and what is not in these."""
        names = self.virsh("net-list", "--all", "--name").split()
        return {
            name: "".join(
                self.virsh(*words)
                for words in (("net-dumpxml", name, "--inactive"), ("net-dumpxml", name), ("net-info", name))
            )
            for name in names
        }


@contextmanager
def libvirt_host() -> Iterator[LibvirtHost]:
    """A host with libvirt that ends with the block."""
    with new_host() as host:
        libvirt = LibvirtHost(host)
        with patch.dict(os.environ, libvirt.environment):
            yield libvirt
