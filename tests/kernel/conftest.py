# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel tests share; most of them have beds of their own beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.dnsmasq_testbed import DnsmasqTestbed, new_testbed, open_folder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder into which services get that do not run as root, as they do not into pytest's."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_testbed() -> Iterator[DnsmasqTestbed]:
    with new_testbed() as testbed:
        yield testbed


@pytest.fixture
def testbed(shared_testbed: DnsmasqTestbed) -> Iterator[DnsmasqTestbed]:
    """The host with a bridge, and the guest plugged into it."""
    shared_testbed.bridge()
    shared_testbed.plug()
    yield shared_testbed
    shared_testbed.delete_bridges()
