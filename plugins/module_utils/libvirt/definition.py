# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The definition with which a network of ours is registered: its bridge, and settings for the ports of guests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core import kinds
from ..core.errors import InvalidOption
from ..core.fields import option, read_all, required, write
from ..core.options import REQUIRED, Options
from ..libvirt_xml.metadata import REGISTRATION, parse_metadata
from ..libvirt_xml.parse import Element, add_element, children, etree, parse, to_string
from ..libvirt_xml.values import Version
from ..libvirt_xml.write import write_network
from .managed import LIBVIRT, OURS
from .options import ALWAYS, Libvirt, read_libvirt

_MARK = f"{{{REGISTRATION}}}registration"
# Attributes that libvirt adds to the XML of a running network.
_RUNTIME_ATTRIBUTES = ("connections", "classID")
# Attributes that libvirt writes in decimal, however they were given (virNetDevVPortProfileFormat()).
_NUMBERS = ("managerid", "typeid", "typeidversion")


@dataclass(frozen=True)
class RegistrationSpec:
    """The desired state of one network in libvirt."""

    name: str = required(kinds.text(50))
    uuid: str = option(kinds.text(), "")
    bridge: str = option(kinds.interface, "")
    title: str = option(kinds.text(), "")
    description: str = option(kinds.text(4096), "")
    isolate_guests: bool = option(kinds.boolean, False)
    libvirt: Libvirt = option(kinds.group(Libvirt, read_libvirt), Libvirt())
    active: bool = option(kinds.boolean, True)
    autostart: bool = option(kinds.boolean, True)
    persistent: bool = option(kinds.boolean, True)
    state: str = option(kinds.choice("present", "absent"), "present")
    xml: str = option(kinds.text(), "")
    restart: bool = option(kinds.boolean, False)
    managed_by: str = option(kinds.choice(OURS, LIBVIRT), OURS)

    @property
    def managed(self) -> bool:
        """Whether libvirt itself runs the network (managed_by: libvirt), and we keep only its definition."""
        return bool(self.xml) or self.managed_by == LIBVIRT

    @property
    def register(self) -> str:
        """Whether the network must be registered (ALWAYS), or only if the host has libvirt (AUTO)."""
        return ALWAYS if self.managed else self.libvirt.register

    @classmethod
    def from_options(cls, options: Options) -> RegistrationSpec:
        """The spec of options; raises InvalidOption."""
        xml = str(options.raw("xml", "") or "")
        managed_by = options.choice("managed_by", (OURS, LIBVIRT), LIBVIRT if xml else OURS)
        default = "" if xml or options.choice("state", ("present", "absent"), "present") == "absent" else REQUIRED
        return read_all(
            cls,
            options,
            uuid=options.text("uuid", default),
            bridge=options.interface("bridge", default),
            xml=xml,
            managed_by=managed_by,
        )

    def as_options(self) -> dict[str, Any]:
        """The options of the module ``libvirt_network``."""
        return {**write(self), "bridge": self.bridge}


def registration_xml(spec: RegistrationSpec, version: Version) -> str:
    """The definition with which a network is registered, for a version of libvirt."""
    options = {name: getattr(spec, name) for name in ("name", "uuid", "title", "description", "isolate_guests")}
    options.update({f"libvirt.{name}": value for name, value in spec.libvirt.as_options().items()})
    root = write_network({**options, "mode": "bridged", "bridge.name": spec.bridge}, version)
    metadata = etree().Element("metadata")
    metadata.extend(parse_metadata(spec.libvirt.metadata))
    root.find("forward").addprevious(metadata)
    add_mark(root)
    return to_string(root)


def add_mark(root: Element) -> None:
    """Add our mark to a definition that does not have it."""
    metadata = root.find("metadata")
    if metadata is None:
        metadata = add_element(root, "metadata")
    if metadata.find(_MARK) is None:
        etree().SubElement(metadata, _MARK, nsmap={"virtnet": REGISTRATION})


def registered_by_us(xml: str) -> bool:
    """Whether a definition has our mark."""
    try:
        return parse(xml).find(f"metadata/{_MARK}") is not None
    except InvalidOption:
        # libvirt does not escape all that it writes. Our own definitions contain nothing that needs escaping.
        return False


def differs(current: str, desired: str) -> bool:
    """Whether two definitions differ in meaning; an empty one differs from all."""
    return not current or not desired or comparable(parse(current)) != comparable(parse(desired))


def comparable(element: Element) -> tuple[Any, ...]:
    """An element as data for comparisons: without order, white space, comments and attributes of running networks."""
    attributes = {name: value for name, value in element.attrib.items() if name not in _RUNTIME_ATTRIBUTES}
    attributes.update(_decimal(element))
    inner = [comparable(child) for child in children(element)]
    texts = [(text or "").strip() for text in (element.text, element.tail)]
    return element.tag, sorted(attributes.items()), texts, sorted(inner, key=repr)


def _decimal(element: Element) -> dict[str, str]:
    return {name: str(int(element.get(name), 0)) for name in _NUMBERS if element.get(name)}


def text_for_diff(xml: str) -> str:
    """A definition for a diff: indented, in libvirt's order, without attributes of running networks."""
    root = parse(xml)
    for element in root.iter():
        for name in _RUNTIME_ATTRIBUTES:
            element.attrib.pop(name, None)
        element.attrib.update(_decimal(element))
        if element.text is not None and not element.text.strip():
            element.text = None
        element.tail = None
    # The sort is stable: elements of one rank keep their order.
    order = ("name", "uuid", "title", "description", "metadata", "forward", "bridge")
    rank = {name: i for i, name in enumerate(order)}
    root[:] = sorted(root, key=lambda child: (rank.get(child.tag, len(order)), str(child.tag), child.get("name", "")))
    for metadata in root.iterfind("metadata"):
        metadata[:] = sorted(metadata, key=lambda child: str(child.tag))
    etree().indent(root, "  ")
    return to_string(root) + "\n"
