# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which dnsmasq serves which network: the system's if it can, else a private one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .conflicts import excluded_by_config
from .private_files import SYSTEM_DNSMASQ, instance_for
from .probe import DHCP6_PORT, DHCP_PORT, DNS_PORT
from .raw_lines import line_setting, refers_to_known
from .render import lines_of_instance
from .spec import AUTO, PRIVATE, SYSTEM, FragmentSpec
from .state import State
from .system_config import WILDCARD
from .system_service import UNIT, NoUsableDnsmasq, version_problem

_LOCALISES = "localise-queries"


@dataclass(frozen=True)
class Placement:
    """A network and the instance that serves it; ``reason``: why not the system's dnsmasq, or ''."""

    spec: FragmentSpec
    instance: str = SYSTEM_DNSMASQ
    reason: str = ""

    @property
    def is_private(self) -> bool:
        """Whether a private instance serves the network."""
        return self.instance != SYSTEM_DNSMASQ


def place_networks(
    networks: Iterable[FragmentSpec], current: State, *, with_names: Collection[str] = ()
) -> list[Placement]:
    """An instance for each network; raises NoUsableDnsmasq with cause and remedy if there is none for one of them.

    ``with_names``: networks for which addresses without names are not better than nothing.
    """
    specs = list(networks)
    reasons = {spec.name: reason_for_private(spec, current) for spec in specs}
    # A wildcard socket for DHCP allows no second one: either the system's dnsmasq serves DHCP, or private ones do.
    shares_ports = current.config.binding != WILDCARD or current.config.only_localhost
    for port in () if shares_ports else (DHCP_PORT, DHCP6_PORT, DHCP_PORT):
        on_port = [spec for spec in specs if port in _dhcp_ports(spec)]
        private = [spec.name for spec in on_port if reasons[spec.name] and spec.instance != SYSTEM]
        for spec in on_port if private else ():
            if spec.instance == AUTO and not reasons[spec.name]:
                reasons[spec.name] = f"beside the private DHCP server of {private[0]!r} the system's cannot run"
    system_ports = {port for spec in specs if not reasons[spec.name] for port in _dhcp_ports(spec)}
    while True:
        alone = current.has_unbound_dhcp_server(DHCP_PORT in system_ports)
        placements = [
            _place(
                spec,
                reasons[spec.name],
                current=current,
                system_ports=system_ports,
                alone=alone,
                with_names=spec.name in with_names,
            )
            for spec in specs
        ]
        # A network that stays with the system's dnsmasq, since no private one can serve it, needs its ports too.
        ports = {port for placement in placements if not placement.is_private for port in _dhcp_ports(placement.spec)}
        if ports <= system_ports:
            return placements
        system_ports |= ports


def _dhcp_ports(spec: FragmentSpec) -> list[int]:
    """The ports that it may share with others; dnsmasq has no other one for DHCPv6."""
    needs_usual = spec.dhcp and not spec.redirect
    return [port for port, needed in ((DHCP_PORT, needs_usual), (DHCP6_PORT, spec.dhcp6)) if needed]


def _place(
    spec: FragmentSpec,
    reason: str,
    *,
    current: State,
    system_ports: Collection[int],
    alone: bool,
    with_names: bool,
) -> Placement:
    """The placement of one network.

    ``system_ports``: the DHCP ports that the system's dnsmasq needs. ``alone``: no private instance may serve several
    networks.
    """
    if not reason:
        return Placement(spec)
    problem = private_problem(spec, current, system_ports)
    if not problem:
        return Placement(spec, instance_for(spec, alone), "" if spec.instance == PRIVATE else reason)
    # An isolated network must not use a server that answers names of others; one that serves no DNS is suitable.
    suits = not (with_names or spec.redirect or (spec.closed and current.config.port) or _unmet(spec, current))
    if spec.instance == AUTO and suits and current.service.installed and not system_problem(spec, current):
        # The system's dnsmasq serves no DNS here: addresses without names are better than nothing, and a note says so.
        return Placement(spec)
    if spec.closed:
        problem = f"{problem}; or give the network no name server (dns.enabled: false)"
    if spec.instance == PRIVATE or spec.redirect:
        raise NoUsableDnsmasq(
            f"network {spec.name!r}: a private dnsmasq cannot serve {spec.interface}: {problem}", network=spec.name
        )
    raise NoUsableDnsmasq(
        f"network {spec.name!r}: {reason}; and a private dnsmasq cannot serve {spec.interface} either: {problem}",
        network=spec.name,
    )


def reason_for_private(spec: FragmentSpec, current: State) -> str:
    """Why the system's dnsmasq does not serve a network; '' if it does.

    Raises NoUsableDnsmasq if it has to serve the network and cannot.
    """
    if spec.instance == PRIVATE:
        return "it is asked for"
    problem = system_problem(spec, current)
    unmet = _unmet(spec, current)
    if spec.redirect:
        return "guests are redirected to it"
    if spec.instance == SYSTEM:
        if problem or unmet:
            why = problem or f"network {spec.name!r}: {spec.at(unmet[0][0])} {unmet[0][1]}; use instance: private"
            raise NoUsableDnsmasq(why, network="" if problem else spec.name)
        return ""
    if unmet:
        return f"{spec.at(unmet[0][0])} {unmet[0][1]}"
    if not current.service.installed:
        return f"no usable system dnsmasq: there is no {UNIT}"
    if not problem and spec.dns and current.service.installed and current.config.port != DNS_PORT:
        return f"the system's dnsmasq serves no DNS on port 53 ({current.config.named('port')[0]})"
    if not problem and spec.closed:
        return "the system's dnsmasq would answer names of others, which no guest of an isolated network may resolve"
    return problem


def _unmet(spec: FragmentSpec, current: State) -> list[tuple[str, str]]:
    """What only a private instance can do for a network, and the system's dnsmasq does not do for everybody already."""
    unmet = [(option, why) for option, why in spec.private_only if not _is_in_force(spec, option, current)]
    if current.config.named(_LOCALISES):
        unmet += [
            (
                option,
                f"gives {name} one of its addresses, of which with {_LOCALISES} guests get those in their subnet alone",
            )
            for option, name in spec.names_elsewhere_too
        ]
    if not current.config.ignores_unknown(spec.interface):
        return unmet
    # Where dnsmasq ignores unknown guests, all guests of the network count as known (RenderContext.exempt_from_ignore).
    why = "is about known guests, which the system's dnsmasq has all guests of the network be"
    return [*unmet, *((f"raw[{i}]", f"{line!r} {why}") for i, line in enumerate(spec.raw) if refers_to_known(line))]


def _is_in_force(spec: FragmentSpec, option: str, current: State) -> bool:
    """Whether the administrator's configuration has a setting of a whole dnsmasq as the network wants it."""
    if option == "names.forward_plain_names":
        return spec.names.forward_plain_names is not bool(current.config.named("domain-needed"))
    lines = {**dict(lines_of_instance(spec)), **{f"raw[{i}]": line for i, line in enumerate(spec.raw)}}
    wanted = line_setting(lines[option]) if option in lines else None
    settings = current.config.named(wanted.name) if wanted is not None else []
    # Of a setting that exists once, that of the command line is in force.
    of_command_line = [setting for setting in settings if not setting.file]
    return wanted is not None and any(
        (setting.value, setting.fields) == (wanted.value, wanted.fields) for setting in of_command_line or settings
    )


def system_problem(spec: FragmentSpec, current: State) -> str:
    """What keeps the system's dnsmasq from serving a network; '' for nothing.

    A dnsmasq that is not installed is no problem: it may be installed before it is needed.
    """
    if not current.service.installed:
        return ""
    if current.service.problem:
        return f"no usable system dnsmasq: {current.service.problem}"
    # One that serves networks of ours, or for which our instances hold the ports, is started again.
    holders = [socket for socket in current.foreign_sockets if socket.port == DNS_PORT]
    if current.service.active == "failed" and holders and not current.has_serving_fragments and spec.instance == AUTO:
        return f"no usable system dnsmasq: {UNIT} has failed, and {holders[0]}"
    problem = excluded_by_config(spec, current.config)
    if problem:
        return problem
    if spec.instance == AUTO and spec.dns and current.config.port == DNS_PORT:
        taken = [current.holder(DNS_PORT, spec.interface, str(bridge.ip)) for bridge in spec.addresses]
        if any(taken):
            return f"no usable system dnsmasq: {next(filter(None, taken))}"
    for port in _dhcp_ports(spec):
        holders = [socket for socket in current.foreign_sockets if socket.port == port]
        excludes = current.config.binding == WILDCARD or port in current.blocked_ports
        if holders and spec.instance == AUTO and excludes:
            return f"no usable system dnsmasq: it needs UDP port {port} for itself alone, and {holders[0]}"
    return ""


def private_problem(spec: FragmentSpec, current: State, system_ports: Collection[int]) -> str:
    """What keeps a private instance from serving a network; '' for nothing.

    A program that is not installed is no problem: it may be installed before it is needed.
    """
    problems = [version_problem(current.service.version)]
    for address in (str(bridge.ip) for bridge in spec.addresses):
        if spec.redirect:
            ports = [port for port, needed in ((spec.dns_port, spec.dns), (spec.dhcp_port, spec.dhcp)) if needed]
            holders = (current.holder(port, spec.interface, address) for port in ports)
            problems += [f"{holder}; stop that, or have it listen on another port" for holder in holders if holder]
        elif spec.dns:
            problems.append(current.dns_port_holder(spec.interface, address))
    problems += [current.dhcp_port_holder(port, port in system_ports) for port in _dhcp_ports(spec)]
    return next(filter(None, problems), "")
