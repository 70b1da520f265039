# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to libvirt's network driver, with libvirt's Python binding. All calls to libvirt are here."""

from __future__ import annotations

import contextlib
import glob
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..core.errors import MissingTool, VirtnetError
from ..core.families import package_of
from ..libvirt_xml.parse import parse
from ..libvirt_xml.values import Version

# How many seconds to wait for an answer of libvirt. A daemon that socket activation starts needs one or two.
ANSWER_TIMEOUT = 20.0

# The namespace prefix of metadata that is set on a running network.
_METADATA_PREFIX = "kept"

# Commands of virNetwork.update().
ADD, MODIFY, REMOVE = "add", "change", "remove"


@dataclass(frozen=True)
class LibvirtNetwork:
    """A network of libvirt. ``xml``: the stored definition; ``live``: that of the running network, else the same."""

    name: str
    uuid: str
    xml: str
    live: str
    active: bool
    persistent: bool
    autostart: bool
    guests: int = 0

    def status(self) -> str:
        """The properties that are not in the XML, as lines for a diff."""
        properties = {"active": self.active, "persistent": self.persistent, "autostart": self.autostart}
        return "".join(f"{name}: {'yes' if value else 'no'}\n" for name, value in properties.items())


def driver_installed(root: str, name: str = "network") -> bool:
    """Whether a driver of libvirt is installed: in lib, lib64 or Debian's folder of the architecture."""
    file = f"libvirt/connection-driver/libvirt_driver_{name}.so"
    return any(glob.glob(os.path.join(root, "usr", folder, file)) for folder in ("lib*", "lib/*"))


def import_libvirt() -> Any:
    """libvirt's Python binding; raises MissingTool."""
    try:
        import libvirt
    except ImportError:
        raise MissingTool("the Python library libvirt", package_of("libvirt")) from None
    # Errors are raised as exceptions; by default libvirt prints them too.
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


D = TypeVar("D", bound="Driver")
Answer = TypeVar("Answer")


class Driver:
    """A connection, open inside ``with``; every method raises VirtnetError with libvirt's message.

    libvirt's calls wait for an answer without limit, and signals do not interrupt them. So each call runs in a thread,
    which is abandoned when the daemon does not answer.
    """

    # This URI connects to the network driver in libvirtd or virtnetworkd.
    uri = "network:///system"
    unreachable = "libvirt's network driver does not answer (libvirtd or virtnetworkd)"

    def __init__(self) -> None:
        self._libvirt = import_libvirt()
        self._connection: Any = None
        self._is_abandoned = False
        self.version: Version = (0, 0)

    def __enter__(self: D) -> D:
        def connect() -> tuple[Any, int]:
            connection = self._libvirt.open(self.uri)
            return connection, connection.getLibVersion()

        self._connection, number = self._call(self.unreachable, connect)
        self.version = (number // 1_000_000, number // 1000 % 1000)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_abandoned:
            with contextlib.suppress(VirtnetError):
                self._call("the connection to libvirt cannot be closed", self._connection.close)

    def _call(self, problem: str, function: Callable[[], Answer]) -> Answer:
        """The result of a function that calls libvirt; raises VirtnetError with the problem and libvirt's reason."""
        answers: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put(function())
            except Exception as error:
                answers.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            answer = answers.get(timeout=ANSWER_TIMEOUT)
        except queue.Empty:
            self._is_abandoned = True
            raise VirtnetError(
                f"{problem}: no answer within {ANSWER_TIMEOUT:g} s; look at systemctl status libvirtd virtnetworkd, "
                "and restart the one that hangs"
            ) from None
        if isinstance(answer, self._libvirt.libvirtError):
            raise VirtnetError(f"{problem}: {answer}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def networks(self) -> dict[str, LibvirtNetwork]:
        """All networks of libvirt by name."""
        return self._call(
            "libvirt's networks cannot be listed",
            lambda: {network.name(): self._read(network) for network in self._connection.listAllNetworks()},
        )

    def _read(self, network: Any) -> LibvirtNetwork:
        active = bool(network.isActive())
        inactive = network.XMLDesc(self._libvirt.VIR_NETWORK_XML_INACTIVE)
        persistent = bool(network.isPersistent())
        return LibvirtNetwork(
            name=network.name(),
            uuid=network.UUIDString(),
            xml=inactive,
            live=network.XMLDesc(0) if active else inactive,
            active=active,
            persistent=persistent,
            autostart=persistent and bool(network.autostart()),
            guests=len(network.listAllPorts()) if active else 0,
        )

    def _network(self, name: str) -> Any:
        return self._connection.networkLookupByName(name)

    def define(self, xml: str) -> None:
        """Store a definition; a running network does not change."""
        self._call("libvirt does not accept the definition", lambda: self._connection.networkDefineXML(xml))

    def create(self, xml: str) -> None:
        """Start a transient network."""
        self._call("libvirt does not start the transient network", lambda: self._connection.networkCreateXML(xml))

    def start(self, name: str) -> None:
        """Start a defined network."""
        self._call(f"libvirt does not start network {name!r}", lambda: self._network(name).create())

    def stop(self, name: str) -> None:
        """Stop a network; a transient network is removed by this."""
        self._call(f"libvirt does not stop network {name!r}", lambda: self._network(name).destroy())

    def undefine(self, name: str) -> None:
        """Remove a definition."""
        self._call(f"libvirt does not undefine network {name!r}", lambda: self._network(name).undefine())

    def autostart(self, name: str, enabled: bool) -> None:
        """Set whether libvirt starts the network when it starts itself."""
        self._call(
            f"libvirt does not set autostart of network {name!r}",
            lambda: self._network(name).setAutostart(1 if enabled else 0),
        )

    def update(self, name: str, *, command: str, section: str, parent: int, xml: str) -> None:
        """Add, change or remove an element in a list of a running network (``virsh net-update --live``).

        ``section``: as virsh names it; ``parent``: the index of the <ip> that contains the element, -1 for none.
        """
        lib = self._libvirt
        section_number = getattr(lib, f"VIR_NETWORK_SECTION_{section.upper().replace('-', '_')}")
        command_number = {
            ADD: lib.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
            MODIFY: lib.VIR_NETWORK_UPDATE_COMMAND_MODIFY,
            REMOVE: lib.VIR_NETWORK_UPDATE_COMMAND_DELETE,
        }[command]
        live = lib.VIR_NETWORK_UPDATE_AFFECT_LIVE
        self._call(
            f"libvirt does not {command} {'a portgroup' if section == 'portgroup' else xml} of network {name!r}",
            lambda: self._network(name).update(command_number, section_number, parent, xml, live),
        )

    def set_metadata(self, name: str, what: str, text: str, namespace: str = "") -> None:
        """Set ``title``, ``description``, or ``metadata`` of a namespace, of a running network; '' removes it.

        As ``virsh net-desc`` and ``net-metadata`` with ``--live``, from libvirt 9.7 on. libvirt adds the namespace to
        the element of the metadata.
        """
        lib = self._libvirt
        kind = {
            "title": lib.VIR_NETWORK_METADATA_TITLE,
            "description": lib.VIR_NETWORK_METADATA_DESCRIPTION,
            "metadata": lib.VIR_NETWORK_METADATA_ELEMENT,
        }[what]
        prefix = _METADATA_PREFIX if namespace and text else None
        self._call(
            f"libvirt does not set the {what} of network {name!r}",
            lambda: self._network(name).setMetadata(
                kind, text or None, prefix, namespace or None, lib.VIR_NETWORK_UPDATE_AFFECT_LIVE
            ),
        )

    def ports(self, name: str) -> list[str]:
        """The ports of guests that libvirt attached to a running network, as XML."""
        return self._call(
            f"libvirt does not list the ports of network {name!r}",
            lambda: [str(port.XMLDesc(0)) for port in self._network(name).listAllPorts()],
        )

    def reclaim_ports(self, name: str, ports: Sequence[str]) -> None:
        """Register ports of running guests with a network that lost them, as after its restart."""

        def reclaim() -> None:
            network = self._network(name)
            known = {port.UUIDString() for port in network.listAllPorts()}
            for xml in ports:
                if parse(xml).findtext("uuid") not in known:
                    network.portCreateXML(xml, self._libvirt.VIR_NETWORK_PORT_CREATE_RECLAIM)

        self._call(f"libvirt does not register the ports of network {name!r} again", reclaim)
