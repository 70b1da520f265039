# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The <metadata> of a network: elements of others, kept as they are, beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from ..core.errors import InvalidOption
from .parse import Element, etree, parse

NAMESPACE = "urn:virtnet.linux:network:1.0"


# The mark of what is registered with libvirt by us.
REGISTRATION = "urn:virtnet.linux:registration:1.0"


def is_ours(element: Element) -> bool:
    return str(element.tag).startswith(f"{{{NAMESPACE}}}")


def verbatim_of(element: Element, around: Mapping[str | None, str]) -> str:
    """An element as XML of its own, with its comments, and with those namespaces ``around`` it that it uses."""
    library = etree()
    declared = (namespace for _event, namespace in library.iterwalk(element, events=("start-ns",)))
    own = {prefix for prefix, uri in declared if around.get(prefix or None) != uri}
    copy = deepcopy(element)
    library.cleanup_namespaces(copy, keep_ns_prefixes=[prefix for prefix in own if prefix])
    return str(library.tostring(copy, encoding="unicode", with_tail=False))


def parsed_metadata(metadata: Any, path: str = "libvirt.metadata") -> Iterator[Element]:
    """The elements of libvirt.metadata; raises InvalidOption."""
    for i, text in enumerate(metadata):
        where = f"{path}[{i}]"
        element = parse(text, where)
        if not str(element.tag).startswith("{"):
            raise InvalidOption(where, f"<{element.tag}> has no namespace; libvirt keeps metadata by their namespaces")
        if is_ours(element) or str(element.tag).startswith(f"{{{REGISTRATION}}}"):
            raise InvalidOption(where, f"{NAMESPACE} is the namespace of virtnet.linux itself; use options instead")
        yield element
