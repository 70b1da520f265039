# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A safe parser for XML of unknown origin: no document type, no entities, no files, no network, limited size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.errors import InvalidOption, MissingTool
from ..core.families import package_of
from ..core.options import repr_short, shorten
from .fields import Field, attributes_for
from .schema import ACCEPTED_VALUES, DNSMASQ_NAMESPACE, IGNORED, OPTION_BY_PATH, REFUSED, REPEATED

if TYPE_CHECKING:
    from types import ModuleType

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
# The cost grows with elements times namespaces: lxml copies the namespaces in scope with each element of the metadata.
# libvirt's own XML has one namespace, and each element of the metadata one or two.
MAX_NAMESPACES = 1000
MAX_NAMESPACES_IN_SCOPE = 64
MAX_NAMESPACE_LENGTH = 1000
_LONG_NAMESPACE = re.compile(
    rf"""xmlns(?::[^\s=<>]{{0,100}})?\s{{0,100}}=\s{{0,100}}(?:"[^"]{{{MAX_NAMESPACE_LENGTH},}}|'[^']{{{MAX_NAMESPACE_LENGTH},}})"""
)
# How many characters of a user's or a parser's text an error message shows.
_LONGEST_SHOWN = 80

# How similar a name must be to be taken for a misspelling (difflib), and in how many elements one may be known.
_SIMILAR = 0.75
_MOST_HOMES = 3

# An lxml.etree._Element. Its stubs have only this private name, and the engine must be importable without lxml.
Element = Any


def has_library() -> bool:
    """Whether the host has lxml."""
    return find_spec("lxml") is not None


def etree() -> ModuleType:
    """The library lxml, imported on first use, so that only hosts that use XML need it. Raises MissingTool."""
    try:
        from lxml import etree as library
    except ImportError:
        raise MissingTool("the Python library lxml", package_of("lxml")) from None
    return library


def parse(text: str, path: str = "xml", owner: str = "", *, keep_comments: bool = False) -> Element:
    """The root element; raises InvalidOption for text that is not XML, and for XML that could do harm.

    Comments stay in metadata alone, or with ``keep_comments`` everywhere.
    """

    def refuse(problem: str) -> NoReturn:
        raise InvalidOption(path, problem, owner)

    if not isinstance(text, str):
        refuse(f"{repr_short(text)} is not a string of XML")
    # The encoding that the XML declares is that of the file it was read from; this is a string already.
    data = text.encode("utf-8", errors="surrogatepass")
    if len(data) > MAX_BYTES:
        refuse(f"the XML has {len(data)} bytes; a network needs at most {MAX_BYTES}")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        refuse("the XML has a document type or entities, which a network needs not; remove <!DOCTYPE ...>")
    if text.count("xmlns") > MAX_NAMESPACES or _LONG_NAMESPACE.search(text):
        refuse(
            f"the XML declares more than {MAX_NAMESPACES} namespaces, or one of more than {MAX_NAMESPACE_LENGTH} "
            "characters; a network needs few"
        )
    library = etree()
    try:
        root = _root(data.lstrip(), keep_comments=keep_comments)
    except (library.XMLSyntaxError, ValueError) as error:
        refuse(f"this is not well-formed XML: {shorten(str(error), _LONGEST_SHOWN)}")
    metadata = root.find("metadata")
    if len((root if metadata is None else metadata).nsmap) > MAX_NAMESPACES_IN_SCOPE:
        refuse(
            f"the XML declares more than {MAX_NAMESPACES_IN_SCOPE} namespaces around its metadata; "
            "declare them inside of it"
        )
    if _depth(root) > MAX_DEPTH:
        refuse(f"the XML is nested deeper than {MAX_DEPTH} elements; a network never is")
    return root


def _root(data: bytes, *, keep_comments: bool) -> Element:
    """The root element. A comment divides the text around it; metadata, which is kept verbatim, keeps its comments."""
    library = etree()
    root = library.fromstring(data, _parser(remove_comments=not keep_comments))
    metadata = root.find("metadata")
    if metadata is not None and not keep_comments and b"<!--" in data:
        root.replace(metadata, library.fromstring(data, _parser(remove_comments=False)).find("metadata"))
    return root


def _parser(*, remove_comments: bool) -> Any:
    """A parser that loads nothing and expands no entities."""
    return etree().XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_pis=True,
        remove_comments=remove_comments,
    )


def _depth(root: Element) -> int:
    """The depth of the tree, counted up to one more than MAX_DEPTH."""
    depth, level = 0, [root]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [child for element in level for child in element]
    return depth


def children(element: Element) -> Iterator[Element]:
    """The child elements, without comments."""
    return (child for child in element if isinstance(child.tag, str))


def add_element(parent: Element, tag: str, **attributes: str | None) -> Element:
    """Append a new element to the parent; attributes that are None are left out."""
    given = {name: value for name, value in attributes.items() if value is not None}
    return etree().SubElement(parent, tag, given)


def add_element_of(parent: Element, tag: str, values: Any, fields: Sequence[Field]) -> None:
    """Append a new element for the values of fields, unless it has no attributes."""
    attributes = attributes_for(values, fields)
    if attributes:
        add_element(parent, tag, **attributes)


def to_string(element: Element) -> str:
    """An element as XML, without the text that follows it."""
    return str(etree().tostring(element, encoding="unicode", with_tail=False))


def element_path(parent: str, element: Element) -> str:
    """The path of an element as in the schema table; ``parent`` is the path of its parent, '' for the root."""
    tag = str(element.tag)
    if tag.startswith(f"{{{DNSMASQ_NAMESPACE}}}"):
        tag = "dnsmasq:" + tag.partition("}")[2]
    return f"{parent}/{tag}" if parent else tag


class Checker:
    """Refuses elements and attributes that the schema table refuses or does not have."""

    def __init__(self, path: str = "xml", owner: str = "") -> None:
        self.path = path
        self.owner = owner

    def refuse(self, element: Element, problem: str) -> NoReturn:
        """Raise InvalidOption naming element and line."""
        name = shorten(str(element.tag).partition("}")[2] or str(element.tag), _LONGEST_SHOWN)
        raise InvalidOption(self.path, f"<{name}> in line {element.sourceline}: {problem}", self.owner)

    def check(self, root: Element) -> None:
        """Check all elements and attributes, except inside of <metadata>; raises InvalidOption."""
        if root.tag != "network":
            self.refuse(root, "is not a network of libvirt's; the XML has to begin with <network>")
        unchecked = [("", root)]
        while unchecked:
            parent, element = unchecked.pop()
            path = element_path(parent, element)
            self._check_path(element, path)
            # Iterates over names only: libxml2 searches for each value from the first attribute on, which would be
            # quadratic. Values are read of the few attributes in the table.
            for name in element.attrib:
                attribute = f"{path}@{name}"
                if attribute not in ACCEPTED_VALUES or ACCEPTED_VALUES[attribute] != element.get(name):
                    self._check_path(element, attribute, f"attribute {repr_short(str(name))} ")
            if path != "network/metadata":
                self._check_repetition(element, path)
                unchecked += [(path, child) for child in children(element)]

    def _check_repetition(self, element: Element, path: str) -> None:
        seen: set[str] = set()
        for child in children(element):
            child_path = element_path(path, child)
            if child_path in seen and child_path not in REPEATED:
                self.refuse(child, "is there twice, but only one is possible; remove the other")
            seen.add(child_path)

    def _check_path(self, element: Element, path: str, subject: str = "") -> None:
        if path in REFUSED:
            self.refuse(element, f"{subject}{REFUSED[path]}")
        if path not in OPTION_BY_PATH and path not in IGNORED:
            hint = _hint(path) or "; remove it"
            self.refuse(element, f"{subject}is not in libvirt's schema of networks, and libvirt ignores it{hint}")


def _split(path: str) -> tuple[str, str, str]:
    """Parent, ``/`` or ``@``, and name of a path as in the schema table."""
    sign = "@" if "@" in path else "/"
    return path.rpartition(sign)


def _hint(path: str) -> str:
    """What an unknown path may mean: a similar name in the same element, or the element in which the name is known."""
    # Imported here because it is rarely needed.
    import difflib

    parent, sign, name = _split(path)
    known = [_split(one) for one in sorted({*OPTION_BY_PATH, *IGNORED})]
    siblings = [known_name for known_parent, kind, known_name in known if (known_parent, kind) == (parent, sign)]
    similar = difflib.get_close_matches(name, siblings, n=1, cutoff=_SIMILAR)
    if similar:
        return f"; did you mean {similar[0]}?" if sign == "@" else f"; did you mean <{similar[0]}>?"
    homes = [f"<{home.rpartition('/')[2]}>" for home, kind, known_name in known if (kind, known_name) == (sign, name)]
    return f"; it belongs into {' or '.join(homes)}" if homes and len(homes) <= _MOST_HOMES and sign == "/" else ""
