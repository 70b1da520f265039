# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are killed or disturbed on their way: the short form of ``make torture``, at steps that once mattered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torture import damage, faults, odd
from torture.host import new_host
from torture.scenario import Outcome, Scenario, again, gone, step

# Many runs one after another, on a machine that may be slow.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def alone() -> Iterator[Scenario]:
    """A host with private instances of dnsmasq alone, on which nothing of ours is."""
    with new_host(serving=False) as host:
        scenario = Scenario(host)
        scenario.record_baseline()
        yield scenario


@pytest.fixture
def beside() -> Iterator[Scenario]:
    """A host with a dnsmasq of its own, and a guest of a network that nobody alters."""
    with new_host() as host:
        scenario = Scenario(host, beside=True)
        scenario.record_baseline()
        yield scenario


def number(scenario: Scenario, plan: str, word: str) -> int:
    """The first step of a plan in which there is a word."""
    return next(i for i, one in enumerate(scenario.steps[plan], 1) if word in one)


def killed(scenario: Scenario, plan: str, word: str, after: int = 0) -> tuple[str, str, dict[str, int]]:
    return ("killed at a step", *step(scenario, plan, number(scenario, plan, word) + after))


def assert_well(*outcomes: Outcome) -> None:
    assert not [failure for outcome in outcomes for failure in outcome.failures]


def test_a_run_that_was_killed_is_completed_by_the_next_and_guests_of_others_lose_nothing(beside: Scenario) -> None:
    assert_well(
        # Between the rules and the note of what they are.
        again(beside, "first run", killed(beside, "first run", ".rules.json")),
        # Between fragments and the restart for them.
        again(beside, "change", killed(beside, "change", "systemctl restart")),
        again(beside, "removal", killed(beside, "removal", "DeleteLink", after=1)),
        again(beside, "teardown", killed(beside, "teardown", "os.rename", after=1)),
    )


def test_what_a_killed_run_left_goes_with_a_teardown(alone: Scenario) -> None:
    assert_well(
        # A bridge without our mark.
        gone(alone, "first run", killed(alone, "first run", "AddBridge(name='vn-nat'", after=2)),
        # Links of units, whose files are gone.
        gone(alone, "teardown", killed(alone, "teardown", "os.remove /etc/virtnet/dnsmasq.hosts/")),
        # Files that were begun in folders of others.
        gone(alone, "first run", killed(alone, "first run", "open /etc/virtnet/dnsmasq.hosts/")),
    )
    # Power that is lost loses no definition.
    alone.advance_to("change")
    assert_well(faults.reboot(alone, "change", number(alone, "change", "os.rename /etc/virtnet/networks/.nat.json")))


def test_a_failing_program_or_disk_gives_one_clear_error_and_the_next_run_converges(beside: Scenario) -> None:
    assert_well(
        faults.tool_fails(beside, "first run", "nft", 4, faults.HANG),
        faults.disk_fails(beside, "change", number(beside, "change", "open /etc/virtnet/networks"), "disk full"),
        faults.tool_fails(beside, "removal", "systemctl", 2, faults.FAIL),
        faults.disk_fails(beside, "teardown", number(beside, "teardown", "os.rename"), "/etc read-only"),
    )
    # Files of ours that cannot be read are named and left alone.
    beside.advance_to("change")
    assert_well(
        damage.definition_damaged(beside, "truncated"),
        damage.definition_damaged(beside, "of a newer version"),
        damage.note_damaged(beside, "/var/lib/virtnet/networks.json", "a folder"),
    )


def test_sysctls_that_nobody_may_set_are_named_and_nothing_is_left() -> None:
    with new_host() as host:
        assert_well(odd.odd_host(Scenario(host), "sysctls that nobody may set"))
