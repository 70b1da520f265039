# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mode ``bridged``: a bridge that is there and somebody else's, on which we only tell libvirt to put guests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidOption
from ..core.options import Options, did_you_mean
from ..kernel.links import Link
from ..libvirt_xml.flat import FlatOptions, flatten, without_defaults

MODE = "bridged"

_OUR_OWN = ("name", "state", "mode", "uuid", "title", "description", "autostart", "persistent", "isolate_guests")
# What a definition says of DHCP, DNS and addresses that are not there.
_NOTHING: Mapping[str, Any] = {
    "bridge.mac": None,
    "ipv4.address": "none",
    "ipv4.dhcp.enabled": False,
    "dns.enabled": False,
    "dns.host_resolver": False,
}


def only_registered(options: Options) -> Options:
    """The options without those that have no meaning; raises InvalidOption where one of them asks for something."""
    given = options.as_mapping()
    if not Options(given.get("bridge") or {}, options.at("bridge"), options.owner).given("name"):
        options.error("bridge.name", "is required with mode bridged: the bridge that is there")
    for path, value in _said(options, given).items():
        if path in _OUR_OWN or path.startswith("libvirt.") or path in ("bridge.name", "bridge.type"):
            continue
        if path not in _NOTHING or value != _NOTHING[path]:
            options.error(path, "cannot be had with mode bridged: the bridge is somebody else's; leave it out")
    if str(Options(given.get("libvirt") or {}).raw("register", "auto")).lower() in ("false", "no"):
        options.error("libvirt.register", "is all that mode bridged does; leave it out, or the network")
    # Name, state and mode have been read.
    kept = {name: given[name] for name in (*_OUR_OWN[3:], "bridge", "libvirt") if name in given}
    return Options(
        {**kept, "ipv4": {"address": "none"}, "dns": {"enabled": False, "host_resolver": False}},
        options.path,
        options.owner,
    )


def _said(options: Options, given: Mapping[str, Any]) -> FlatOptions:
    try:
        return without_defaults(flatten(given))
    except InvalidOption as error:
        options.error(error.path, error.problem)


def as_said(options: Mapping[str, Any]) -> dict[str, Any]:
    """A definition without what it says of DHCP, DNS and addresses, which are not there. Pure."""
    bridge = {name: options["bridge"][name] for name in ("name", "type")}
    return {**{name: options[name] for name in (*_OUR_OWN, "libvirt")}, "bridge": bridge}


def missing(bridge: str, openvswitch: bool, links: Mapping[str, Link]) -> str:
    """What is wrong with the bridge, nothing where libvirt can put guests on it. Pure."""
    link = links.get(bridge)
    if link is None:
        known = [name for name, one in links.items() if one.kind == "bridge"]
        return f"{bridge!r} is not there; make it first, or name a bridge that is{did_you_mean(bridge, known)}"
    if link.kind != "bridge" and not openvswitch:
        return f"{bridge!r} is not a bridge; name one, or say bridge.type: openvswitch if it is one of Open vSwitch"
    return ""
