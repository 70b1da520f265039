"""A guest and a VPN on each host; all results end in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from lab.guest import Guest
from lab.host import Host
from lab.lab import Lab
from lab.resolvers import TIMEOUT, VPN, shell

Show = Callable[..., None]
ROW = "row"
HEADINGS = (
    ("host", "owner of resolv.conf", "when", "short name", "full name", "reverse", "outside name", "VPN name"),
    ("host", "manager", "after", "bridge"),
)
LAB = Lab(f"molecule-{os.environ['MOLECULE_SCENARIO_NAME']}")


class ByHost(LoadScopeScheduling):
    """A process for each host: the tests mostly wait for daemons."""

    def _split_scope(self, nodeid: str) -> str:
        return next(host.name for host in LAB.hosts() if host.name in nodeid)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByHost:
    return ByHost(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only for tests of one host."""
    selected = []
    for item in items:
        params: dict[str, object] = item.callspec.params
        host = params["lab_host"]
        assert isinstance(host, Host)
        if all(host.name in getattr(parameter, "hosts", (host.name,)) for parameter in params.values()):
            selected.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in selected])
    items[:] = selected


@pytest.fixture(scope="module")
def guest(lab_host: Host) -> Iterator[Guest]:
    guest = Guest(lab_host, "guest-a")
    guest.plug("vn-lab")
    shell(lab_host, VPN)
    guest.lease(TIMEOUT)
    yield guest
    guest.unplug()
    lab_host.attempt(["sh", "-c", "kill $(cat /run/corp.pid); ip netns delete corp; ip link delete vpn0"])


@pytest.fixture
def show(lab_host: Host, record_property: Callable[[str, object], None]) -> Show:
    """Adds a line to the table."""
    return lambda *words: record_property(ROW, [lab_host.name, *map(str, words)])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table for each number of columns, host by host in the order of the tests."""
    reports = [
        report
        for reports_of_outcome in terminalreporter.stats.values()
        for report in reports_of_outcome
        if isinstance(report, pytest.TestReport)
    ]
    # The report of a test's teardown repeats those of its call.
    rows = [
        value for report in reports if report.when == "call" for name, value in report.user_properties if name == ROW
    ]
    for heading in HEADINGS:
        table = sorted((row for row in rows if len(row) == len(heading)), key=lambda row: row[0])
        widths = [max(map(len, column)) for column in zip(heading, *table, strict=True)]
        for row in [heading, *table] if table else []:
            padded = (f"{word:{width}}" for word, width in zip(row, widths, strict=True))
            terminalreporter.write_line("  ".join(padded).rstrip())
