# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's network driver, through libvirt's own binding for Python. All calls to libvirt are here."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .errors import MissingTool, VirtnetError
from .libvirt_parse import parse
from .libvirt_write import Version

# The network driver alone, whichever daemon it runs in (libvirtd or virtnetworkd).
_URI = "network:///system"
_DRIVER = "libvirt/connection-driver/libvirt_driver_network.so"


@dataclass(frozen=True)
class Found:
    """One network of libvirt's: its stored XML, and the XML of the network that runs, and whether it does."""

    name: str
    uuid: str
    xml: str
    live: str
    active: bool
    persistent: bool
    autostart: bool
    guests: int = 0

    def status(self) -> str:
        """What is not in the XML, as lines for a diff."""
        words = {"active": self.active, "persistent": self.persistent, "autostart": self.autostart}
        return "".join(f"{word}: {'yes' if value else 'no'}\n" for word, value in words.items())


def driver_installed(root: str) -> bool:
    """Whether the host has libvirt's network driver: lib, lib64 or Debian's folder of the architecture."""
    return any(glob.glob(os.path.join(root, "usr", folder, _DRIVER)) for folder in ("lib*", "lib/*"))


def library() -> Any:
    """The binding; raises MissingTool."""
    try:
        import libvirt
    except ImportError:
        raise MissingTool("the Python library libvirt", "python3-libvirt") from None
    # Its errors come as exceptions; it would print them too.
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


class Driver:
    """A connection, open while inside ``with``; every method raises VirtnetError with libvirt's own words."""

    def __init__(self) -> None:
        self._libvirt = library()
        self._connection: Any = None
        self.version: Version = (0, 0)

    def __enter__(self) -> Driver:
        with self._said("libvirt's network driver does not answer (libvirtd or virtnetworkd)"):
            self._connection = self._libvirt.open(_URI)
            number = self._connection.getLibVersion()
            self.version = (number // 1_000_000, number // 1000 % 1000)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(self._libvirt.libvirtError):
            self._connection.close()

    @contextlib.contextmanager
    def _said(self, doing: str) -> Iterator[None]:
        try:
            yield
        except self._libvirt.libvirtError as error:
            raise VirtnetError(f"{doing}: {error}") from None

    def networks(self) -> dict[str, Found]:
        """All of libvirt's networks by name."""
        with self._said("libvirt's networks cannot be listed"):
            return {one.name(): self._found(one) for one in self._connection.listAllNetworks()}

    def _found(self, network: Any) -> Found:
        active = bool(network.isActive())
        inactive = network.XMLDesc(self._libvirt.VIR_NETWORK_XML_INACTIVE)
        persistent = bool(network.isPersistent())
        return Found(
            name=network.name(),
            uuid=network.UUIDString(),
            xml=inactive,
            live=network.XMLDesc(0) if active else inactive,
            active=active,
            persistent=persistent,
            autostart=persistent and bool(network.autostart()),
            guests=len(network.listAllPorts()) if active else 0,
        )

    def _named(self, name: str) -> Any:
        return self._connection.networkLookupByName(name)

    def define(self, xml: str) -> None:
        """Store a definition; what runs is not changed by it."""
        with self._said("libvirt does not take the definition"):
            self._connection.networkDefineXML(xml)

    def create(self, xml: str) -> None:
        """Start a transient network."""
        with self._said("libvirt does not start the transient network"):
            self._connection.networkCreateXML(xml)

    def start(self, name: str) -> None:
        """Start a defined network."""
        with self._said(f"libvirt does not start network {name!r}"):
            self._named(name).create()

    def stop(self, name: str) -> None:
        """Stop a network; a transient one is gone then."""
        with self._said(f"libvirt does not stop network {name!r}"):
            self._named(name).destroy()

    def undefine(self, name: str) -> None:
        """Remove a definition."""
        with self._said(f"libvirt does not undefine network {name!r}"):
            self._named(name).undefine()

    def autostart(self, name: str, wanted: bool) -> None:
        """Whether libvirt starts it with itself."""
        with self._said(f"libvirt does not set autostart of network {name!r}"):
            self._named(name).setAutostart(1 if wanted else 0)

    def ports(self, name: str) -> list[str]:
        """The guests that libvirt itself has put on a running network, as XML of their ports."""
        with self._said(f"libvirt does not list the ports of network {name!r}"):
            return [str(port.XMLDesc(0)) for port in self._named(name).listAllPorts()]

    def reclaim_ports(self, name: str, ports: Iterable[str]) -> None:
        """Have a network know ports that guests hold already, as after its restart; those that it knows stay."""
        with self._said(f"libvirt does not take the ports of network {name!r} back"):
            network = self._named(name)
            known = {port.UUIDString() for port in network.listAllPorts()}
            for xml in ports:
                if parse(xml).findtext("uuid") not in known:
                    network.portCreateXML(xml, self._libvirt.VIR_NETWORK_PORT_CREATE_RECLAIM)
