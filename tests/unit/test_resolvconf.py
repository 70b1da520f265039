# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resolver part without a host: validation, parsing and planning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.errors import InvalidOption, MissingTool
from ansible_collections.virtnet.linux.plugins.module_utils.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.resolvconf import Entries, EntrySpec
from ansible_collections.virtnet.linux.plugins.module_utils.resolvconf_read import (
    Entry,
    State,
    owner_of,
    parse_entry,
    parse_settings,
    parse_version,
    read_state,
)
from hypothesis import given
from hypothesis import strategies as st

LAB = {"interface": "vn-lab", "addresses": ["192.168.30.1"], "domain": "lab"}
ON_OPENRESOLV = State("openresolv", True, "that of openresolv", ("10.0.0.53",))
ON_DEBIAN = State("resolvconf", True, "that of Debian's resolvconf", ("10.0.0.53",))


def plan(state: State, *wanted: dict[str, object], purge: bool = False):
    return Entries([EntrySpec.from_options(Options(item)) for item in wanted], purge, Paths()).plan(state)


def after(state: State, changes) -> State:
    entries = dict(state.entries)
    for change in changes:
        if change.entry is None:
            del entries[change.key]
        else:
            entries[change.key] = change.entry
    return replace(state, entries=entries)


@pytest.mark.parametrize("state", [ON_OPENRESOLV, ON_DEBIAN, replace(ON_OPENRESOLV, local_resolver=True)])
def test_twice_is_once(state: State) -> None:
    first = plan(state, LAB)
    assert [change.key for change in first.changes] == ["vn-lab.virtnet"]
    assert plan(after(state, first.changes), LAB).changes == []


def test_public_entry_of_openresolv_comes_last() -> None:
    (change,) = plan(ON_OPENRESOLV, LAB).changes
    assert change.entry == Entry(("192.168.30.1",), ("lab",), metric="0999999")


def test_private_entry_where_a_local_resolver_is_told_domains() -> None:
    (change,) = plan(replace(ON_OPENRESOLV, local_resolver=True), LAB).changes
    assert change.entry == Entry(("192.168.30.1",), ("lab",), private=True)


def test_debian_takes_no_flags() -> None:
    (change,) = plan(replace(ON_DEBIAN, local_resolver=True), LAB).changes
    assert change.entry == Entry(("192.168.30.1",), ("lab",))


def test_changed_domain_is_said() -> None:
    state = replace(ON_DEBIAN, entries={"vn-lab.virtnet": Entry(("192.168.30.1",), ("old",))})
    (change,) = plan(state, LAB).changes
    assert str(change) == "resolver entry vn-lab.virtnet: search ['old'] -> ['lab']"


def test_removals_come_first_and_purge_leaves_named_ones() -> None:
    state = replace(
        ON_DEBIAN, entries={"vn-old.virtnet": Entry(("192.168.30.1",)), "vn-b.virtnet": Entry(("10.1.0.1",))}
    )
    changes = plan(state, LAB, {"interface": "vn-b", "addresses": ["10.1.0.1"]}, purge=True).changes
    assert [str(change) for change in changes] == [
        "resolver entry vn-old.virtnet: deleted",
        "resolver entry vn-lab.virtnet: created",
    ]


def test_absent_entry_that_is_missing_is_no_change() -> None:
    assert plan(ON_DEBIAN, {"interface": "vn-lab", "state": "absent"}).changes == []
    assert plan(State(), {"interface": "vn-lab", "state": "absent", "provider": "openresolv"}).changes == []


@pytest.mark.parametrize("server", ["127.0.0.1", "127.1.2.3", "::1"])
def test_no_entry_where_loopback_serves(server: str) -> None:
    state = replace(ON_DEBIAN, servers=(server,), entries={"vn-lab.virtnet": Entry(("192.168.30.1",))})
    result = plan(state, {**LAB, "loopback_serves": True})
    assert [str(change) for change in result.changes] == ["resolver entry vn-lab.virtnet: deleted"]
    assert result.holds == [] and result.notes == []


@pytest.mark.parametrize("servers", [("127.0.0.53",), ("127.0.0.54",), ("10.0.0.53", "127.0.0.1"), ()])
def test_entry_where_the_first_server_is_not_a_loopback_one_of_ours(servers: tuple[str, ...]) -> None:
    state = replace(ON_DEBIAN, servers=servers)
    assert len(plan(state, {**LAB, "loopback_serves": True}).changes) == 1


def test_unmanaged_resolver_gives_a_note_and_no_change() -> None:
    result = plan(State(), LAB, {**LAB, "interface": "vn-b"})
    assert result.changes == [] and result.holds == []
    (note,) = result.notes
    assert "not managed by openresolv or Debian's resolvconf" in note
    assert "does not resolve the names of guests on vn-lab, vn-b" in note


def test_other_server_first_is_said() -> None:
    (note,) = plan(ON_DEBIAN, LAB).notes
    assert "asks 10.0.0.53 first" in note and "vn-lab" in note
    assert plan(replace(ON_DEBIAN, servers=("192.168.30.1", "10.0.0.53")), LAB).notes == []


def test_provider_that_is_not_there_names_the_package() -> None:
    with pytest.raises(MissingTool, match="openresolv is not installed on this host; install the package openresolv"):
        plan(ON_DEBIAN, {**LAB, "provider": "openresolv"})


def test_provider_is_refused_where_it_would_replace_the_servers_of_another() -> None:
    state = State("openresolv", False, "that of NetworkManager", ("10.0.0.53",))
    with pytest.raises(InvalidOption, match="provider: 'openresolv' is installed, but /etc/resolv.conf is that of Net"):
        plan(state, {**LAB, "provider": "openresolv"})
    assert len(plan(replace(state, servers=()), {**LAB, "provider": "openresolv"}).changes) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "interface: is required"),
        ({"interface": "vn-lab"}, "resolver entry of 'vn-lab': addresses: is required"),
        ({**LAB, "interface": ".x"}, "interface: '.x' starts with a dot"),
        ({**LAB, "interface": "a" * 16}, "has 16 characters"),
        ({**LAB, "addresses": ["10.0.0.1", "x"]}, r"addresses\[1\]: 'x' is not an IP address"),
        ({**LAB, "addresses": ["0.0.0.0"]}, r"addresses\[0\]: '0.0.0.0' is not the address of a name server"),
        ({**LAB, "domain": "lab\nnameserver 6.6.6.6"}, "domain: .* contains a control character"),
        ({**LAB, "domain": "a b"}, "is not a domain"),
        ({**LAB, "provider": "resolvectl"}, "provider: 'resolvectl' is not possible"),
        ({**LAB, "domian": "x"}, "domian: there is no such option; did you mean 'domain'"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        EntrySpec.from_options(Options(options))


def test_interface_named_twice() -> None:
    with pytest.raises(InvalidOption, match=r"entries\[1\].interface: 'vn-lab' is named twice, also by entries\[0\]"):
        Entries(
            [EntrySpec.from_options(item) for item in Options({"entries": [LAB, LAB]}).each("entries")], False, Paths()
        )


def test_options_survive_the_way_there_and_back() -> None:
    spec = EntrySpec.from_options(Options(LAB))
    assert EntrySpec.from_options(Options(spec.as_options())) == spec


@given(st.lists(st.ip_addresses().map(str), max_size=4), st.lists(st.from_regex(r"[a-z]{1,9}", fullmatch=True)))
def test_entry_survives_writing_and_reading(addresses: list[str], search: list[str]) -> None:
    entry = Entry(tuple(addresses), tuple(search))
    assert parse_entry(entry.text()) == entry


def test_foreign_lines_of_an_entry_are_seen() -> None:
    entry = parse_entry("# resolv.conf from x\ndomain a\nsearch b c\noptions ndots:2\nnameserver 2001:DB8:0::1\n\n")
    assert entry == Entry(("2001:db8::1",), ("a", "b", "c"), rest=("options ndots:2",))


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("openresolv 3.12.0\nCopyright (c) 2007-2020 Roy Marples\n", "openresolv"),
        ("Debian resolvconf 1.91+nmu1\n", "resolvconf"),
        ("systemd 252 (252.39-1~deb12u1)\n", ""),
        ("", ""),
    ],
)
def test_version(text: str, provider: str) -> None:
    assert parse_version(text) == provider


@pytest.mark.parametrize(
    ("link", "text", "provider"),
    [
        ("/etc/resolv.conf", "# Generated by resolvconf\nnameserver 10.0.0.53\n", "openresolv"),
        ("/run/resolvconf/resolv.conf", "", "resolvconf"),
        ("/run/systemd/resolve/stub-resolv.conf", "# Generated by resolvconf\n", ""),
        ("/usr/lib/systemd/resolv.conf", "", ""),
        ("/run/NetworkManager/resolv.conf", "", ""),
        ("/etc/resolv.conf", "# Generated by NetworkManager\n", ""),
        ("/etc/resolv.conf", "nameserver 10.0.0.53\n", ""),
    ],
)
def test_owner(link: str, text: str, provider: str) -> None:
    assert owner_of(link, text)[0] == provider


def test_settings_are_read_as_a_shell_would() -> None:
    text = "# comment\nname_servers=\"127.0.0.1\n::1\" # local\ndnsmasq_conf='/etc/x y'\nif [ -f a ]; then b; fi\n"
    assert parse_settings(text) == {"name_servers": "127.0.0.1\n::1", "dnsmasq_conf": "/etc/x y"}
    assert parse_settings("name_servers='never closed") == {}


def test_host_without_a_provider_is_read_as_unmanaged(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("nameserver 10.0.0.53\n")
    state = read_state(str(tmp_path))
    assert not state.managed and state.servers == ("10.0.0.53",) and state.entries == {}
