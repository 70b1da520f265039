# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Definitions as people have them: taken with the meaning of libvirt, or the table says why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.libvirt_wild import (
    DIFFERS,
    FOLDER,
    REFUSED,
    TAKEN,
    definitions,
    expected,
    libvirts_lines,
    libvirts_refusal,
    our_lines,
    read,
    refusal,
    refused_by_libvirt,
    table,
)

REPOSITORY = Path(__file__).resolve().parents[3]
OUTCOMES = expected()
RUNNING = [one for one in definitions() if not libvirts_refusal(one)]


def test_each_definition_has_an_outcome_and_what_libvirt_makes_of_it() -> None:
    names = {one.stem for one in definitions()}
    assert names == set(OUTCOMES) == {one.stem for one in FOLDER.glob("*.libvirt")}
    assert all(bool(one.why) == (one.word != TAKEN) for one in OUTCOMES.values())


@pytest.mark.parametrize("definition", definitions(), ids=lambda path: path.stem)
def test_a_definition_is_refused_as_expected(definition: Path) -> None:
    problem = refusal(definition.read_text())
    assert bool(problem) == (OUTCOMES[definition.stem].word == REFUSED), problem
    if problem:
        # The line of an element, or the option that the XML becomes.
        assert re.search(r"networks\[0\]\.xml(: <\w+> in line \d+: |\.[\w.\[\]]+: )", problem)
        assert ("managed_by: libvirt" in problem) == ("managed_by: libvirt" in OUTCOMES[definition.stem].why)
        if OUTCOMES[definition.stem].why == "libvirt refuses it too":
            assert refused_by_libvirt(definition.stem)


@pytest.mark.parametrize("definition", RUNNING, ids=lambda path: path.stem)
def test_dnsmasq_does_for_guests_what_that_of_libvirt_does(definition: Path) -> None:
    outcome = OUTCOMES[definition.stem]
    if outcome.word != REFUSED:
        same = libvirts_lines(definition) == our_lines(read(definition.read_text()))
        assert same == (outcome.word != DIFFERS), outcome.why


def test_the_guide_has_the_table() -> None:
    assert table() in (REPOSITORY / "docs/docsite/rst/libvirt.rst").read_text()
