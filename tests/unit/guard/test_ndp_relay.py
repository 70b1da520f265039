# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""For which addresses the relay of neighbour solicitations asks on the bridge."""

from __future__ import annotations

from ansible_collections.virtnet.linux.plugins.module_utils.guard.ndp_relay import Limiter


def address(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_unknown_addresses_are_asked_for_at_a_rate_and_guests_that_have_answered_always() -> None:
    limiter = Limiter()
    guests = [address(number) for number in range(10)]
    for guest in guests:
        assert limiter.may_ask(guest, 1)
        limiter.answered(guest, 1)
    # In half a second: the rest of the burst, and half of the rate.
    assert sum(limiter.may_ask(address(1000 + number), 1 + number / 2000) for number in range(1000)) in range(113, 117)
    assert all(limiter.may_ask(guest, 5) for guest in guests)


def test_each_address_is_asked_for_now_and_then_and_an_answer_counts_for_a_moment() -> None:
    limiter = Limiter()
    assert limiter.may_ask(address(1), 1) and not limiter.may_ask(address(1), 1.4)
    assert limiter.may_ask(address(1), 1.6)
    limiter.answered(address(1), 2)
    assert limiter.is_fresh(address(1), 2.9) and not limiter.is_fresh(address(1), 3)
    assert not limiter.is_fresh(address(2), 2)


def test_what_is_remembered_has_a_limit_and_an_end() -> None:
    limiter = Limiter()
    for number in range(5000):
        limiter.answered(address(number), 1)
        limiter.may_ask(address(number), 1)
    assert (len(limiter._answered), len(limiter._asked)) == (1024, 1124)
    limiter.forget(10)
    assert (len(limiter._answered), len(limiter._asked)) == (1024, 0)
    limiter.forget(602)
    assert not limiter._answered
