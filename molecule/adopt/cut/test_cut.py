"""Killed anywhere on the way, either way, the next run completes it, and guests go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.run import eventually

PATIENCE = 60
SCRIPT = Path(__file__).parents[1] / "cut_short.py"
# The steps of the way there and of the way back that a run is cut at. All of them: `make adopt-cuts`.
FEW = {"debian12": (9, 12), "debian13": (17, 5)}
LAST = 60
EVERY = os.environ.get("VIRTNET_CUTS") == "all"


def change_hands(host, state: str, last: int) -> str:
    command = ["sh", "-c", f"python3 -I - {state} {last} || true"]
    done = host.attempt(command, stdin=SCRIPT.read_text())
    return done.out + done.err


def carried_on(lab_host, libvirt, guests, is_told, state: str, last: int) -> bool:
    """Whether there is such a step; all is well when its run was cut short and another came."""
    cut = change_hands(lab_host, state, last)
    if EVERY and "done:" in cut:
        return False
    assert cut.startswith(f"{last} "), cut
    assert "done:" not in cut
    done = change_hands(lab_host, state, 0)
    assert "done: libvirt network" in done, done
    mode = {"adopted": "bridge", "returned": "nat"}[state]
    assert [libvirt.mode(name) for name in ("default", "office")] == [mode, mode]
    links = lab_host.run(["ip", "-o", "link"])
    assert "vnaside" not in links
    for guest, (bridge, pinged) in guests.items():
        assert f" master {bridge} " in next(line for line in links.splitlines() if guest.tap in line)
        assert eventually(lambda one=guest: is_told(one, one.address()), PATIENCE)
        assert eventually(lambda one=guest, there=pinged: one.pings(there), PATIENCE)
    return True


@pytest.mark.timeout(7200 if EVERY else 300)
def test_the_next_run_completes_it(lab_host, libvirt, roamer, clerk, is_told) -> None:
    guests = {roamer: ("virbr0", "203.0.113.1"), clerk: ("br-office", "10.80.0.1")}
    points = [(step, step) for step in range(1, LAST + 1)] if EVERY else [FEW[lab_host.name]]
    for there, back in points:
        went = carried_on(lab_host, libvirt, guests, is_told, "adopted", there)
        came = carried_on(lab_host, libvirt, guests, is_told, "returned", back)
        if not went and not came:
            return
    assert not EVERY, f"there are more than {LAST} steps"
