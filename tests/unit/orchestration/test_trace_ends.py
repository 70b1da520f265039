# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of ``virtnet trace``, and its answers for rulesets. The kernel test compares them with real packets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.cli import main as cli
from ansible_collections.virtnet.linux.plugins.module_utils.cli.commands import trace_packet
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import WrongUsage
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.trace import trace
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.trace_paths import GUEST, HOST, OUTSIDE
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.restore import HostState
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.trace_ends import Ends
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.model import Chain, Rule, Table

WEB = {"mac": "52:54:00:00:00:02", "name": "web", "ip": "198.51.100.2"}


def network(name: str, address: str, **options: Any) -> Network:
    ipv4 = {"address": address, **options.pop("ipv4", {})}
    return read_network(Options({"name": name, "ipv4": ipv4, "dns": {"domain": f"{name}.test"}, **options}), "host")


LAB = network("lab", "198.51.100.1/24", ipv4={"dhcp": {"hosts": [WEB]}}, isolate_guests=True)
DB = {"mac": "52:54:00:00:00:03", "name": "db", "ip": "203.0.113.8"}
DMZ = network(
    "dmz",
    "203.0.113.1/24",
    port_forwards=[{"port": 8080, "to": "203.0.113.9", "to_port": 80}],
    ipv4={"dhcp": {"hosts": [{**WEB, "ip": "203.0.113.7"}, DB]}},
)
STOPPED = network("old", "192.0.2.1/24")
STATE = HostState(
    defined={one.name: one for one in (LAB, DMZ, STOPPED)},
    desired=[LAB, DMZ],
    links={
        one.bridge.name: Link(one.bridge.name, i, addresses=(str(one.ipv4.address),))
        for i, one in enumerate((LAB, DMZ))
    },
)
ENDS = Ends(STATE, Paths("/nonexistent"))


@pytest.mark.parametrize(
    ("word", "place", "address", "owner"),
    [
        ("host", HOST, None, None),
        ("outside", OUTSIDE, "9.9.9.9", None),
        ("198.51.100.1", HOST, "198.51.100.1", None),
        ("198.51.100.77", GUEST, "198.51.100.77", LAB),
        ("192.0.2.7", OUTSIDE, "192.0.2.7", None),
        # It stands for any guest: not for one that options name.
        ("lab", GUEST, "198.51.100.3", LAB),
        ("db", GUEST, "203.0.113.8", DMZ),
        ("web.dmz.test", GUEST, "203.0.113.7", DMZ),
    ],
)
def test_a_word_stands_for_an_end(word: str, place: str, address: str | None, owner: Network | None) -> None:
    named = ENDS.named(word)
    found = named.addresses.get(4)
    assert (named.place, None if found is None else str(found), named.network) == (place, address, owner)


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("lax", "dmz", "did you mean 'lab'"),
        ("web", "dmz", "is a guest of networks dmz, lab; add the domain"),
        ("old", "dmz", "does not run; start it by 'virtnet start old'"),
        ("127.0.0.1", "dmz", "is no address of a guest"),
        ("host", "198.51.100.1", "are both the host"),
        ("outside", "192.0.2.9", "are both outside"),
        ("db", "203.0.113.8", "are the same guest"),
        ("db", "fd00::1", "no addresses of one family"),
    ],
)
def test_words_that_cannot_be_used_are_refused_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, source: str, destination: str, message: str
) -> None:
    monkeypatch.setattr(Ends, "_leased", lambda _self, _word: iter(()))
    with pytest.raises(WrongUsage, match=message):
        ENDS.flows(source, destination, "tcp", 80)


def test_two_guests_of_a_network_are_two_addresses() -> None:
    (flow,) = ENDS.flows("dmz", "dmz", "icmp", 0)
    assert flow.is_within_bridge
    assert flow.source.address != flow.destination.address
    assert trace(flow, ENDS.networks, []).verdict == "passes"


def test_guests_that_are_kept_apart_do_not_reach_each_other() -> None:
    (flow,) = ENDS.flows("lab", "lab", "icmp", 0)
    told = trace(flow, ENDS.networks, [])
    assert str(told) == f"refused: {flow}: by network 'lab': isolate_guests"


def test_a_forwarded_port_leads_to_its_guest() -> None:
    (flow,) = ENDS.flows("lab", "203.0.113.1", "tcp", 8080)
    assert flow.target is not None
    assert (str(flow.target[0].address), flow.target[1], flow.elsewhere) == ("203.0.113.9", 80, True)


def test_a_rule_of_others_on_frames_is_told_with_what_helps() -> None:
    (flow,) = ENDS.flows("dmz", "203.0.113.77", "tcp", 80)
    dropping = Chain("bridge", "frames", "c", kind="filter", hook="forward", rules=[Rule(["drop"], text="drop")])
    told = trace(flow, ENDS.networks, [Table("bridge", "frames", chains={"c": dropping})])
    assert told.as_options() == {
        "family": "IPv4",
        "from": "203.0.113.2",
        "to": "203.0.113.77",
        "protocol": "tcp",
        "port": 80,
        "verdict": "refused",
        "by": "the rule 'drop' of chain c of table bridge frames",
        "cure": "nft insert rule bridge frames c 'meta obrname \"vn-dmz\" accept'",
        "notes": [],
    }


@pytest.mark.parametrize(("protocol", "port"), [("tcp", None), ("udp", 70000), ("icmp", 80), ("", 80)])
def test_a_port_is_for_protocols_with_ports(protocol: str, port: int | None) -> None:
    with pytest.raises(WrongUsage, match="port"):
        trace_packet(Paths("/nonexistent"), "lab", "dmz", protocol, port)


def test_wrong_words_are_exit_status_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    monkeypatch.setattr(cli, "Paths", lambda: Paths(str(tmp_path)))
    assert cli.main(["trace", "lab", "dmz", "tcp"]) == 2
    assert "tcp needs a port" in capsys.readouterr().err
    for words in (["trace", "lab"], ["trace", "lab", "dmz", "gre"], ["trace", "lab", "dmz", "tcp", "x"]):
        with pytest.raises(SystemExit, match="2"):
            cli.main(words)
