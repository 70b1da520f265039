"""Snapshots of a host's state and their comparison: a teardown must restore the state before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .host import Host

PROBE = Path(__file__).with_name("probe.py")
Snapshot = dict[str, dict[str, Any]]


def take(host: Host) -> Snapshot:
    snapshot: Snapshot = json.loads(host.run(["python3", "-I", "-"], stdin=PROBE.read_text()))
    return snapshot


def save(snapshot: Snapshot, file: Path) -> None:
    file.write_text(json.dumps(snapshot, indent=1, sort_keys=True))


def load(file: Path) -> Snapshot:
    snapshot: Snapshot = json.loads(file.read_text())
    return snapshot


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """One line for everything that was added, removed or changed."""
    changed_links = set(before["links"]) ^ set(after["links"])
    before, after = _without_sysctls_of(changed_links, before), _without_sysctls_of(changed_links, after)
    before, after = _without_spanning_tree(before, after)
    return [line for section in sorted({*before, *after}) for line in _section(section, before, after)]


def _without_sysctls_of(links: set[str], snapshot: Snapshot) -> Snapshot:
    """A link that is added or removed is one line, not one for each of its hundred sysctls."""
    kept = {name: value for name, value in snapshot["sysctls"].items() if not links.intersection(name.split("/"))}
    return {**snapshot, "sysctls": kept}


def _without_spanning_tree(before: Snapshot, after: Snapshot) -> tuple[Snapshot, Snapshot]:
    """A bridge reports a new port for some 35 s, and forgets addresses sooner meanwhile."""
    transient = ("topology_change", "topology_change_detected", "ageing_time")

    def data(snapshot: Snapshot, name: str) -> dict[str, Any]:
        return dict(snapshot["links"].get(name, {}).get("linkinfo", {}).get("info_data", {}))

    def cleared(snapshot: Snapshot) -> Snapshot:
        links = {
            name: {**link, "linkinfo": {**link["linkinfo"], "info_data": _without(data(snapshot, name), transient)}}
            if any(data(state, name).get("topology_change") for state in (before, after))
            else link
            for name, link in snapshot["links"].items()
        }
        return {**snapshot, "links": links}

    return cleared(before), cleared(after)


def _without(values: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _section(name: str, before: Snapshot, after: Snapshot) -> Iterator[str]:
    old, new = before.get(name, {}), after.get(name, {})
    for key in sorted({*old, *new}):
        if key not in new:
            yield f"{name}: gone: {key}: {_short(old[key])}"
        elif key not in old:
            yield f"{name}: new: {key}: {_short(new[key])}"
        elif old[key] != new[key]:
            yield from (f"{name}: changed: {line}" for line in _change(key, old[key], new[key]))


def _change(key: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for inner in sorted({*old, *new}):
            if old.get(inner) != new.get(inner):
                yield from _change(f"{key} {inner}", old.get(inner), new.get(inner))
    else:
        yield f"{key}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 300 else text[:297] + "..."
