# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's network driver, through libvirt's own binding for Python. All calls to it are here."""

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
from ..libvirt_xml.parse import parse
from ..libvirt_xml.values import Version

_DRIVER = "libvirt/connection-driver/libvirt_driver_{}.so"

# So many seconds libvirt has for an answer. A daemon that is started by the question itself needs one or two.
PATIENCE = 20.0

# The prefix of the namespaces of metadata that libvirt is told of while a network runs.
_PREFIX = "kept"

# What virNetwork.update() is told, by our words for it.
ADD, MODIFY, REMOVE = "add", "change", "remove"


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


def driver_installed(root: str, name: str = "network") -> bool:
    """Whether the host has a driver of libvirt's: lib, lib64 or Debian's folder of the architecture."""
    return any(glob.glob(os.path.join(root, "usr", folder, _DRIVER.format(name))) for folder in ("lib*", "lib/*"))


def library() -> Any:
    """The binding; raises MissingTool."""
    try:
        import libvirt
    except ImportError:
        raise MissingTool("the Python library libvirt", "python3-libvirt") from None
    # Its errors come as exceptions; it would print them too.
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


D = TypeVar("D", bound="Driver")


class Driver:
    """A connection, open while inside ``with``; every method raises VirtnetError with libvirt's own words.

    libvirt's calls wait for their answer without limit, and no signal interrupts them: so each is made in a thread,
    which is left behind when a daemon does not answer.
    """

    # The network driver alone, whichever daemon it runs in.
    uri = "network:///system"
    whom = "libvirt's network driver does not answer (libvirtd or virtnetworkd)"

    def __init__(self) -> None:
        self._libvirt = library()
        self._connection: Any = None
        self._lost = False
        self.version: Version = (0, 0)

    def __enter__(self: D) -> D:
        def connect() -> tuple[Any, int]:
            connection = self._libvirt.open(self.uri)
            return connection, connection.getLibVersion()

        self._connection, number = self._ask(self.whom, connect)
        self.version = (number // 1_000_000, number // 1000 % 1000)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._lost:
            with contextlib.suppress(VirtnetError):
                self._ask("the connection to libvirt cannot be closed", self._connection.close)

    def _ask(self, problem: str, call: Callable[[], Any]) -> Any:
        """The result of calls to libvirt; raises VirtnetError with the problem and the reason."""
        answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put((call(), None))
            except Exception as error:
                answers.put((None, error))

        threading.Thread(target=work, daemon=True).start()
        try:
            answer, error = answers.get(timeout=PATIENCE)
        except queue.Empty:
            self._lost = True
            raise VirtnetError(
                f"{problem}: no answer within {PATIENCE:g} s; look at systemctl status libvirtd virtnetworkd, "
                "and restart the one that hangs"
            ) from None
        if isinstance(error, self._libvirt.libvirtError):
            raise VirtnetError(f"{problem}: {error}") from None
        if error is not None:
            raise error
        return answer

    def networks(self) -> dict[str, Found]:
        """All of libvirt's networks by name."""

        def found() -> dict[str, Found]:
            return {one.name(): self._found(one) for one in self._connection.listAllNetworks()}

        networks: dict[str, Found] = self._ask("libvirt's networks cannot be listed", found)
        return networks

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
        self._ask("libvirt does not take the definition", lambda: self._connection.networkDefineXML(xml))

    def create(self, xml: str) -> None:
        """Start a transient network."""
        self._ask("libvirt does not start the transient network", lambda: self._connection.networkCreateXML(xml))

    def start(self, name: str) -> None:
        """Start a defined network."""
        self._ask(f"libvirt does not start network {name!r}", lambda: self._named(name).create())

    def stop(self, name: str) -> None:
        """Stop a network; a transient one is gone then."""
        self._ask(f"libvirt does not stop network {name!r}", lambda: self._named(name).destroy())

    def undefine(self, name: str) -> None:
        """Remove a definition."""
        self._ask(f"libvirt does not undefine network {name!r}", lambda: self._named(name).undefine())

    def autostart(self, name: str, wanted: bool) -> None:
        """Whether libvirt starts it with itself."""
        self._ask(
            f"libvirt does not set autostart of network {name!r}",
            lambda: self._named(name).setAutostart(1 if wanted else 0),
        )

    def update_portgroup(self, name: str, command: str, xml: str) -> None:
        """Add, change or remove a portgroup of a network that runs, not of what is stored (``virsh net-update``)."""
        known = self._libvirt
        number = {
            ADD: known.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
            MODIFY: known.VIR_NETWORK_UPDATE_COMMAND_MODIFY,
            REMOVE: known.VIR_NETWORK_UPDATE_COMMAND_DELETE,
        }[command]
        section, live = known.VIR_NETWORK_SECTION_PORTGROUP, known.VIR_NETWORK_UPDATE_AFFECT_LIVE
        self._ask(
            f"libvirt does not {command} a portgroup of network {name!r}",
            lambda: self._named(name).update(number, section, -1, xml, live),
        )

    def update_section(self, name: str, command: str, section: str, parent: int, xml: str) -> None:
        """Add an element to a list of a network that runs, or remove it (``virsh net-update``).

        ``section`` in virsh's words; ``parent``: the number of the <ip> that it is in, -1 for none.
        """
        known = self._libvirt
        number = getattr(known, f"VIR_NETWORK_SECTION_{section.upper().replace('-', '_')}")
        commands = {ADD: known.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, REMOVE: known.VIR_NETWORK_UPDATE_COMMAND_DELETE}
        live = known.VIR_NETWORK_UPDATE_AFFECT_LIVE
        self._ask(
            f"libvirt does not {command} {xml} of network {name!r}",
            lambda: self._named(name).update(commands[command], number, parent, xml, live),
        )

    def describe(self, name: str, what: str, text: str, space: str = "") -> None:
        """Set ``title``, ``description``, or ``metadata`` of a namespace, of a network that runs; '' removes it.

        As ``virsh net-desc`` and ``net-metadata`` with ``--live``, from libvirt 9.7 on. libvirt puts the element of the
        metadata into the namespace.
        """
        known = self._libvirt
        kind = {
            "title": known.VIR_NETWORK_METADATA_TITLE,
            "description": known.VIR_NETWORK_METADATA_DESCRIPTION,
            "metadata": known.VIR_NETWORK_METADATA_ELEMENT,
        }[what]
        more = (_PREFIX if space and text else None, space or None, known.VIR_NETWORK_UPDATE_AFFECT_LIVE)
        self._ask(
            f"libvirt does not set the {what} of network {name!r}",
            lambda: self._named(name).setMetadata(kind, text or None, *more),
        )

    def ports(self, name: str) -> list[str]:
        """The guests that libvirt itself has put on a running network, as XML of their ports."""

        def found() -> list[str]:
            return [str(port.XMLDesc(0)) for port in self._named(name).listAllPorts()]

        ports: list[str] = self._ask(f"libvirt does not list the ports of network {name!r}", found)
        return ports

    def reclaim_ports(self, name: str, ports: Sequence[str]) -> None:
        """Have a network know ports that guests hold already, as after its restart; those that it knows stay."""

        def reclaim() -> None:
            network = self._named(name)
            known = {port.UUIDString() for port in network.listAllPorts()}
            for xml in ports:
                if parse(xml).findtext("uuid") not in known:
                    network.portCreateXML(xml, self._libvirt.VIR_NETWORK_PORT_CREATE_RECLAIM)

        self._ask(f"libvirt does not take the ports of network {name!r} back", reclaim)
