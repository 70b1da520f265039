# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The <metadata> of a network: our element, and elements of other programs, which are kept unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from ..core.errors import InvalidOption
from .parse import Element, etree, parse, to_string

# The namespace of options for which libvirt's XML has no element.
NAMESPACE = "urn:virtnet.linux:network:1.0"
# The namespace of the mark on networks that we registered with libvirt.
REGISTRATION = "urn:virtnet.linux:registration:1.0"


def is_ours(element: Element) -> bool:
    """Whether an element of <metadata> holds options of ours."""
    return str(element.tag).startswith(f"{{{NAMESPACE}}}")


def to_document(element: Element, outer_namespaces: Mapping[str | None, str]) -> str:
    """An element as a document of its own, with its comments, and with the outer namespaces that it uses."""
    library = etree()
    declared = (namespace for _event, namespace in library.iterwalk(element, events=("start-ns",)))
    own = {prefix for prefix, uri in declared if outer_namespaces.get(prefix or None) != uri}
    copy = deepcopy(element)
    library.cleanup_namespaces(copy, keep_ns_prefixes=[prefix for prefix in own if prefix])
    return to_string(copy)


def parse_metadata(metadata: Any, path: str = "libvirt.metadata") -> Iterator[Element]:
    """The elements in the option ``libvirt.metadata``; raises InvalidOption."""
    for i, text in enumerate(metadata):
        place = f"{path}[{i}]"
        element = parse(text, place, keep_comments=True)
        if not str(element.tag).startswith("{"):
            raise InvalidOption(place, f"<{element.tag}> has no namespace; libvirt keeps metadata by their namespaces")
        if is_ours(element) or str(element.tag).startswith(f"{{{REGISTRATION}}}"):
            raise InvalidOption(place, f"{NAMESPACE} is the namespace of virtnet.linux itself; use options instead")
        yield element
