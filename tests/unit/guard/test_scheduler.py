# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the guard does what: bursts, delays after repeated repairs and failures, runs of a playbook, moved networks."""

from __future__ import annotations

from ansible_collections.virtnet.linux.plugins.module_utils.guard.backoff import Backoff
from ansible_collections.virtnet.linux.plugins.module_utils.guard.scheduler import Scheduler
from ansible_collections.virtnet.linux.plugins.module_utils.guard.view import CONFLICT, FIREWALLS, RUN


def test_an_object_that_breaks_repeatedly_is_repaired_with_growing_delay_until_it_stays_intact() -> None:
    backoff = Backoff()
    for second in range(4):
        assert backoff.repaired("rules", ["rules of lab"], float(second)) == []
    assert backoff.blocked_until("rules") == 0
    assert backoff.repaired("rules", ["rules of lab"], 5.0) == [
        "rules of lab broke 5 times; its next repair is put off by 2 s"
    ]
    backoff.repaired("rules", ["rules of lab"], 7.0)
    assert (backoff.blocked_until("rules"), backoff.blocked_until("bridges")) == (11.0, 0)
    assert backoff.repaired("rules", ["rules of lab"], 500.0) == []


def test_a_repair_that_fails_is_tried_with_growing_delay_and_at_once_after_success() -> None:
    backoff = Backoff()
    assert [backoff.failed("fragments", 0.0) for _ in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert backoff.succeeded("fragments") and not backoff.succeeded("fragments")
    assert backoff.failed("fragments", 0.0) == 1


def test_conflicts_are_examined_when_their_events_cease_or_do_not_end() -> None:
    scheduler = Scheduler()
    times = []
    for now in (10.0, 10.3, 10.7, 14.9, 15.0):
        scheduler.request([CONFLICT], now)
        times.append(scheduler.next_time())
    assert times == [10.5, 10.8, 11.2, 15.0, 15.0]
    assert scheduler.take_due(15.0) == {CONFLICT}
    scheduler.request([CONFLICT], 15.1)
    assert scheduler.next_time() == 15.6


def test_a_burst_of_events_is_due_once_and_later_events_do_not_postpone_it() -> None:
    scheduler = Scheduler()
    assert scheduler.next_time() is None
    for now in (10.0, 10.01, 10.02):
        scheduler.request(["rules"], now)
    assert scheduler.next_time() == 10.03
    assert scheduler.take_due(10.02) == frozenset()
    assert scheduler.take_due(10.03) == {"rules"}
    assert scheduler.take_due(10.03) == frozenset() and scheduler.next_time() is None


def test_conflicts_wait_until_they_last_while_parts_are_repaired_at_once() -> None:
    scheduler = Scheduler()
    scheduler.request(["bridges", CONFLICT], 10.0)
    scheduler.request([CONFLICT], 10.4)
    assert scheduler.take_due(10.6) == {"bridges"}
    assert scheduler.take_due(10.9) == {CONFLICT}
    # The next event starts another burst.
    scheduler.request([CONFLICT], 11.0)
    assert scheduler.next_time() == 11.5


def test_a_part_that_failed_is_not_due_before_its_delay_whatever_is_requested() -> None:
    scheduler = Scheduler()
    assert scheduler.failed("bridges", 10.0) == 1.0
    scheduler.request(["bridges", "rules"], 10.1)
    assert scheduler.take_due(10.5) == {"rules"}
    assert scheduler.next_time() == 11.0 and scheduler.take_due(11.0) == {"bridges"}
    assert scheduler.failed("bridges", 11.0) == 2.0
    scheduler.backoff.reset("bridges")
    scheduler.request(["bridges"], 11.1)
    assert scheduler.take_due(11.2) == {"bridges"}
    assert not scheduler.backoff.succeeded("bridges")


def test_repeated_repairs_of_an_object_delay_its_part_and_no_other() -> None:
    scheduler = Scheduler()
    sentences = [scheduler.backoff.repaired("rules", ["rules of lab"], 10.0 + second) for second in range(5)]
    assert [len(delays) for delays in sentences] == [0, 0, 0, 0, 1]
    scheduler.request(["rules", "bridges"], 14.0)
    assert scheduler.take_due(14.1) == {"bridges"}
    assert scheduler.next_time() == 16.0


def test_a_run_of_a_playbook_is_checked_at_its_time_however_often_that_is_put_off() -> None:
    scheduler = Scheduler()
    scheduler.request_at(RUN, 11.0)
    scheduler.request_at(RUN, 11.5)
    assert scheduler.next_time() == 11.5 and scheduler.take_due(11.4) == frozenset()
    assert scheduler.take_due(11.5) == {RUN} and scheduler.next_time() is None


def test_a_network_that_was_moved_keeps_its_subnet_for_a_while() -> None:
    scheduler = Scheduler()
    scheduler.pause_moves("auto", 10.0)
    assert scheduler.paused_moves(39.9) == {"auto": 40.0}
    assert scheduler.paused_moves(40.0) == {}


def test_what_is_requested_for_a_time_is_due_then() -> None:
    scheduler = Scheduler()
    scheduler.request_at(CONFLICT, 12.0)
    assert scheduler.take_due(11.9) == frozenset()
    assert scheduler.take_due(12.0) == {CONFLICT}


def test_other_firewalls_that_change_all_the_time_are_examined_a_tenth_of_the_time_at_most() -> None:
    scheduler = Scheduler()
    scheduler.request([FIREWALLS], 10.0)
    assert scheduler.next_time() == 10.5
    assert scheduler.take_due(10.5) == {FIREWALLS}
    scheduler.examined_firewalls(0.3, 11.0)
    scheduler.request([FIREWALLS], 11.1)
    assert scheduler.next_time() == 14.0
    assert scheduler.take_due(13.9) == frozenset()
    assert scheduler.take_due(14.0) == {FIREWALLS}


def test_other_firewalls_wait_for_a_delayed_repair_of_the_rules() -> None:
    scheduler = Scheduler()
    scheduler.failed("rules", 10.0)
    scheduler.request([FIREWALLS], 10.0)
    assert scheduler.take_due(10.9) == frozenset()
    assert scheduler.take_due(11.0) == {FIREWALLS, "rules"}
