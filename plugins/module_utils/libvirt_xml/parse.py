# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""XML from anywhere, read so that it can do no harm: no document type, no entities, no files, no network, small."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.errors import InvalidOption, MissingTool
from ..core.options import guess, shortened, shown
from .schema import DNSMASQ_NAMESPACE, DROPPED, HARMLESS, OPTIONS, REFUSED, REPEATED

if TYPE_CHECKING:
    from types import ModuleType

LARGEST = 1024 * 1024
DEEPEST = 32
# What XML costs grows with the product of elements and namespaces: lxml copies those in scope with each element of the
# metadata. libvirt's own XML has one, and each element of metadata one or two.
MOST_NAMESPACES = 1000
MOST_IN_SCOPE = 64
LONGEST_NAMESPACE = 1000
_LONG_NAMESPACE = re.compile(
    rf"""xmlns(?::[^\s=<>]{{0,100}})?\s{{0,100}}=\s{{0,100}}(?:"[^"]{{{LONGEST_NAMESPACE},}}|'[^']{{{LONGEST_NAMESPACE},}})"""
)
# Characters of the text of a user, or of a parser, in an error message.
_LONGEST = 80

# An lxml.etree._Element: its stubs name it by a private name, and the engine has to import without lxml.
Element = Any


def has_library() -> bool:
    """Whether the host has lxml."""
    return find_spec("lxml") is not None


def etree() -> ModuleType:
    """The library, imported where it is needed: only those who use XML need to have it. Raises MissingTool."""
    try:
        from lxml import etree as library
    except ImportError:
        raise MissingTool("the Python library lxml", "python3-lxml") from None
    return library


def parse(text: str, path: str = "xml", owner: str = "") -> Element:
    """The root element; raises InvalidOption for what is no XML or what XML can be abused for."""

    def refuse(problem: str) -> NoReturn:
        raise InvalidOption(path, problem, owner)

    if not isinstance(text, str):
        refuse(f"{shown(text)} is not a string of XML")
    # A string has no encoding; what the XML declares about the file that it came from is past.
    data = text.encode("utf-8", errors="surrogatepass")
    if len(data) > LARGEST:
        refuse(f"the XML has {len(data)} bytes; a network needs at most {LARGEST}")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        refuse("the XML has a document type or entities, which a network needs not; remove <!DOCTYPE ...>")
    if text.count("xmlns") > MOST_NAMESPACES or _LONG_NAMESPACE.search(text):
        refuse(
            f"the XML declares more than {MOST_NAMESPACES} namespaces, or one of more than {LONGEST_NAMESPACE} "
            "characters; a network needs few"
        )
    library = etree()
    parser = library.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_pis=True,
    )
    try:
        root = library.fromstring(data.lstrip(), parser)
    except (library.XMLSyntaxError, ValueError) as error:
        problem = shortened(str(error), _LONGEST)
        refuse(f"this is not well-formed XML: {problem}")
    if len(_outer(root).nsmap) > MOST_IN_SCOPE:
        refuse(f"the XML declares more than {MOST_IN_SCOPE} namespaces around its metadata; declare them inside of it")
    if _depth(root) > DEEPEST:
        refuse(f"the XML is nested deeper than {DEEPEST} elements; a network never is")
    return root


def _outer(root: Element) -> Element:
    """The element inside of which foreign XML stands, or the root."""
    metadata = root.find("metadata")
    return root if metadata is None else metadata


def _depth(root: Element) -> int:
    deepest, level = 0, [root]
    while level and deepest <= DEEPEST:
        deepest += 1
        level = [child for element in level for child in element]
    return deepest


def children(element: Element) -> Iterator[Element]:
    """The elements inside, without comments."""
    return (child for child in element if isinstance(child.tag, str))


def location(inside: str, element: Element) -> str:
    """The path of an element in the table; the root has none inside which it is."""
    tag = str(element.tag)
    if tag.startswith(f"{{{DNSMASQ_NAMESPACE}}}"):
        tag = "dnsmasq:" + tag.partition("}")[2]
    return f"{inside}/{tag}" if inside else tag


class Checker:
    """Refuses what the table refuses or does not know."""

    def __init__(self, path: str = "xml", owner: str = "") -> None:
        self.path = path
        self.owner = owner

    def refuse(self, element: Element, problem: str) -> NoReturn:
        """Raise InvalidOption naming element and line."""
        name = shortened(str(element.tag).partition("}")[2] or str(element.tag), _LONGEST)
        raise InvalidOption(self.path, f"<{name}> in line {element.sourceline}: {problem}", self.owner)

    def check(self, root: Element) -> None:
        """All elements and attributes, but for what is inside of metadata; raises InvalidOption."""
        if root.tag != "network":
            self.refuse(root, "is not a network of libvirt's; the XML has to begin with <network>")
        waiting = [("", root)]
        while waiting:
            inside, element = waiting.pop()
            where = location(inside, element)
            self._known(element, where)
            # Names alone: libxml2 looks for each value from the first attribute on. The table has few for an element.
            for name in element.attrib:
                place = f"{where}@{name}"
                if place not in HARMLESS or HARMLESS[place] != element.get(name):
                    self._known(element, place, f"attribute {shown(str(name))} ")
            if where != "network/metadata":
                self._once(element, where)
                waiting += [(where, child) for child in children(element)]

    def _once(self, element: Element, where: str) -> None:
        seen: set[str] = set()
        for child in children(element):
            place = location(where, child)
            if place in seen and place not in REPEATED:
                self.refuse(child, "is there twice, and can be there once")
            seen.add(place)

    def _known(self, element: Element, where: str, what: str = "") -> None:
        if where in REFUSED:
            self.refuse(element, f"{what}{REFUSED[where]}")
        if where not in OPTIONS and where not in DROPPED:
            close = guess(where, sorted({*OPTIONS, *DROPPED}))
            self.refuse(element, f"{what}is not in libvirt's schema of networks{close}")
