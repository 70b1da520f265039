# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks of a fleet as one page to look at, or as text for a terminal. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.virtnet.linux.plugins.plugin_utils.answers import BadAnswer, parse_answer
from ansible_collections.virtnet.linux.plugins.plugin_utils.guests import Guest, guests_of
from jinja2 import Environment, StrictUndefined

PAGE = Path(__file__).with_name("report.html.j2")
# With more networks than this, guests are drawn as dots and no longer by name; the tables have them all.
DENSE = 60


@dataclass(frozen=True)
class Network:
    """One network as the report shows it."""

    host: str
    name: str
    state: str
    mode: str
    bridge: str
    subnets: Sequence[str]
    domain: str
    uplink: str
    forwards: Sequence[str]
    guests: Sequence[Guest]
    ports: int
    findings: Sequence[str]

    @property
    def key(self) -> str:
        """What links of the page point to."""
        return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{self.host}--{self.name}")


@dataclass(frozen=True)
class Host:
    """One host; ``error`` says why nothing is known of it."""

    name: str
    networks: Sequence[Network] = ()
    error: str = ""


@dataclass(frozen=True)
class Fleet:
    """All hosts, and what is to be said of them together."""

    hosts: Sequence[Host]
    when: str
    findings: Sequence[tuple[str, str, str]] = field(default=())
    """Host, network or nothing, and a sentence."""

    @property
    def networks(self) -> list[Network]:
        """Of all hosts."""
        return [network for host in self.hosts for network in host.networks]

    @property
    def guests(self) -> list[Guest]:
        """Of all networks."""
        return [guest for network in self.networks for guest in network.guests]

    @property
    def dense(self) -> bool:
        """Whether there are too many networks to name each guest in the drawing."""
        return len(self.networks) > DENSE


def fleet(answers: Mapping[str, Mapping[str, Any]], when: str) -> Fleet:
    """The fleet, from what the module virt_network_info returned on each host: a result, or an error's ``msg``."""
    hosts = [_host(name, answer) for name, answer in sorted(answers.items())]
    findings = [(host.name, "", host.error) for host in hosts if host.error]
    networks = [network for host in hosts for network in host.networks]
    findings += [(network.host, network.name, text) for network in networks for text in network.findings]
    findings += _shared(networks)
    return Fleet(hosts, when, findings)


def _host(name: str, answer: Mapping[str, Any]) -> Host:
    if "networks" not in answer:
        return Host(name, error=str(answer.get("msg") or "did not answer"))
    try:
        guests = guests_of(parse_answer(name, answer))
    except BadAnswer as bad:
        return Host(name, error=bad.sentence)
    return Host(name, [_network(name, one, guests) for one in answer["networks"]])


def _network(host: str, one: Mapping[str, Any], guests: Iterable[Guest]) -> Network:
    definition = one["definition"]
    subnets = [str(ipaddress.ip_interface(text).network) for text in _addresses(definition)]
    return Network(
        host=host,
        name=one["name"],
        state=one["state"],
        mode=one["mode"],
        bridge=one["bridge"],
        subnets=subnets,
        domain=(definition.get("dns") or {}).get("domain") or "",
        uplink=definition.get("uplink") or "",
        forwards=[_forward(entry) for entry in definition.get("port_forwards") or ()],
        guests=[guest for guest in guests if guest.network == one["name"]],
        ports=len(one["ports"]),
        findings=list(_findings(one)),
    )


def _addresses(definition: Mapping[str, Any]) -> Iterator[str]:
    for family in ("ipv4", "ipv6"):
        address = (definition.get(family) or {}).get("address") or "none"
        if address not in ("auto", "none"):
            yield address
    yield from definition.get("extra_addresses") or ()


def _forward(entry: Mapping[str, Any]) -> str:
    """One port forward, from left to right as packets go."""
    port = entry.get("port") or entry.get("port_range")
    if isinstance(port, Mapping):
        port = f"{port['start']}-{port['end']}"
    where = f"{entry['address']} " if entry.get("address") else ""
    to_port = f" {entry['to_port']}" if entry.get("to_port") else ""
    return f"{where}{entry.get('protocol') or 'tcp'} {port} \u2192 {entry['to']}{to_port}"


def _findings(one: Mapping[str, Any]) -> Iterator[str]:
    for met in one.get("conflicts") or ():
        yield f"its subnet meets {met}"
    for packet in one.get("packets") or ():
        yield from _packet(packet)
    if one["autostart"] and one["state"] != "active":
        yield "it is started at boot, but does not run now"


def _packet(found: Mapping[str, Any]) -> Iterator[str]:
    """What virt_network_info found out about one kind of packets, where it is not as it shall be."""
    what = f"packets {found['way']} ({found['family']})"
    if found["wanted"] and found["verdict"] != "passes":
        for one in found["by"]:
            rule = "the policy" if one["rule"] is None else f"the rule '{one['rule']}'"
            cure = f"; to let them pass: {one['cure']}" if one["cure"] else ""
            by = f"{rule} of chain {one['chain']} in table {one['family']} {one['table']}"
            yield f"{what} {'are' if found['verdict'] == 'dropped' else 'may be'} dropped by {by}{cure}"
    elif not found["wanted"] and found["verdict"] == "passes":
        yield f"{what} pass, which its mode forbids"


def _shared(networks: Sequence[Network]) -> list[tuple[str, str, str]]:
    """Routed and open networks of one subnet on several hosts: nobody can route to both."""
    seen: dict[str, Network] = {}
    found = []
    for network in networks:
        for subnet in network.subnets if network.mode in ("routed", "open") else ():
            other = seen.setdefault(subnet, network)
            if other.host != network.host:
                text = f"{subnet} is also that of the {other.mode} network {other.name} on {other.host}"
                found.append((network.host, network.name, text))
    return found


def as_html(found: Fleet) -> str:
    """One page that needs nothing else; all text in it is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(fleet=found)


def as_text(found: Fleet) -> str:
    """The same for a terminal: control characters of whoever named something are not passed on."""
    lines = [f"{_count(found.hosts, 'host')}, {_count(found.networks, 'network')}, {_count(found.guests, 'guest')}", ""]
    for host in found.hosts:
        lines.append(host.name + (f": {host.error}" if host.error else ""))
        rows = [
            (one.name, one.state, one.mode, ", ".join(one.subnets) or "-", one.domain or "-", _plugged(one))
            for one in host.networks
        ]
        lines += _table([("network", "state", "mode", "subnet", "domain", "guests"), *rows]) if rows else []
        for network in host.networks:
            lines += [f"    {network.name}: {text}" for text in network.forwards]
            lines += [f"    {network.name}: {_label(guest)}" for guest in network.guests]
        lines.append("")
    for host_name, network_name, text in found.findings:
        lines.append(f"! {host_name}{f', {network_name}' if network_name else ''}: {text}")
    if not found.findings:
        lines.append("Nothing is wrong.")
    return "".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", "\ufffd", line) + "\n" for line in lines)


def _count(things: Sequence[Any], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _plugged(network: Network) -> str:
    return f"{len(network.guests)} known, {network.ports} plugged in"


def _label(guest: Guest) -> str:
    name = guest.name or guest.mac or guest.key
    return f"{name} {' '.join(guest.addresses)}{'' if guest.leased else ' (no lease)'}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
