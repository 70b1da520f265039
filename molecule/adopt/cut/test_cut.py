"""Killed anywhere on the way, either way, the next run completes it, and guests go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.run import eventually

PATIENCE = 60
SCRIPT = Path(__file__).parents[1] / "cut_short.py"
# The steps of the way there and of the way back that a run is cut at. All of them: `make adopt-cuts`.
FEW = [(9, 12), (17, 5)]
LAST = 60
EVERY = os.environ.get("VIRTNET_CUTS") == "all"
POINTS = [(step, step) for step in range(1, LAST + 1)] if EVERY else FEW


def change_hands(host, state: str, last: int) -> str:
    command = ["sh", "-c", f"python3 -I - {state} {last} || true"]
    done = host.attempt(command, stdin=SCRIPT.read_text())
    return done.out + done.err


@pytest.mark.parametrize(("there", "back"), POINTS)
def test_the_next_run_completes_it(lab_host, libvirt, roamer, clerk, is_told, there: int, back: int) -> None:
    for state, last, mode in (("adopted", there, "bridge"), ("returned", back, "nat")):
        cut = change_hands(lab_host, state, last)
        if EVERY and "done:" in cut:
            # It has fewer steps than the other way.
            continue
        assert cut.startswith(f"{last} "), cut
        assert "done:" not in cut
        done = change_hands(lab_host, state, 0)
        assert "done: libvirt network" in done, done
        assert [libvirt.mode(name) for name in ("default", "office")] == [mode, mode]
        links = lab_host.run(["ip", "-o", "link"])
        assert "vnaside" not in links
        for guest, bridge in ((roamer, "virbr0"), (clerk, "br-office")):
            assert f" master {bridge} " in next(line for line in links.splitlines() if guest.tap in line)
            assert eventually(lambda one=guest: is_told(one, one.address()), PATIENCE)
        assert eventually(lambda: roamer.pings("203.0.113.1") and clerk.pings("10.80.0.1"), PATIENCE)
