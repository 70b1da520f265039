# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures that the kernel tests share; most test modules have testbeds of their own too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.dnsmasq_testbed import DnsmasqTestbed, new_testbed, open_folder
from kernel.engine_client import stop_servers


@pytest.fixture(scope="session", autouse=True)
def _engine_servers() -> Iterator[None]:
    yield
    stop_servers()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that services without root rights can enter, unlike the temporary folders of pytest."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_testbed() -> Iterator[DnsmasqTestbed]:
    with new_testbed() as testbed:
        yield testbed


@pytest.fixture
def testbed(shared_testbed: DnsmasqTestbed) -> Iterator[DnsmasqTestbed]:
    """The host with a bridge and a guest connected to it."""
    shared_testbed.bridge()
    shared_testbed.plug()
    yield shared_testbed
    shared_testbed.delete_bridges()
