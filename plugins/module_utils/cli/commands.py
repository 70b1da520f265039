# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of ``virtnet``: each returns data for programs, text for people, and an exit status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import VirtnetError, WrongUsage, printable
from ..core.files import write_files
from ..core.lock import lock
from ..core.paths import Paths
from ..core.protocols import PROTOCOLS
from ..firewall.policy_hits import policy_hits
from ..firewall.reachability import diagnose
from ..firewall.reconciler import read_table
from ..firewall.trace import PASSES, trace
from ..guard.lost_macvtaps import still_open
from ..ipam.in_use import read_kernel_subnets
from ..network.model import Network
from ..network.runtime import STARTED, STOPPED, read_pending, read_records, records_file
from ..orchestration import status as info
from ..orchestration.desired_state import RULES
from ..orchestration.leases import nearly_full, read_leases
from ..orchestration.restore import HostState, Outcome, load_host_state, missing_ports, reconcile, register
from ..orchestration.subnet_conflicts import find_moves, live_conflicts, store_moves
from ..orchestration.trace_ends import Ends
from ..ruleset.read import read


@dataclass(frozen=True)
class Answer:
    """The result of a command. Each line of the text ends with a line break; values in it contain none."""

    data: Any
    text: str
    status: int = 0


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table of aligned columns; the first row is the header."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [" " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * (sum(widths) + 3 * len(widths) - 1), *lines[1:]]) + "\n"


def _lines(values: Iterable[str], label: str = "") -> str:
    """A line for each value, with its control characters escaped."""
    return "".join(f"{label}{printable(value)}\n" for value in values)


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def list_networks(paths: Paths, _name: str) -> Answer:
    """``virsh net-list --all``, with subnet and number of guests."""
    state = load_host_state(paths)
    data, unreadable = info.listed(state), state.unreadable
    rows = [("Name", "State", "Autostart", "Persistent", "Mode", "Bridge", "Address", "Guests")]
    for network in data:
        address = network["definition"]["ipv4"]["address"]
        rows.append(
            (
                network["name"],
                network["state"],
                _yes_or_no(network["autostart"]),
                _yes_or_no(network["persistent"]),
                network["mode"],
                network["bridge"],
                "-" if address == "none" else address,
                str(len(network["ports"])),
            )
        )
    text = table(rows) if data or unreadable else "No networks are defined.\n"
    text += _lines((definition.problem for definition in unreadable.values()), "error: ")
    return Answer(data, text, 1 if unreadable else 0)


def xml(paths: Paths, name: str) -> Answer:
    """``virsh net-dumpxml``."""
    (text,) = info.xml(paths, [name])
    return Answer({"xml": text}, _with_references(text))


def _with_references(xml: str) -> str:
    """Equivalent XML with control characters as character references (XML 1.0 section 4.1)."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"&#x{ord(char):x};" for char in xml)


def _by_uplinks(uplink: str | list[str] | None) -> str:
    uplinks = uplink if isinstance(uplink, list) else [uplink] if uplink else []
    return f" by {', '.join(uplinks)}" if uplinks else ""


def show(paths: Paths, name: str) -> Answer:
    """``virsh net-info``, with more details."""
    (network,) = info.networks(paths, [name])
    definition = network["definition"]
    ipv4 = definition["ipv4"]
    lines = {
        "Name": network["name"],
        "UUID": network["uuid"],
        "Title": definition["title"],
        "Active": _yes_or_no(network["state"] == "active"),
        "Persistent": _yes_or_no(network["persistent"]),
        "Autostart": _yes_or_no(network["autostart"]),
        "Mode": network["mode"] + _by_uplinks(definition["uplink"]),
        "Bridge": network["bridge"],
        "IPv4": f"{ipv4['address']}{' (chosen)' if ipv4['auto'] else ''}",
        "DHCP": ", ".join(f"{r['start']} - {r['end']} for {r['lease_time']}" for r in ipv4["dhcp"]["ranges"]),
        "Domain": definition["dns"]["domain"] or "",
        "Addresses": ", ".join(network["addresses"]),
        "Guests": ", ".join(network["ports"]),
        "Conflicts": "; ".join(network["conflicts"]),
    }
    text = "".join(f"{f'{key}:':<15}{printable(value or '-')}\n" for key, value in lines.items())
    return Answer(network, text)


def leases(paths: Paths, name: str) -> Answer:
    """``virsh net-dhcp-leases``, of one network or all."""
    state = load_host_state(paths)
    networks = state.named([name]) if name else list(state.defined.values())
    report = read_leases(networks, paths)
    rows = [("Network", "Expiry Time", "MAC address", "IP address", "Hostname", "Client ID")]
    for lease in report.leases:
        expiry = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(lease.expires)) if lease.expires else "never"
        rows.append((lease.network, expiry, lease.mac, lease.ip, lease.name or "-", lease.client_id or "-"))
    text = table(rows) if report.leases else "There are no leases.\n"
    text += _lines(report.problems, "error: ")
    return Answer([vars(lease) for lease in report.leases], text, 1 if report.problems else 0)


def policies(paths: Paths, name: str) -> Answer:
    """The entries of policies with the packets that they have matched, of one network or all."""
    if name:
        load_host_state(paths).named([name])
    hits = [hit for hit in policy_hits(read_table()) if name in ("", hit.network)]
    rows = [("Network", "Entry", "Packets"), *((hit.network, hit.entry, str(hit.packets)) for hit in hits)]
    return Answer([vars(hit) for hit in hits], table(rows) if hits else "There are no policies.\n")


def _switch(paths: Paths, name: str, record: str) -> Answer:
    """``virsh net-start`` (``record``: STARTED), or ``virsh net-destroy`` (STOPPED)."""
    with lock(paths.runtime):
        state = load_host_state(paths)
        (network,) = state.named([name])
        if record == STARTED:
            _refuse_overlap(network, state)
        write_files([records_file({**read_records(paths), name: record}, paths)])
        outcomes = list(reconcile(load_host_state(paths), paths, names=[name]))
        moves, _unresolved = find_moves(load_host_state(paths), paths, {*state.defined} - {name})
        if moves:
            store_moves(moves, paths)
            outcomes += reconcile(load_host_state(paths), paths, names=[name])
        outcomes.append(register(load_host_state(paths), paths, [name]))
    changes = [change for outcome in outcomes for change in outcome.changes]
    errors = [outcome.error for outcome in outcomes if outcome.error]
    notes = [note for outcome in outcomes for note in outcome.notes]
    text = _lines(changes) + _lines(notes, "note: ")
    text += _lines(errors, "error: ") or f"Network {name} {'was ' if not changes else ''}{record}\n"
    return Answer({"name": name, "changes": changes, "notes": notes, "errors": errors}, text, 1 if errors else 0)


def _refuse_overlap(network: Network, state: HostState) -> None:
    """Refuse to start a network whose subnet overlaps another one in use.

    libvirt refuses equal subnets only (networkCheckRouteCollision()).
    """
    if network.bridge.name in state.links or network.subnet is None or network.ipv4.auto:
        return
    for in_use in read_kernel_subnets():
        if in_use.network.overlaps(network.subnet) and in_use.interface != network.bridge.name:
            raise VirtnetError(f"{network.owner} is not started: {network.subnet} overlaps {in_use.used_by}")


def check(paths: Paths, _name: str) -> Answer:
    """Find differences from the desired state, overlaps, missing ports, and firewalls that drop guests' packets."""
    state = load_host_state(paths)
    outcomes = list(reconcile(state, paths, check=True))
    problems = [line for outcome in outcomes for line in _problems(outcome)]
    problems += map(str, live_conflicts(state))
    problems += missing_ports(state)
    problems += state.problems
    problems += still_open(paths)
    # The diagnosis of packets has more details about other firewalls than the notes of the rules.
    notes = [note for outcome in outcomes if outcome.part != RULES for note in outcome.notes]
    diagnosis = diagnose(info.with_bridge(state))
    problems += diagnosis.problems
    notes += diagnosis.notes
    notes += nearly_full(state.defined.values(), paths)
    at_work = {name: left for name, network in read_pending(paths).items() if (left := network.seconds_left())}
    if at_work and problems:
        names, left = ", ".join(sorted(at_work)), max(at_work.values())
        notes.append(f"a run is at work on {names}; if it has died, the guard completes it in {left:.0f} s")
    packets = [finding.as_options() for finding in diagnosis.findings]
    data: Mapping[str, Any] = {"well": not problems, "problems": problems, "notes": notes, "packets": packets}
    text = _lines(problems) + _lines(notes, "note: ")
    if not problems:
        text += f"All is well: {len(state.running)} of {len(state.defined)} networks run.\n"
    return Answer(data, text, 1 if problems else 0)


def trace_packet(paths: Paths, source: str, destination: str, protocol: str, port: int | None) -> Answer:
    """Whether a packet would pass, a line for each family; raises WrongUsage. ``protocol``: "" for a ping."""
    with_ports = protocol in PROTOCOLS.values()
    if with_ports and not (port and 0 < port < 65536):
        raise WrongUsage(f"{protocol} needs a port of 1 to 65535; write it after the protocol, as in 'tcp 443'")
    if port is not None and not with_ports:
        raise WrongUsage(f"{protocol} has no ports; leave out {port}")
    ends = Ends(load_host_state(paths), paths)
    flows, ruleset = ends.flows(source, destination, protocol or "icmp", port or 0), read()
    traces = [trace(flow, ends.networks, ruleset) for flow in flows]
    notes = dict.fromkeys(note for one in traces for note in one.notes)
    text = _lines(map(str, traces)) + _lines(notes, "note: ")
    return Answer([one.as_options() for one in traces], text, int(any(one.verdict != PASSES for one in traces)))


def _problems(outcome: Outcome) -> list[str]:
    if outcome.error:
        return [outcome.error]
    return [f"not as defined: {change} is due" for change in outcome.changes]


COMMANDS: Mapping[str, Callable[[Paths, str], Answer]] = {
    "list": list_networks,
    "show": show,
    "xml": xml,
    "leases": leases,
    "policies": policies,
    "start": lambda paths, name: _switch(paths, name, STARTED),
    "stop": lambda paths, name: _switch(paths, name, STOPPED),
    "check": check,
}
