# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversion between the options of a network and libvirt's XML.

Options for which libvirt's XML has no element are stored in <metadata>, in our namespace. Each is stored with the value
that the XML expresses instead (``instead``). It applies only as long as the XML still expresses that value: an edit of
the XML takes precedence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidOption
from ..core.options import repr_short
from .flat import DEFAULTS, DHCP_RANGES, NOT_IN_XML, FlatOptions, flatten, lease_time_for, unflatten, without_defaults
from .metadata import NAMESPACE, is_ours, parse_metadata, to_document
from .parse import Checker, Element, add_element, children, etree, parse, to_string
from .read import read_network_options
from .read_ip import ranges_of
from .values import Version, schema_text
from .write import write_network

_NETWORK, _OPTION = f"{{{NAMESPACE}}}network", f"{{{NAMESPACE}}}option"

# The oldest supported libvirt, that of Debian 12; newer versions understand the same XML.
OLDEST: Version = (9, 0)


def from_xml(text: str, path: str = "xml", owner: str = "") -> dict[str, Any]:
    """The options of the network that the XML describes, without defaults.

    Raises InvalidOption, with element, line and reason, for XML that is not well-formed or that has no equivalent here.
    """
    root = parse(text, path, owner)
    checker = Checker(path, owner)
    options = without_defaults(read_network_options(root, checker))
    metadata = root.find("metadata")
    if metadata is not None:
        namespaces = metadata.nsmap
        foreign = [to_document(child, namespaces) for child in children(metadata) if not is_ours(child)]
        if foreign:
            options["libvirt.metadata"] = foreign
        for ours in filter(is_ours, children(metadata)):
            for option in children(ours):
                _apply_stored_option(options, option, checker)
    return unflatten(without_defaults(options))


def with_domain_of_libvirt(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options from XML, with no domain where the XML has none: libvirt chooses none."""
    dns = options.get("dns", {})
    if options.get("mode") == "bridged" or not dns.get("enabled", True):
        return dict(options)
    return {**options, "dns": {"domain": "", **dns}}


def to_xml(options: Mapping[str, Any], version: Version = OLDEST, live: Mapping[str, str] | None = None) -> str:
    """The network as XML that is valid in the schema of a libvirt version.

    ``live``: the current addresses of families with ``auto``, by family (``ipv4``, ``ipv6``). Raises InvalidOption for
    an option that XML cannot hold.
    """
    desired = without_defaults(flatten(options))
    metadata = desired.pop("libvirt.metadata", [])
    if desired.get("mode") == "bridged" and not schema_text(desired.get("bridge.name")):
        raise InvalidOption("bridge.name", "is required with mode bridged: the bridge that is there")
    current = dict(desired)
    for family, address in (live or {}).items():
        # The lease time of a network with address auto stays short although the address is known here.
        current.update({f"{family}.address": address, f"{family}.dhcp.lease_time": lease_time_for(desired, family)})
    root = write_network(current, version)
    foreign = list(parse_metadata(metadata))
    stored = _stored_options(desired, without_defaults(read_network_options(root, Checker("options"))))
    library = etree()
    metadata = library.Element("metadata")
    placeholders = [library.SubElement(metadata, "placeholder") for _element in foreign]
    if len(stored):
        metadata.append(stored)
    if len(metadata):
        root.insert(1 if root.find("uuid") is None else 2, metadata)
    library.indent(root, "  ")
    # After the indentation, which would change the white space inside of these elements.
    for placeholder, element in zip(placeholders, foreign):
        element.tail = placeholder.tail
        metadata.replace(placeholder, element)
    return to_string(root) + "\n"


def _stored_options(desired: FlatOptions, expressed: FlatOptions) -> Element:
    """Our element of <metadata>: the options that the XML does not express with their desired values."""
    stored = etree().Element(_NETWORK, nsmap={"virtnet": NAMESPACE})
    for path in sorted({*desired, *expressed} - {"name"}):
        if desired.get(path) != expressed.get(path):
            element = add_element(stored, _OPTION, name=path)
            value, instead = (options.get(path, DEFAULTS.get(path)) for options in (desired, expressed))
            if instead is not None:
                element.set("instead", json.dumps(instead, sort_keys=True))
            element.text = json.dumps(value, sort_keys=True)
    return stored


def _apply_stored_option(options: FlatOptions, element: Element, checker: Checker) -> None:
    """Set an option from our metadata, unless the XML was edited since."""
    name = element.get("name")
    if element.tag != _OPTION or not name:
        checker.refuse(element, "is not an <option name=...> of virtnet.linux")
    try:
        value = json.loads(element.text or "null")
        instead = json.loads(element.get("instead", "null"))
    except (ValueError, RecursionError):
        checker.refuse(element, f"the value of {repr_short(name)} is not JSON")
    if name in NOT_IN_XML or name == "xml":
        checker.refuse(element, f"{repr_short(name)} cannot be set in the metadata")
    if options.get(name, DEFAULTS.get(name)) == instead or _is_older_static_only(options, name, instead):
        options.pop(name, None)
        static_only: FlatOptions = {name: []} if name in DHCP_RANGES and value == [] else {}
        options.update(static_only or flatten(unflatten({name: value})))


def _is_older_static_only(options: FlatOptions, name: str, instead: Any) -> bool:
    """Whether ``instead`` is how earlier versions read hosts without ranges: as ranges of their addresses."""
    hosts = options.get(name.replace(".ranges", ".hosts"), ())
    return name in DHCP_RANGES and options.get(name) == [] and instead == ranges_of([host["ip"] for host in hosts])
