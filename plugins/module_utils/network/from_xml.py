# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``xml`` of a network: libvirt's XML in the place of all other options."""

from __future__ import annotations

from ..core.options import Options
from ..libvirt_xml.convert import from_xml

# They are no part of libvirt's XML, or repeat what is in it.
_BESIDE = ("name", "state", "autostart", "persistent")


def said_by_xml(options: Options) -> Options:
    """What the XML says and what is said beside it; these very options where there is no XML.

    Raises InvalidOption; errors about a value that comes out of the XML have it in their path.
    """
    if not options.given("xml"):
        return options
    others = options.other_options("xml", *_BESIDE)
    if others:
        options.error("xml", f"cannot stand beside {', '.join(others)}; say it in the XML, or leave the XML out")
    owner = f"network {options.text('name')!r}" if options.given("name") else ""
    found = from_xml(options.raw("xml"), options.at("xml"), owner)
    if options.given("name") and options.text("name") != found.get("name"):
        options.error("name", f"is not the name in the XML, {found.get('name')!r}; leave one of them out")
    said = {name: options.raw(name) for name in _BESIDE if options.given(name)}
    return Options({**found, **said}, options.at("xml"), options.owner)
