# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Combinations of options of a network that are refused, or noted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..bridge.spec import refuse_hairpin_of_isolated, refuse_port_security
from ..core.errors import InvalidOption
from ..core.options import Options, repr_short
from ..dhcp.dhcpv6 import refuse_ra_param
from ..dhcp.dnsmasq_syntax import read_lines
from ..dhcp.option_values import refuse_changed_values
from ..dhcp.options import BOOT_FILE
from ..dhcp.ranges import seconds_of
from ..dnsmasq.raw_lines import can_be_limited
from ..dnsmasq.records import FOR_EVERYBODY, lost_forwarders, private_only
from ..dnsmasq.spec import SYSTEM
from ..kernel.links import OPENVSWITCH
from .hidden_names import refuse_hidden_names
from .raw_conflicts import refuse_raw_conflicts

if TYPE_CHECKING:
    from .model import Network

_OF_ROOT = ("user", "group", "dhcp-scriptuser")


def validate_combinations(options: Options, network: Network) -> None:
    """Refuse options that do not go together; raises InvalidOption."""
    if network.dnsmasq_instance == SYSTEM and network.dnsmasq_redirect:
        options.error("dnsmasq.redirect", "is for a private dnsmasq; use dnsmasq.instance: private, or leave it out")
    if network.dnsmasq_instance == SYSTEM:
        _refuse_private_only(options, network)
    refuse_ra_param(
        Options({}, options.at("ipv6"), options.owner),
        network.ipv6.ra_param,
        advertised=network.ipv6.ra and bool(network.ipv6.address or network.ipv6.auto),
        router=network.mode != "isolated",
    )
    further = {str(ipaddress.ip_interface(address).network) for address in network.extra_addresses}
    for i, prefix in enumerate(network.ipv6.deprecated):
        if prefix not in further:
            options.error(
                f"ipv6.deprecated[{i}]",
                f"{prefix} is the subnet of no extra_addresses; write the former address of the host there",
            )
    virtualport = network.libvirt.virtualport.get("type", OPENVSWITCH)
    if network.bridge.type == OPENVSWITCH and virtualport != OPENVSWITCH:
        options.error("libvirt.virtualport.type", f"{virtualport!r} is not for a bridge of Open vSwitch; leave it out")
    _refuse_uplinks(options, network)
    _refuse_ndp_proxy(options, network)
    refuse_hairpin_of_isolated(options, "bridge.hairpin", network.bridge.hairpin, network.isolate_guests)
    refuse_port_security(options, network.bridge, network.port_security.of_bridge)
    addressed = network.ipv4.address or network.ipv4.auto or network.ipv6.address or network.ipv6.auto
    _refuse_with_uplink(options, network, addressed=bool(addressed))
    for i, port in enumerate(network.bridge.ports):
        if port == network.bridge.name:
            options.error(f"bridge.ports[{i}]", f"{port!r} is the bridge itself; name interfaces to enslave")


def _refuse_with_uplink(options: Options, network: Network, *, addressed: bool) -> None:
    """Raise InvalidOption for what a bridge with the host's uplink cannot have."""
    if network.bridge.enslave_uplink and (network.mode != "open" or addressed or not network.bridge.ports):
        options.error(
            "bridge.enslave_uplink",
            "is for mode open, without addresses of its own; write mode: open, ipv4.address: none, and bridge.ports",
        )
    if network.bridge.enslave_uplink and network.forwards:
        options.error("port_forwards", "have no meaning with bridge.enslave_uplink, guests are outside; leave them out")
    if network.bridge.enslave_uplink and network.bridge.zone:
        options.error("bridge.zone", "has no meaning with bridge.enslave_uplink, guests are outside; leave it out")


def _refuse_uplinks(options: Options, network: Network) -> None:
    if network.uplinks and network.mode in ("isolated", "open"):
        options.error("uplink", f"has no meaning in mode {network.mode}; leave it out, or use nat or routed")
    if network.bridge.name in network.uplinks:
        options.error("uplink", f"{network.bridge.name!r} is the network's own bridge; name the host's way out")


def _refuse_ndp_proxy(options: Options, network: Network) -> None:
    """Raise InvalidOption where nobody asks for guests on an uplink."""
    if not network.ipv6.ndp_proxy:
        return
    translated = network.nat.ipv6 and not any(":" in cidr for cidr in network.nat.exceptions)
    if network.mode == "nat" and translated:
        options.error("ipv6.ndp_proxy", "is for guests that go out with their own addresses; use nat.ipv6: false")
    if network.mode not in ("nat", "routed"):
        options.error("ipv6.ndp_proxy", f"has no meaning in mode {network.mode}; use routed, or leave it out")
    if network.ipv6.address is None:
        options.error(
            "ipv6.ndp_proxy",
            "needs a fixed ipv6.address; give a part of the prefix of the uplink, such as 2001:db8:1:2:f::1/80",
        )
    if not network.uplinks:
        options.error("ipv6.ndp_proxy", "needs the interface on which a router asks for guests; give it as uplink")


def refuse_without_effect(network: Network) -> None:
    """Refuse lines that a dnsmasq without root's rights ignores (src/dnsmasq.c), or that contradict other options,
    aliases that hide guests, forwarders that it does not ask, and changed DHCP options.

    A network that has them already keeps them. Raises InvalidOption.
    """
    for i, line in enumerate(network.dnsmasq_options):
        if any(setting.name in _OF_ROOT for setting in read_lines(line, "")):
            raise InvalidOption(
                network.at(f"dnsmasq.options[{i}]"),
                f"{repr_short(line)} has no effect, since systemd starts the network's dnsmasq as its own user; "
                "leave it out, or set User= in a drop-in of virtnet-dnsmasq@.service",
                network.owner,
            )
    refuse_raw_conflicts(network)
    refuse_hidden_names(network)
    for option, problem in lost_forwarders(network.dns.names):
        raise InvalidOption(network.at(f"dns.{option}"), problem, network.owner)
    refuse_changed_options(network)


def refuse_changed_options(network: Network) -> None:
    """Refuse DHCP options that guests would not get as they are written; raises InvalidOption."""
    ipv4 = network.ipv4
    times = (ipv4.lease_time, *(one.lease_time for one in ipv4.ranges), *(host.lease_time for host in ipv4.hosts))
    # Those of an infinite lease are not sent at all.
    longest_lease = max(seconds_of(time) or 0 for time in times)
    for family, values in (("ipv4", ipv4.options), ("ipv6", network.ipv6.dhcp.options)):
        options = Options({}, network.at(f"{family}.dhcp.options"), network.owner)
        refuse_changed_values(options, values, int(family[-1]), longest_lease)
    _refuse_unknown_boot_servers(network)
    for name in BOOT_FILE:
        # Guests that ask for the option get it, and not the file.
        if any(boot.file != ipv4.options.get(name, boot.file) for boot in ipv4.boot):
            raise InvalidOption(
                network.at(f"ipv4.dhcp.options.{name}"),
                "is the same option as boot.file; keep one of them",
                network.owner,
            )


def _refuse_unknown_boot_servers(network: Network) -> None:
    """Raise InvalidOption for a name that dnsmasq does not find: it would send 0.0.0.0 (a_record_from_hosts()).

    It looks only among its own records and in /etc/hosts, which others change.
    """
    known = {part for host in network.dns.names.hosts for name in host.names for part in (name, name.split(".")[0])}
    for i, boot in enumerate(network.ipv4.boot):
        if boot.server and not boot.server_address and boot.server.rstrip(".").lower() not in known:
            is_list = len(network.ipv4.boot) > 1 or boot.arch or boot.ipxe
            raise InvalidOption(
                network.at(f"ipv4.dhcp.boot{f'[{i}]' if is_list else ''}.server"),
                f"{repr_short(boot.server)} is no name in dns.hosts; add it there, or give its address",
                network.owner,
            )


def notes_on_dhcp(network: Network) -> Iterator[str]:
    """A sentence for each family whose DHCP has nothing to give."""
    ipv6 = network.ipv6.dhcp
    for family, address, gives, leases in (
        ("ipv4", network.ipv4.address, network.ipv4.dhcp, (*network.ipv4.ranges, *network.ipv4.hosts)),
        ("ipv6", network.ipv6.address, ipv6.gives_addresses, (*ipv6.ranges, *ipv6.hosts)),
    ):
        if network.has_own_bridge and address is not None and gives and not leases:
            yield (
                f"{network.owner}: {family}.dhcp.ranges is empty and there are no {family}.dhcp.hosts, so DHCP gives "
                f"nobody an address; add one of them, or write {family}.dhcp.enabled: false"
            )


def refuse_others_names(network: Network) -> None:
    """Refuse records that the system's dnsmasq would answer to others; raises InvalidOption.

    Names of records depend on the network's domain. So they are refused only when the domain is chosen.
    """
    names, domain = network.dns.names, network.dns.domain
    if domain is None:
        names = replace(names, hosts=(), srv=(), txt=(), cname=(), wildcards=())
    if network.dnsmasq_instance == SYSTEM:
        for option, problem in private_only(names, domain or ""):
            raise InvalidOption(
                network.at(f"dns.{option}"), f"{problem}; use dnsmasq.instance: private, or auto", network.owner
            )


def _refuse_private_only(options: Options, network: Network) -> None:
    """Raise InvalidOption for what the system's dnsmasq cannot do for one network alone."""
    for i, line in enumerate(network.dnsmasq_options):
        if not can_be_limited(line):
            options.error(
                f"dnsmasq.options[{i}]", f"{line!r} is for a whole dnsmasq; use dnsmasq.instance: private, or auto"
            )
    if network.ipv4.ignore_client_ids:
        options.error("ipv4.dhcp.ignore_client_ids", f"{FOR_EVERYBODY}; use dnsmasq.instance: private, or auto")
    if network.ipv6.address and network.ipv6.ra and not network.ipv6.slaac:
        options.error("ipv6.slaac", "false holds for all networks of a dnsmasq; use dnsmasq.instance: private, or auto")
    refuse_others_names(network)
    if network.mode == "isolated" and network.dns.enabled:
        options.error(
            "dnsmasq.instance",
            "'system' would answer guests of an isolated network names of others; use private, or auto, "
            "or dns.enabled: false",
        )
