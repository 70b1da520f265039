# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of ``virtnet``: each gives data for programs, text for people, and an exit status."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import VirtnetError, printable
from ..core.files import put
from ..core.lock import lock
from ..core.paths import Paths
from ..firewall.reachability import diagnose
from ..guard.lost_macvtaps import still_open
from ..ipam.in_use import read_kernel_subnets
from ..network.model import Network
from ..network.runtime import STARTED, STOPPED, read_pending, read_records, records_file
from ..orchestration import status as info
from ..orchestration.leases import read_leases
from ..orchestration.restore import HostState, Outcome, load_host_state, missing_ports, reconcile, register
from ..orchestration.subnet_conflicts import find_moves, live_conflicts, store_moves


@dataclass(frozen=True)
class Answer:
    """What a command has to say. Lines of the text are ended by line breaks, and values in it have none."""

    data: Any
    text: str
    status: int = 0

    def as_json(self) -> str:
        """For programs."""
        return json.dumps(self.data, indent=2) + "\n"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first row is the head."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
    lines = [" " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in shown]
    return "\n".join([lines[0], "-" * (sum(widths) + 3 * len(widths) - 1), *lines[1:]]) + "\n"


def _lines(values: Iterable[str], label: str = "") -> str:
    """A line for each value, which may quote what others wrote."""
    return "".join(f"{label}{printable(value)}\n" for value in values)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def list_networks(paths: Paths, _name: str) -> Answer:
    """``virsh net-list --all``, with subnet and number of guests."""
    situation = load_host_state(paths)
    data, aside = info.listed(situation), situation.unreadable
    rows = [("Name", "State", "Autostart", "Persistent", "Mode", "Bridge", "Address", "Guests")]
    for one in data:
        address = one["definition"]["ipv4"]["address"]
        rows.append(
            (
                one["name"],
                one["state"],
                _yes(one["autostart"]),
                _yes(one["persistent"]),
                one["mode"],
                one["bridge"],
                "-" if address == "none" else address,
                str(len(one["ports"])),
            )
        )
    text = table(rows) if data or aside else "No networks are defined.\n"
    return Answer(data, text + _lines((one.problem for one in aside.values()), "error: "), 1 if aside else 0)


def xml(paths: Paths, name: str) -> Answer:
    """``virsh net-dumpxml``."""
    (text,) = info.xml(paths, [name])
    return Answer({"xml": text}, _as_references(text))


def _as_references(xml: str) -> str:
    """XML that says the same and does nothing to a terminal (XML 1.0 section 4.1, character references)."""
    return "".join(one if one.isprintable() or one in "\n\t" else f"&#x{ord(one):x};" for one in xml)


def show(paths: Paths, name: str) -> Answer:
    """``virsh net-info``, with what net-dumpxml would tell."""
    (one,) = info.networks(paths, [name])
    definition = one["definition"]
    ipv4 = definition["ipv4"]
    lines = {
        "Name": one["name"],
        "UUID": one["uuid"],
        "Title": definition["title"],
        "Active": _yes(one["state"] == "active"),
        "Persistent": _yes(one["persistent"]),
        "Autostart": _yes(one["autostart"]),
        "Mode": one["mode"] + (f" by {definition['uplink']}" if definition["uplink"] else ""),
        "Bridge": one["bridge"],
        "IPv4": f"{ipv4['address']}{' (chosen)' if ipv4['auto'] else ''}",
        "DHCP": ", ".join(f"{r['start']} - {r['end']} for {r['lease_time']}" for r in ipv4["dhcp"]["ranges"]),
        "Domain": definition["dns"]["domain"] or "",
        "Addresses": ", ".join(one["addresses"]),
        "Guests": ", ".join(one["ports"]),
        "Conflicts": "; ".join(one["conflicts"]),
    }
    text = "".join(f"{f'{key}:':<15}{printable(value or '-')}\n" for key, value in lines.items())
    return Answer(one, text)


def leases(paths: Paths, name: str) -> Answer:
    """``virsh net-dhcp-leases``, of one network or all."""
    situation = load_host_state(paths)
    networks = situation.named([name]) if name else list(situation.defined.values())
    report = read_leases(networks, paths)
    rows = [("Network", "Expiry Time", "MAC address", "IP address", "Hostname", "Client ID")]
    for one in report.leases:
        expiry = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.expires)) if one.expires else "never"
        rows.append((one.network, expiry, one.mac, one.ip, one.name or "-", one.client_id or "-"))
    text = table(rows) if report.leases else "There are no leases.\n"
    text += _lines(report.problems, "error: ")
    return Answer([vars(one) for one in report.leases], text, 1 if report.problems else 0)


def start(paths: Paths, name: str) -> Answer:
    """``virsh net-start``."""
    return _switch(paths, name, STARTED)


def stop(paths: Paths, name: str) -> Answer:
    """``virsh net-destroy``."""
    return _switch(paths, name, STOPPED)


def _switch(paths: Paths, name: str, word: str) -> Answer:
    with lock(paths.runtime):
        situation = load_host_state(paths)
        (network,) = situation.named([name])
        if word == STARTED:
            _refuse_overlap(network, situation)
        put([records_file({**read_records(paths), name: word}, paths)])
        outcomes = list(reconcile(load_host_state(paths), paths, names=[name]))
        moves, _stay = find_moves(load_host_state(paths), paths, {*situation.defined} - {name})
        if moves:
            store_moves(moves, paths)
            outcomes += reconcile(load_host_state(paths), paths, names=[name])
        outcomes.append(register(load_host_state(paths), paths, [name]))
    changes = [change for outcome in outcomes for change in outcome.changes]
    errors = [outcome.error for outcome in outcomes if outcome.error]
    notes = [note for outcome in outcomes for note in outcome.notes]
    text = _lines(changes) + _lines(notes, "note: ")
    text += _lines(errors, "error: ") or f"Network {name} {'was ' if not changes else ''}{word}\n"
    return Answer({"name": name, "changes": changes, "notes": notes, "errors": errors}, text, 1 if errors else 0)


def _refuse_overlap(network: Network, situation: HostState) -> None:
    """As net-start does, with more than equal subnets (networkCheckRouteCollision() in libvirt)."""
    if network.bridge.name in situation.links or network.subnet is None or network.ipv4.auto:
        return
    for one in read_kernel_subnets():
        if one.network.overlaps(network.subnet) and one.interface != network.bridge.name:
            raise VirtnetError(f"{network.owner} is not started: {network.subnet} overlaps {one.used_by}")


def check(paths: Paths, _name: str) -> Answer:
    """Whether every part is as defined, nothing overlaps, nothing is missing, and no firewall drops guests' packets."""
    situation = load_host_state(paths)
    outcomes = list(reconcile(situation, paths, check=True))
    problems = [line for outcome in outcomes for line in _wrong(outcome)]
    problems += [str(conflict) for conflict in live_conflicts(situation)]
    problems += list(missing_ports(situation))
    problems += situation.problems
    problems += still_open(paths)
    # What the rules' part says of other firewalls is said better by what becomes of packets.
    notes = [note for outcome in outcomes if outcome.part != "rules" for note in outcome.notes]
    diagnosis = diagnose(info.plugged(situation))
    problems += diagnosis.problems
    notes += diagnosis.notes
    pending = sorted(read_pending(paths).names)
    if pending and problems:
        notes.append(f"a run is at work on {', '.join(pending)}")
    packets = [finding.as_options() for finding in diagnosis.findings]
    data: Mapping[str, Any] = {"well": not problems, "problems": problems, "notes": notes, "packets": packets}
    text = _lines(problems) + _lines(notes, "note: ")
    if not problems:
        running = len(situation.running)
        text += f"All is well: {running} of {len(situation.defined)} networks run.\n"
    return Answer(data, text, 1 if problems else 0)


def _wrong(outcome: Outcome) -> list[str]:
    if outcome.error:
        return [outcome.error]
    return [f"not as defined: {change} is due" for change in outcome.changes]


COMMANDS: Mapping[str, Callable[[Paths, str], Answer]] = {
    "list": list_networks,
    "show": show,
    "xml": xml,
    "leases": leases,
    "start": start,
    "stop": stop,
    "check": check,
}
