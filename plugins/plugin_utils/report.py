# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks of a fleet as one page to look at, or as text for a terminal. Pure.

What hosts answer is parsed in answers.py; here it is plain, bounded text. The page escapes all of it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ansible_collections.virtnet.linux.plugins.plugin_utils import answers
from ansible_collections.virtnet.linux.plugins.plugin_utils.answer_values import BadAnswer, plain
from ansible_collections.virtnet.linux.plugins.plugin_utils.guests import Guest, guests_of
from ansible_collections.virtnet.linux.plugins.plugin_utils.reach import Matrix, matrix
from jinja2 import Environment, StrictUndefined, Template

PAGE = Path(__file__).with_name("report.html.j2")
STYLE = Path(__file__).with_name("report.css")
MODES = (
    ("nat", "out behind the host's address"),
    ("routed", "by addresses of their own"),
    ("open", "no rules of ours"),
    ("bridged", "on a bridge of the host"),
    ("isolated", "the host and each other"),
    ("libvirt", "libvirt's own"),
)
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
    uplinks: str
    forwards: Sequence[str]
    guests: Sequence[Guest]
    ports: int
    findings: Sequence[str]

    @property
    def key(self) -> str:
        """What links of the page point to."""
        return _key(self.host, self.name)


@dataclass(frozen=True)
class Host:
    """One host; ``error``: why it has no networks here."""

    name: str
    networks: Sequence[Network] = ()
    error: str = ""
    reach: Matrix = Matrix()

    @property
    def wrong(self) -> bool:
        """Whether there are findings."""
        return bool(self.error) or any(network.findings for network in self.networks)


@dataclass(frozen=True)
class Fleet:
    """All hosts, with all findings."""

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

    def key(self, host: str, network: str) -> str:
        """What links to a network point to."""
        return _key(host, network)

    @property
    def dense(self) -> bool:
        """Whether there are too many networks to name each guest in the drawing."""
        return len(self.networks) > DENSE


def _key(host: str, network: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{host}--{network}")


def fleet(results: Mapping[str, Any], when: str) -> Fleet:
    """The fleet, from what the module virt_network_info returned on each host: a result, or an error's ``msg``.

    An answer that cannot be used is an error of its host alone.
    """
    hosts = [_host(str(name), answer) for name, answer in sorted(results.items(), key=lambda pair: str(pair[0]))]
    shared = _shared([network for host in hosts for network in host.networks])
    hosts = [replace(host, networks=[_with_findings(one, shared) for one in host.networks]) for host in hosts]
    findings = [(host.name, "", host.error) for host in hosts if host.error]
    networks = [network for host in hosts for network in host.networks]
    findings += [(network.host, network.name, text) for network in networks for text in network.findings]
    return Fleet(hosts, plain(when, 100), findings)


def _host(name: str, result: Any) -> Host:
    name = plain(name, 255)
    try:
        answer = answers.parse_answer(name, result)
    except BadAnswer as error:
        return Host(name, error=error.sentence)
    guests: dict[str, list[Guest]] = {}
    for guest in guests_of(answer):
        guests.setdefault(guest.network, []).append(guest)
    networks = [_network(name, one, guests.get(one.name, ())) for one in answer.networks]
    return Host(name, networks, reach=matrix(answer.networks))


def _network(host: str, one: answers.Network, guests: Sequence[Guest]) -> Network:
    definition = one.definition
    addresses = [address for address in (definition.ipv4.address, definition.ipv6.address) if address is not None]
    return Network(
        host=host,
        name=one.name,
        state=one.state,
        mode=one.mode,
        bridge=one.bridge,
        subnets=[str(address.network) for address in (*addresses, *definition.extra_addresses)],
        domain=definition.domain,
        uplinks=", ".join(definition.uplinks),
        forwards=[_forward(entry) for entry in definition.forwards],
        guests=guests,
        ports=len(one.ports),
        findings=list(_findings(one)),
    )


def _forward(entry: answers.Forward) -> str:
    """One port forward, from left to right as packets go."""
    port = str(entry.first) if entry.first == entry.last else f"{entry.first}-{entry.last}"
    where = f"{entry.address} " if entry.address else ""
    to_port = f" {entry.to_port}" if entry.to_port else ""
    return f"{where}{entry.protocol} {port} \u2192 {entry.to}{to_port}"


def _findings(one: answers.Network) -> Iterator[str]:
    for conflict in one.conflicts:
        yield f"its subnet meets {conflict}"
    for packet in one.packets:
        yield from _packet(packet)
    if one.autostart and one.state != "active":
        yield "it is started at boot, but does not run now"


def _packet(packet: answers.Packet) -> Iterator[str]:
    """Differences between the verdict on one kind of packets and the intended one."""
    packets = f"packets {packet.way} ({packet.family})"
    if packet.wanted and packet.verdict != "passes":
        for drop in packet.by:
            rule = "the policy" if drop.rule is None else f"the rule '{drop.rule}'"
            remedy = f"; to let them pass: {drop.cure}" if drop.cure else ""
            by = f"{rule} of chain {drop.chain} in table {drop.family} {drop.table}"
            yield f"{packets} {'are' if packet.verdict == 'dropped' else 'may be'} dropped by {by}{remedy}"
    elif not packet.wanted and packet.verdict == "passes":
        yield f"{packets} pass, which its mode forbids"


def _with_findings(network: Network, more: Mapping[tuple[str, str], Sequence[str]]) -> Network:
    return replace(network, findings=[*network.findings, *more.get((network.host, network.name), ())])


def _shared(networks: Sequence[Network]) -> Mapping[tuple[str, str], Sequence[str]]:
    """Routed and open networks of one subnet on several hosts: nobody can route to both. By host and network."""
    seen: dict[str, Network] = {}
    findings: dict[tuple[str, str], list[str]] = {}
    for network in networks:
        for subnet in network.subnets if network.mode in ("routed", "open") else ():
            other = seen.setdefault(subnet, network)
            if other.host != network.host:
                text = f"{subnet} is also that of the {other.mode} network {other.name} on {other.host}"
                findings.setdefault((network.host, network.name), []).append(text)
    return findings


def as_html(fleet: Fleet) -> str:
    """One page that needs nothing else; all text in it is escaped.

    Its policy (Content Security Policy Level 3, section 6.1) allows the one style that it has, by its hash, and nothing
    else: no script, no other style, nothing from elsewhere. Links to a host (``#host-3``) and checkboxes choose what is
    shown; so the style has a rule for each host.
    """
    numbers = range(1, len(fleet.hosts) + 1)
    hidden = ",\n".join(f"body:has(#host-{i}:target) :is(.host, .who, tbody tr):not(.h{i})" for i in numbers)
    chosen = ",\n".join(f"body:has(#host-{i}:target) .hosts [href='#host-{i}']" for i in numbers)
    rules = f"{hidden} {{ display: none; }}\n{chosen} {{ outline: 2px solid; }}\n" if fleet.hosts else ""
    style = STYLE.read_text(encoding="utf-8") + rules
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return _page().render(fleet=fleet, policy=policy, style=style, modes=MODES)


@lru_cache(maxsize=1)
def _page() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8"))


def as_text(fleet: Fleet) -> str:
    """The same for a terminal, without control characters."""
    lines = [f"{_count(fleet.hosts, 'host')}, {_count(fleet.networks, 'network')}, {_count(fleet.guests, 'guest')}", ""]
    for host in fleet.hosts:
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
    for host_name, network_name, text in fleet.findings:
        lines.append(f"! {host_name}{f', {network_name}' if network_name else ''}: {text}")
    if not fleet.findings:
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
