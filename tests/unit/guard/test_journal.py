# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard logs: no state is repeated, and no event is lost."""

from __future__ import annotations

from ansible_collections.virtnet.linux.plugins.module_utils.guard.journal import Journal, as_sentence


def test_an_event_is_logged_each_time_that_it_happens() -> None:
    lines: list[str] = []
    journal = Journal(lines.append)
    for _ in range(2):
        journal.log_each(["rules of lab broke 5 times", "and again"])
    assert lines == ["Rules of lab broke 5 times.", "And again."] * 2


def test_a_state_is_logged_when_it_begins_changes_or_returns() -> None:
    lines: list[str] = []
    journal = Journal(lines.append)
    for line in ("", "a", "a", "b", "", "", "b"):
        journal.log_if_changed("conflicts", line)
    journal.log_if_changed("definitions", "b")
    assert lines == ["a", "b", "b", "b"]


def test_several_texts_are_one_state() -> None:
    lines: list[str] = []
    journal = Journal(lines.append)
    for _ in range(2):
        journal.log_state("conflicts", ["one", "two"])
    journal.log_state("conflicts", [])
    assert lines == ["One. Two."]


def test_a_failure_is_logged_once_per_delay_and_again_after_a_recovery() -> None:
    lines: list[str] = []
    journal = Journal(lines.append)
    for delay in (1.0, 2.0, 300.0, 300.0):
        journal.repair_failed("rules", "nft: no such file.", delay)
    assert lines[0] == "Could not repair rules: nft: no such file. The next attempt is in 1 s."
    assert len(lines) == 3
    journal.recovered("rules")
    journal.repair_failed("rules", "nft: no such file.", 300.0)
    assert lines[3:] == ["The rules are as defined again.", lines[2]]


def test_a_text_becomes_a_sentence() -> None:
    assert as_sentence("network 'a' moves") == "Network 'a' moves."
