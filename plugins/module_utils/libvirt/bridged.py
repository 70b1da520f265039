# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mode ``bridged``: a network on an existing bridge that is not ours. We only register it with libvirt for guests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidOption
from ..core.options import Options, did_you_mean
from ..kernel.links import Link
from ..libvirt_xml.flat import flatten, without_defaults

MODE = "bridged"

_OPTIONS = ("name", "state", "mode", "uuid", "title", "description", "autostart", "persistent", "isolate_guests")
# The values of stored definitions for DHCP, DNS and addresses, which such a network does not have.
_FIXED_VALUES: Mapping[str, Any] = {
    "bridge.mac": None,
    "bridge.rstp": False,
    "bridge.fail_mode": "standalone",
    "ipv4.address": "none",
    "ipv4.dhcp.enabled": False,
    "dns.enabled": False,
    "dns.host_resolver": False,
}


def registration_options(options: Options) -> Options:
    """The options that apply to mode bridged; raises InvalidOption for a value of any other option."""
    given = options.as_mapping()
    if not Options(given.get("bridge") or {}, options.at("bridge"), options.owner).given("name"):
        options.error("bridge.name", "is required with mode bridged: the bridge that is there")
    try:
        flat = without_defaults(flatten(given))
    except InvalidOption as error:
        options.error(error.path, error.problem)
    for path, value in flat.items():
        if path in _OPTIONS or path.startswith("libvirt.") or path in ("bridge.name", "bridge.type"):
            continue
        if path not in _FIXED_VALUES or value != _FIXED_VALUES[path]:
            options.error(path, "is not possible with mode bridged, because the bridge is not ours; leave it out")
    if str(Options(given.get("libvirt") or {}).raw("register", "auto")).lower() in ("false", "no"):
        options.error(
            "libvirt.register",
            "mode bridged only registers the network with libvirt, so register cannot be false; remove it, or the "
            "network",
        )
    # The caller has read name, state and mode.
    kept = {name: given[name] for name in (*_OPTIONS[3:], "bridge", "libvirt") if name in given}
    return Options(
        {**kept, "ipv4": {"address": "none"}, "dns": {"enabled": False, "host_resolver": False}},
        options.path,
        options.owner,
    )


def as_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a definition without those of DHCP, DNS and addresses, which the network does not have. Pure."""
    bridge = {name: options["bridge"][name] for name in ("name", "type")}
    return {**{name: options[name] for name in (*_OPTIONS, "libvirt")}, "bridge": bridge}


def bridge_problem(bridge: str, openvswitch: bool, links: Mapping[str, Link]) -> str:
    """Why libvirt cannot attach guests to the bridge; '' where it can. Pure."""
    link = links.get(bridge)
    if link is None:
        bridges = [name for name, link in links.items() if link.kind == "bridge"]
        return f"{bridge!r} does not exist; create it first, or name an existing bridge{did_you_mean(bridge, bridges)}"
    if link.kind != "bridge" and not openvswitch:
        return f"{bridge!r} is not a bridge; name one, or set bridge.type: openvswitch if it belongs to Open vSwitch"
    return ""
