# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel tests share; most of them have beds of their own beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.dnsmasq_bed import Bed, made_bed, open_folder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder into which services get that do not run as root, as they do not into pytest's."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_bed() -> Iterator[Bed]:
    with made_bed() as made:
        yield made


@pytest.fixture
def bed(shared_bed: Bed) -> Iterator[Bed]:
    """The host with a bridge, and the guest plugged into it."""
    shared_bed.bridge()
    shared_bed.plug()
    yield shared_bed
    shared_bed.no_bridges()
