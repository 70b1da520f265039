"""An adoption or release that is killed at any step is completed by the next run, and guests lose no packets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.run import eventually

TIMEOUT = 60
SCRIPT = Path(__file__).parents[1] / "cut_short.py"
# The steps of adoption and of release at which a run is killed. All steps: `make adopt-cuts`.
DEFAULT_STEPS = {"debian12": (9, 12), "debian13": (17, 5)}
MAX_STEPS = 60
ALL_STEPS = os.environ.get("VIRTNET_CUTS") == "all"


def run_adoption(host, state: str, step: int) -> str:
    command = ["sh", "-c", f"python3 -I - {state} {step} || true"]
    result = host.attempt(command, stdin=SCRIPT.read_text())
    return result.out + result.err


def is_completed_after_kill(lab_host, libvirt, guests, gets_address, state: str, step: int) -> bool:
    """Whether the step exists; checks that all is well after a run was killed there and another one ran."""
    killed_run = run_adoption(lab_host, state, step)
    if ALL_STEPS and "done:" in killed_run:
        return False
    assert killed_run.startswith(f"{step} "), killed_run
    assert "done:" not in killed_run
    result = run_adoption(lab_host, state, 0)
    assert "done: libvirt network" in result, result
    mode = {"adopted": "bridge", "returned": "nat"}[state]
    assert [libvirt.mode(name) for name in ("default", "office")] == [mode, mode]
    links = lab_host.run(["ip", "-o", "link"])
    assert "vnaside" not in links
    for guest, (bridge, pinged) in guests.items():
        assert f" master {bridge} " in next(line for line in links.splitlines() if guest.tap in line)
        assert eventually(lambda guest=guest: gets_address(guest, guest.address()), TIMEOUT)
        assert eventually(lambda guest=guest, address=pinged: guest.pings(address), TIMEOUT)
    return True


@pytest.mark.timeout(7200 if ALL_STEPS else 300)
def test_the_next_run_completes_a_killed_run(lab_host, libvirt, roamer, clerk, gets_address) -> None:
    guests = {roamer: ("virbr0", "203.0.113.1"), clerk: ("br-office", "10.80.0.1")}
    points = [(step, step) for step in range(1, MAX_STEPS + 1)] if ALL_STEPS else [DEFAULT_STEPS[lab_host.name]]
    for adopt_step, return_step in points:
        adopt_step_exists = is_completed_after_kill(lab_host, libvirt, guests, gets_address, "adopted", adopt_step)
        return_step_exists = is_completed_after_kill(lab_host, libvirt, guests, gets_address, "returned", return_step)
        if not adopt_step_exists and not return_step_exists:
            return
    assert not ALL_STEPS, f"there are more than {MAX_STEPS} steps"
