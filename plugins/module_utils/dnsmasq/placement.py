# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which dnsmasq serves which network: the system's where it can, else a private one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .conflicts import refuse_unservable
from .private_files import instance_of
from .probe import DHCP6_PORT, DHCP_PORT, DNS_PORT
from .spec import AUTO, PRIVATE, SYSTEM, FragmentSpec
from .state import State
from .system_config import WILDCARD
from .system_service import OLDEST, UNIT, NoUsableDnsmasq


@dataclass(frozen=True)
class Choice:
    """A network, the private instance that serves it or '' for the system's, and why it was not the system's."""

    spec: FragmentSpec
    instance: str = ""
    reason: str = ""


def choose(specs: Iterable[FragmentSpec], current: State) -> list[Choice]:
    """One dnsmasq for each network; raises NoUsableDnsmasq with cause and cure where there is none."""
    wanted = list(specs)
    reasons = {spec.name: _why_private(spec, current) for spec in wanted}
    # A wildcard socket for DHCP tolerates no other: then it is the system's dnsmasq or private ones.
    shares = current.config.binding != WILDCARD or current.config.only_localhost
    for port in () if shares else (DHCP_PORT, DHCP6_PORT, DHCP_PORT):
        here = [spec for spec in wanted if port in _dhcp_ports(spec)]
        elsewhere = [spec.name for spec in here if reasons[spec.name] and spec.instance != SYSTEM]
        for spec in here if elsewhere else ():
            if spec.instance == AUTO and not reasons[spec.name]:
                reasons[spec.name] = f"beside the private DHCP server of {elsewhere[0]!r} the system's cannot run"
    system_ports = {port for spec in wanted if not reasons[spec.name] for port in _dhcp_ports(spec)}
    while True:
        beside = current.beside_dhcp(DHCP_PORT in system_ports)
        choices = [_choice(spec, reasons[spec.name], current, system_ports, beside) for spec in wanted]
        # A network that stays with the system's since no private one can serve it takes the port from the others too.
        ports = {port for choice in choices if not choice.instance for port in _dhcp_ports(choice.spec)}
        if ports <= system_ports:
            return choices
        system_ports |= ports


def _dhcp_ports(spec: FragmentSpec) -> list[int]:
    return [port for port, wanted in ((DHCP_PORT, spec.dhcp), (DHCP6_PORT, spec.dhcp6)) if wanted]


def _choice(spec: FragmentSpec, reason: str, current: State, system_ports: Collection[int], beside: bool) -> Choice:
    if not reason:
        return Choice(spec)
    problem = _private_problem(spec, current, system_ports)
    if not problem:
        return Choice(spec, instance_of(spec, beside), "" if spec.instance == PRIVATE else reason)
    # One that serves no DNS at all is no way out of an isolated network.
    fits = not (spec.closed and current.config.port)
    if spec.instance == AUTO and fits and current.service.installed and not system_problem(spec, current):
        # Nothing is wrong with the system's, it only cannot do all: addresses without names are better than nothing.
        return Choice(spec)
    if spec.closed:
        problem = f"{problem}; or give the network no name server (dns.enabled: false)"
    if spec.instance == PRIVATE:
        raise NoUsableDnsmasq(
            f"network {spec.name!r}: a private dnsmasq cannot serve {spec.interface}: {problem}", network=spec.name
        )
    raise NoUsableDnsmasq(
        f"network {spec.name!r}: {reason}; and a private dnsmasq cannot serve {spec.interface} either: {problem}",
        network=spec.name,
    )


def _why_private(spec: FragmentSpec, current: State) -> str:
    """Why a network is not for the system's dnsmasq; '' where it is. Raises NoUsableDnsmasq for one that must be."""
    if spec.instance == PRIVATE:
        return "it is asked for"
    problem = system_problem(spec, current)
    if spec.instance == SYSTEM:
        if problem:
            raise NoUsableDnsmasq(problem)
        return ""
    if spec.private_only:
        return f"{spec.at(spec.private_only[0][0])} {spec.private_only[0][1]}"
    if not current.service.installed and current.program:
        return f"no usable system dnsmasq: there is no {UNIT}"
    if not problem and spec.dns and current.service.installed and current.config.port != DNS_PORT:
        return f"the system's dnsmasq serves no DNS on port 53 ({current.config.named('port')[0]})"
    if not problem and spec.closed:
        return "the system's dnsmasq would answer names of others, which no guest of an isolated network may resolve"
    return problem


def system_problem(spec: FragmentSpec, current: State) -> str:
    """What keeps the system's dnsmasq from serving a network. One that is not installed may be, before it is needed."""
    if not current.service.installed:
        return ""
    try:
        current.service.refuse_unusable()
        refuse_unservable([spec], current.config)
    except NoUsableDnsmasq as error:
        return str(error)
    for port in _dhcp_ports(spec):
        held = [one for one in current.others if one.port == port]
        if held and spec.instance == AUTO and current.config.binding == WILDCARD:
            return f"no usable system dnsmasq: it needs UDP port {port} for itself alone, and {held[0]}"
    return ""


def _private_problem(spec: FragmentSpec, current: State, system_ports: Collection[int]) -> str:
    """What keeps a private instance from serving a network; '' for nothing."""
    if not current.program:
        return "the program dnsmasq is not installed; install the package dnsmasq-base"
    version = current.service.version
    if version and version < OLDEST:
        return (
            f"version {'.'.join(map(str, version))} is too old; install dnsmasq {'.'.join(map(str, OLDEST))} or newer"
        )
    problems = [current.holder(spec.interface, str(bridge.ip)) for bridge in spec.addresses if spec.dns]
    problems += [current.dhcp_holder(port, port in system_ports) for port in _dhcp_ports(spec)]
    return next(filter(None, problems), "")
