# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``xml`` of a network: libvirt's XML in place of all other options."""

from __future__ import annotations

from ..core.options import Options
from ..libvirt_xml.convert import from_xml, with_domain_of_libvirt

# These options are not in libvirt's XML, or are allowed to repeat what is in it.
_ALLOWED_WITH_XML = ("name", "state", "autostart", "persistent")


def options_from_xml(options: Options) -> Options:
    """The options from the XML, and those given with it; the same options if there is no XML.

    Raises InvalidOption; errors about a value of the XML have the option ``xml`` in their path.
    """
    if not options.given("xml"):
        return options
    others = options.other_options("xml", *_ALLOWED_WITH_XML)
    if others:
        options.error("xml", f"cannot stand beside {', '.join(others)}; say it in the XML, or leave the XML out")
    owner = f"network {options.text('name')!r}" if options.given("name") else ""
    from_libvirt = with_domain_of_libvirt(from_xml(options.raw("xml"), options.at("xml"), owner))
    if options.given("name") and options.text("name") != from_libvirt.get("name"):
        name = from_libvirt.get("name")
        options.error("name", f"is not the name in the XML, {name!r}; leave one of them out")
    given = {name: options.raw(name) for name in _ALLOWED_WITH_XML if options.given(name)}
    return Options({**from_libvirt, **given}, options.at("xml"), options.owner)
