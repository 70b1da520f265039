# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a private dnsmasq asks other servers, and what it does without a name server, with real queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAB_FRAGMENT,
    SILENT,
    Daemon,
    DnsmasqTestbed,
    get_lease,
    resolve,
    running,
    serving,
)
from kernel.polling import eventually

ANSWER = "203.0.113.9"
OUTSIDE = [{"address": "10.99.0.2"}]


@pytest.fixture
def private(testbed: DnsmasqTestbed, tmp_path: Path) -> Iterator[Daemon]:
    """A host whose dnsmasq leaves the bridge to a private one, with an upstream server that answers some names."""
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
    folder = tmp_path / "upstream"
    folder.mkdir()
    upstream = Daemon(testbed.uplink, folder, f"address=/else.test/plain/virt.test/{ANSWER}\n", ())
    with running(upstream), serving(testbed, tmp_path, "bind-dynamic\nexcept-interface=virt0\n") as daemon:
        yield daemon


def answers(testbed: DnsmasqTestbed, daemon: Daemon, *asked: str, **options: Any) -> list[str]:
    """The answers that a guest gets from the private dnsmasq of a network with these options."""
    plan = daemon.converge({**LAB_FRAGMENT, "instance": "private", **options})
    assert plan.result[0]["instance"] == "private"
    return [resolve(testbed.guest, BRIDGE_ADDRESS, name) for name in asked]


@pytest.mark.parametrize(("forward", "answer"), [(True, ANSWER), (False, "empty"), (None, "empty")])
def test_plain_names_are_asked_for_elsewhere_where_the_option_says_so(
    testbed: DnsmasqTestbed, private: Daemon, forward: bool | None, answer: str
) -> None:
    names = {"forwarders": OUTSIDE, **({} if forward is None else {"forward_plain_names": forward})}
    assert answers(testbed, private, "plain", "x.else.test", names=names) == [answer, ANSWER]


def test_unknown_names_of_the_domain_stay_where_it_is_local(testbed: DnsmasqTestbed, private: Daemon) -> None:
    for local_only, answer in ((True, "empty"), (False, ANSWER)):
        asked = answers(
            testbed, private, "nobody.virt.test", "x.else.test", names={"forwarders": OUTSIDE}, local_only=local_only
        )
        assert asked == [answer, ANSWER]


def test_the_servers_of_a_resolv_file_are_asked_also_after_it_changes(
    testbed: DnsmasqTestbed, private: Daemon, tmp_path: Path
) -> None:
    servers = tmp_path / "servers"
    servers.write_text("nameserver 10.99.0.77\n")
    servers.chmod(0o644)
    # The engine sees files below the folder of the test, dnsmasq does not.
    (tmp_path / str(tmp_path).lstrip("/")).mkdir(parents=True)
    raw = [f"resolv-file={servers}"]
    assert answers(testbed, private, "x.else.test", raw=raw) == [SILENT]
    servers.write_text("nameserver 10.99.0.2\n")
    assert eventually(lambda: resolve(testbed.guest, BRIDGE_ADDRESS, "x.else.test") == ANSWER)


def test_a_tftp_root_of_a_line_has_guests_load_its_files(
    testbed: DnsmasqTestbed, private: Daemon, tmp_path: Path
) -> None:
    root, got = tmp_path / "boot", tmp_path / "got"
    root.mkdir()
    (root / "x").write_text("boot me")
    answers(testbed, private, raw=["enable-tftp", f"tftp-root={root}"])
    testbed.guest.run("timeout", "3", "busybox", "tftp", "-g", "-l", str(got), "-r", "x", BRIDGE_ADDRESS)
    assert got.read_text() == "boot me"


def test_without_dns_a_guest_gets_an_address_and_no_name_server(
    testbed: DnsmasqTestbed, private: Daemon, tmp_path: Path
) -> None:
    assert "192.168.100" not in str(answers(testbed, private, "gw.virt.test", dns=False))
    lease = get_lease(testbed.guest, tmp_path)
    assert lease["ip"] and "dns" not in lease
    listening = testbed.host.run("ss", "-Hlnu", "src", f"{BRIDGE_ADDRESS}:53").stdout
    assert not listening
