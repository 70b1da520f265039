# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are killed or disturbed: the short form of ``make torture``, at steps that once failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torture import damage, faults, unusual_hosts
from torture.host import new_host
from torture.scenario import Outcome, Scenario, before_step, kill_and_run_again, kill_and_tear_down

# Many runs in sequence, on a machine that may be slow.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def without_system_dnsmasq() -> Iterator[Scenario]:
    """A host with private instances of dnsmasq only, and without networks of ours."""
    with new_host(serving=False) as host:
        scenario = Scenario(host)
        scenario.record_baseline()
        yield scenario


@pytest.fixture
def with_bystander() -> Iterator[Scenario]:
    """A host with a dnsmasq of its own, and a guest of a network that no run changes."""
    with new_host() as host:
        scenario = Scenario(host, with_bystander=True)
        scenario.record_baseline()
        yield scenario


def step_number(scenario: Scenario, plan: str, word: str) -> int:
    """The number of the first step of a plan that contains a word."""
    return next(i for i, step_text in enumerate(scenario.steps[plan], 1) if word in step_text)


def kill_at(scenario: Scenario, plan: str, word: str, after: int = 0) -> tuple[str, str, dict[str, int]]:
    return ("killed at a step", *before_step(scenario, plan, step_number(scenario, plan, word) + after))


def assert_no_failure(*outcomes: Outcome) -> None:
    assert not [failure for outcome in outcomes for failure in outcome.failures]


def test_a_run_that_was_killed_is_completed_by_the_next_and_guests_of_others_lose_nothing(
    with_bystander: Scenario,
) -> None:
    assert_no_failure(
        # Between the rules and the record of them.
        kill_and_run_again(with_bystander, "first run", kill_at(with_bystander, "first run", ".rules.json")),
        # Between the fragments and the restart for them.
        kill_and_run_again(with_bystander, "change", kill_at(with_bystander, "change", "systemctl restart")),
        kill_and_run_again(with_bystander, "removal", kill_at(with_bystander, "removal", "DeleteLink", after=1)),
        kill_and_run_again(with_bystander, "teardown", kill_at(with_bystander, "teardown", "os.rename", after=1)),
    )


@pytest.mark.nightly
def test_a_teardown_removes_what_a_killed_run_left(without_system_dnsmasq: Scenario) -> None:
    assert_no_failure(
        # A bridge without our mark.
        kill_and_tear_down(
            without_system_dnsmasq,
            "first run",
            kill_at(without_system_dnsmasq, "first run", "AddBridge(name='vn-nat'", after=2),
        ),
        # Links of units whose files are removed.
        kill_and_tear_down(
            without_system_dnsmasq,
            "teardown",
            kill_at(without_system_dnsmasq, "teardown", "os.remove /etc/virtnet/dnsmasq.hosts/"),
        ),
        # Unfinished files in folders of other programs.
        kill_and_tear_down(
            without_system_dnsmasq,
            "first run",
            kill_at(without_system_dnsmasq, "first run", "open /etc/virtnet/dnsmasq.hosts/"),
        ),
    )
    # A power failure loses no definition.
    without_system_dnsmasq.advance_to("change")
    assert_no_failure(
        faults.reboot(
            without_system_dnsmasq,
            "change",
            step_number(without_system_dnsmasq, "change", "os.rename /etc/virtnet/networks/.nat.json"),
        )
    )


@pytest.mark.nightly
def test_a_failing_program_or_disk_gives_one_clear_error_and_the_next_run_converges(with_bystander: Scenario) -> None:
    assert_no_failure(
        faults.tool_fails(with_bystander, "first run", "nft", 4, faults.HANG),
        faults.disk_fails(
            with_bystander, "change", step_number(with_bystander, "change", "open /etc/virtnet/networks"), "disk full"
        ),
        faults.tool_fails(with_bystander, "removal", "systemctl", 2, faults.FAIL),
        faults.disk_fails(
            with_bystander, "teardown", step_number(with_bystander, "teardown", "os.rename"), "/etc read-only"
        ),
    )
    # Unreadable files of ours are reported and kept.
    with_bystander.advance_to("change")
    assert_no_failure(
        damage.definition_damaged(with_bystander, "truncated"),
        damage.definition_damaged(with_bystander, "of a newer version"),
        damage.record_damaged(with_bystander, "/var/lib/virtnet/networks.json", "a folder"),
    )


def test_read_only_sysctls_are_reported_and_nothing_is_left() -> None:
    with new_host() as host:
        assert_no_failure(unusual_hosts.run_on_unusual_host(Scenario(host), "sysctls that nobody may set"))
