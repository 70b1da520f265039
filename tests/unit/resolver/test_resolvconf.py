# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's resolver without a host: validation, parsers, the desired texts of each provider, and the plan."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core import command
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption, MissingTool
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.resolver import networkmanager as resolver_networkmanager
from ansible_collections.virtnet.linux.plugins.module_utils.resolver import plain_file as resolver_plain
from ansible_collections.virtnet.linux.plugins.module_utils.resolver import resolved as resolver_resolved
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.local_server import parse_program
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.override import read_choice
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.owner import owner_of, read_resolver_state
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.provider import (
    ResolverState,
    first_servers,
    reverse_zones,
)
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.reconciler import (
    PROVIDERS,
    EntriesState,
    ResolverEntries,
    ResolverPlan,
    read_own_servers,
)
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.resolv_conf import parse
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.resolvconf import (
    Resolvconf,
    parse_settings,
    parse_version,
)
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.spec import EntrySpec
from hypothesis import given
from hypothesis import strategies as st
from tools import option_samples

LAB = {"interface": "vn-lab", "addresses": ["192.168.30.1"], "domain": "lab", "subnets": ["192.168.30.0/24"]}
DMZ = {"interface": "vn-dmz", "addresses": ["192.168.31.1"], "domain": "dmz", "subnets": ["192.168.31.0/24"]}
SERVERS = ("10.0.0.53", "10.0.0.54")
HOSTS = {
    owner: ResolverState(owner, f"that of {owner}", SERVERS, installed=frozenset([owner]))
    for owner in ("openresolv", "resolvconf", "systemd-resolved", "networkmanager", "plain")
}


def plan(state: EntriesState, *entries: dict[str, object], purge: bool = False, choice: str | None = None):
    return ResolverEntries([EntrySpec.from_options(Options(item)) for item in entries], purge, Paths(), choice).plan(
        state
    )


def after(state: EntriesState, planned: ResolverPlan) -> EntriesState:
    """The state after a plan was applied."""
    texts = {name: dict(stored) for name, stored in state.texts.items()}
    for name, changed in planned.texts.items():
        stored = texts.setdefault(name, {})
        for key, text in changed.items():
            stored.pop(key, None)
            stored.update({key: text} if text is not None else {})
    return EntriesState(state.resolver, texts, state.entries if planned.entries is None else planned.entries)


def owner_texts(resolver: ResolverState, *entries: dict[str, object]) -> dict[str, str]:
    """The texts of the owner of the file after a plan was applied."""
    state = EntriesState(resolver)
    done = after(state, plan(state, *entries))
    assert set(done.texts) <= {resolver.owner}
    return dict(done.texts.get(resolver.owner, {}))


@pytest.mark.parametrize("owner", HOSTS)
@pytest.mark.parametrize("split_dns", [False, True])
def test_a_second_plan_changes_nothing_and_a_purge_removes_all(owner: str, split_dns: bool) -> None:
    state = EntriesState(replace(HOSTS[owner], supports_split_dns=split_dns))
    applied = after(state, plan(state, LAB, DMZ))
    assert applied.texts[owner]
    assert plan(applied, LAB, DMZ).changes == []
    # A run that names one network leaves the other as it is.
    assert plan(applied, LAB).changes == [] and plan(applied, DMZ).changes == []
    removed = after(applied, plan(applied, purge=True))
    assert not any(removed.texts.values()) and not removed.entries


def test_every_option_of_an_entry_has_a_sample() -> None:
    assert option_samples.missing(EntrySpec, option_samples.ENTRY, option_samples.NOT_OF_ENTRY) == []


@pytest.mark.parametrize("label", option_samples.ENTRY)
def test_an_option_of_an_entry_that_is_removed_again_leaves_nothing(label: str) -> None:
    sample = option_samples.ENTRY[label]

    def entry(values: Mapping[str, Any]) -> dict[str, object]:
        options = {"interface": "vn-1", "addresses": ["10.0.1.1"], "domain": "lab1.test", "subnets": ["10.0.1.0/24"]}
        return {**options, **option_samples.numbered({**sample.base, **values}, 1)}

    with_effect = []
    for owner, split_dns in itertools.product(HOSTS, (False, True)):
        host = EntriesState(replace(HOSTS[owner], supports_split_dns=split_dns))
        fresh = [after(host, plan(host, entry(values))) for values in ({}, sample.second)]
        states = [fresh[0]]
        for values in (sample.first, sample.second, {}):
            states.append(after(states[-1], plan(states[-1], entry(values))))
            assert not plan(states[-1], entry(values)).changes
        assert (states[3].texts, states[3].entries) == (fresh[0].texts, fresh[0].entries)
        assert (states[2].texts, states[2].entries) == (fresh[1].texts, fresh[1].entries)
        with_effect.append(states[1].texts != states[0].texts or states[1].entries != states[0].entries)
    assert any(with_effect)


def test_a_named_owner_is_required_also_by_runs_without_that_option() -> None:
    state = EntriesState(HOSTS["plain"])
    assert [str(change) for change in plan(state, LAB, choice="plain").changes][
        -1
    ] == "owner of the host's resolver: plain"
    chosen = replace(state, choice="plain")
    assert plan(after(chosen, plan(chosen, LAB)), LAB).changes == []
    for now in (
        replace(chosen, resolver=HOSTS["systemd-resolved"]),
        replace(state, resolver=HOSTS["systemd-resolved"]),
    ):
        with pytest.raises(InvalidOption, match="resolver: 'plain' does not own.*virtnet_resolver"):
            plan(now, LAB, choice=None if now.choice == "plain" else "plain")
    # That does not concern a network that names an owner itself.
    assert plan(replace(chosen, resolver=HOSTS["systemd-resolved"]), {**LAB, "provider": "systemd-resolved"}).changes


def test_choice_none_removes_all_entries() -> None:
    state = EntriesState(HOSTS["plain"])
    applied = after(state, plan(state, LAB, DMZ))
    disabled = plan(applied, LAB, choice="none")
    assert not disabled.result and not disabled.notes
    removed = after(applied, disabled)
    assert not any(removed.texts.values()) and not removed.entries
    assert plan(replace(removed, choice="none"), LAB).changes == []
    assert plan(replace(removed, choice="none"), LAB, choice="auto").changes


def test_choice_is_stored_in_a_file_and_removed_by_auto(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    for choice in ("none", "plain", "auto"):
        entries = ResolverEntries([], False, paths, choice)
        entries.apply(entries.plan(EntriesState(choice=read_choice(paths))))
        assert read_choice(paths) == choice
    assert not list(Path(paths.state).iterdir())
    with pytest.raises(InvalidOption, match="resolver: 'bind' is not one of auto, none, openresolv"):
        ResolverEntries([], False, paths, "bind")


def test_entries_move_to_another_owner_of_the_file() -> None:
    before = EntriesState(HOSTS["plain"])
    applied = after(before, plan(before, LAB))
    now = replace(applied, resolver=HOSTS["systemd-resolved"])
    assert [str(change) for change in plan(now, LAB).changes] == [
        "plain /etc/resolv.conf: deleted",
        "systemd-resolved vn-lab: created",
    ]


def test_settings_of_a_link_that_end_with_its_bridge_are_not_shown_as_a_change_of_their_own() -> None:
    """The run finds them gone with the bridge, check mode does not: both show the same."""
    state = EntriesState(HOSTS["systemd-resolved"])
    applied = after(state, plan(state, LAB))
    in_check_mode = plan(applied, purge=True)
    in_the_run = plan(replace(applied, texts={}), purge=True)
    assert in_check_mode.changes == in_the_run.changes != []
    # Where the bridge stays, they are deleted all the same.
    assert in_check_mode.texts == {"systemd-resolved": {"vn-lab": None}}


def test_one_server_before_all_others_and_the_domains_last() -> None:
    assert owner_texts(HOSTS["openresolv"], LAB, DMZ) == {
        "lo.virtnet": "nameserver 192.168.31.1\n",
        "search.virtnet": "# metric 999999\nsearch dmz lab\n",
    }
    assert owner_texts(HOSTS["resolvconf"], LAB)["search.virtnet"] == "search lab\n"
    plain = replace(HOSTS["plain"], text="search example.org\n")
    assert owner_texts(plain, LAB) == {"/etc/resolv.conf": "nameserver 192.168.30.1\nsearch example.org lab\n"}


def test_private_entries_only_with_split_dns() -> None:
    assert owner_texts(replace(HOSTS["openresolv"], supports_split_dns=True), LAB) == {
        "vn-lab.virtnet": "# private\nsearch lab\nnameserver 192.168.30.1\n"
    }
    assert "private" not in "".join(owner_texts(HOSTS["openresolv"], LAB).values())


def test_resolved_queries_the_link_for_its_own_names_only() -> None:
    assert owner_texts(HOSTS["systemd-resolved"], LAB) == {
        "vn-lab": "dns 192.168.30.1\ndomain lab ~30.168.192.in-addr.arpa\ndefault-route no\ndnssec no\ndnsovertls no\n"
    }


def test_networkmanagers_dnsmasq_gets_names_and_no_server() -> None:
    texts = owner_texts(replace(HOSTS["networkmanager"], supports_split_dns=True, servers=("127.0.0.1",)), LAB)
    assert (
        "server=/lab/192.168.30.1\nserver=/30.168.192.in-addr.arpa/192.168.30.1\n"
        in texts["/etc/NetworkManager/dnsmasq.d/virtnet-vn-lab.conf"]
    )
    (profile,) = (text for name, text in texts.items() if name.endswith(".nmconnection"))
    assert "dns=" not in profile and "dns-search=lab;" in profile
    plain = owner_texts(HOSTS["networkmanager"], LAB)
    (profile,) = plain.values()
    assert "address1=127.0.0.1/8\ndns=192.168.30.1;\ndns-priority=10\n" in profile
    assert "address1=::1/128\ndns-priority=1000\ndns-search=lab;\n" in profile


INTERFACES = st.from_regex(r"vn-[a-z]{1,3}", fullmatch=True)
ADDRESSES = st.lists(st.ip_addresses().map(str), min_size=1, max_size=2)
ENTRIES = st.builds(
    EntrySpec,
    INTERFACES,
    ADDRESSES,
    forwards=st.booleans(),
    serves_all_networks=st.booleans(),
    queried_by_host=st.just(True),
)


@given(st.lists(ENTRIES, max_size=5))
def test_at_most_two_servers_and_only_one_if_it_forwards(entries: list[EntrySpec]) -> None:
    servers = first_servers(entries)
    assert len(servers) <= 2 and bool(servers) == bool(entries)
    forwards = {entry.addresses[0] for entry in entries if entry.forwards}
    assert not forwards or (len(servers) == 1 and servers[0] in forwards)


@given(st.ip_addresses(), st.data())
def test_reverse_zones_are_those_of_the_subnets_addresses_and_no_others(address, data) -> None:
    length = data.draw(st.integers(1, address.max_prefixlen))
    subnet = ipaddress.ip_network((address, length), strict=False)
    zones = reverse_zones(subnet)
    assert len(zones) == len(set(zones)) <= (128 if address.version == 4 else 8)

    def in_zones(address) -> bool:
        return any(address.reverse_pointer == zone or address.reverse_pointer.endswith(f".{zone}") for zone in zones)

    assert in_zones(address) and in_zones(subnet[0]) and in_zones(subnet[-1])
    for outside in (int(subnet[0]) - 1, int(subnet[-1]) + 1):
        if 0 <= outside < 2**address.max_prefixlen:
            assert not in_zones(type(address)(outside))


@pytest.mark.parametrize("server", ["127.0.0.1", "127.1.2.3", "::1"])
@pytest.mark.parametrize("owner", ["openresolv", "resolvconf", "plain"])
def test_no_entry_if_the_host_queries_the_systems_dnsmasq_already(owner: str, server: str) -> None:
    resolver = replace(HOSTS[owner], servers=(server,))
    result = plan(EntriesState(resolver), {**LAB, "loopback_serves": True})
    assert (result.changes, result.result, result.notes) == ([], [], [])
    state = EntriesState(HOSTS[owner])
    applied = replace(after(state, plan(state, LAB)), resolver=resolver)
    assert not any(after(applied, plan(applied, {**LAB, "loopback_serves": True})).texts[owner])


@pytest.mark.parametrize("owner", ["openresolv", "resolvconf", "plain", "networkmanager"])
def test_a_local_resolver_without_split_dns_gets_no_entry(owner: str) -> None:
    result = plan(EntriesState(replace(HOSTS[owner], servers=("127.0.0.1",))), LAB)
    assert result.changes == [] and result.result == []
    assert "a resolver of its own at 127.0.0.1, which nobody tells" in result.notes[0] and "vn-lab" in result.notes[0]


@pytest.mark.parametrize("owner", ["openresolv", "resolvconf", "plain", "networkmanager"])
def test_a_local_resolver_that_is_not_dnsmasq_gets_a_warning_also_where_the_instance_is_automatic(owner: str) -> None:
    lab = {**LAB, "loopback_serves": True}
    resolver = replace(HOSTS[owner], servers=("127.0.0.1",), loopback_program="named")
    result = plan(EntriesState(resolver), lab)
    assert result.changes == [] and "a resolver of its own at 127.0.0.1 (named), which nobody tells" in result.notes[0]
    for program in ("dnsmasq", ""):
        silent = plan(EntriesState(replace(resolver, loopback_program=program)), lab)
        assert (silent.changes, silent.notes) == ([], [])
    # It is told about domains by openresolv.
    told = plan(EntriesState(replace(resolver, supports_split_dns=True)), lab)
    assert told.changes and not told.notes


# Of iproute2 6.1: named on loopback, dnsmasq on a bridge, resolved's stub, another program at every address of IPv6.
SOCKETS = """\
UNCONN 0      0      127.0.0.1:53         0.0.0.0:* users:(("named",pid=812,fd=33))
UNCONN 0      0      192.168.30.1:53      0.0.0.0:* users:(("dnsmasq",pid=901,fd=4))
UNCONN 0      0      127.0.0.53%lo:53     0.0.0.0:* users:(("systemd-resolve",pid=300,fd=16))
UNCONN 0      0      [::]:53              [::]:*    users:(("unbound",pid=400,fd=6))
"""


@pytest.mark.parametrize(
    ("server", "program"),
    [("127.0.0.1", "named"), ("127.0.0.53", "systemd-resolve"), ("127.0.0.2", ""), ("::1", "unbound")],
)
def test_the_program_at_a_loopback_address(server: str, program: str) -> None:
    assert parse_program(SOCKETS, server) == program
    assert (
        parse_program('UNCONN 0 0 0.0.0.0:53 0.0.0.0:*\nUNCONN 0 0 0.0.0.0:53 0.0.0.0:* users:(("x y",pid=1))', server)
        == ""
    )


@pytest.mark.parametrize(
    ("resolver", "words"),
    [
        (ResolverState("", "written by a program: 'Generated by x'"), "'Generated by x'"),
        (replace(HOSTS["systemd-resolved"], unusable_reason="systemd-resolved does not run"), "does not run"),
    ],
)
def test_an_unusable_owner_is_noted(resolver: ResolverState, words: str) -> None:
    result = plan(EntriesState(resolver), LAB, DMZ)
    assert result.changes == [] and result.result == []
    (note,) = result.notes
    assert words in note and "does not resolve the names of guests on vn-lab, vn-dmz" in note


def test_servers_before_ours_are_noted_when_ours_is_in_the_file() -> None:
    state = EntriesState(HOSTS["openresolv"])
    assert plan(state, LAB).notes == []
    applied = after(state, plan(state, LAB))
    assert "asks 10.0.0.53 before 192.168.30.1" in plan(applied, LAB).notes[0]
    good = replace(applied, resolver=replace(applied.resolver, servers=("192.168.30.1", *SERVERS)))
    assert plan(good, LAB).notes == []
    assert "rotate" in plan(replace(good, resolver=replace(good.resolver, options=("rotate",))), LAB).notes[0]


CLOSED = [
    {"interface": f"vn-{c}", "addresses": [f"10.0.{i}.1"], "domain": c, "forwards": False} for i, c in enumerate("abc")
]


def test_isolated_networks_with_others_are_not_queried_and_that_is_noted() -> None:
    state = EntriesState(HOSTS["resolvconf"])
    applied = after(state, plan(state, LAB, *CLOSED))
    assert applied.texts["resolvconf"] == {"lo.virtnet": "nameserver 192.168.30.1\n", "search.virtnet": "search lab\n"}
    applied = replace(applied, resolver=replace(applied.resolver, servers=("192.168.30.1", *SERVERS)))
    assert "the names of guests on vn-a, vn-b, vn-c" in plan(applied, LAB, *CLOSED).notes[0]
    # An owner with split DNS has all of them.
    assert set(owner_texts(HOSTS["systemd-resolved"], LAB, *CLOSED)) == {"vn-lab", "vn-a", "vn-b", "vn-c"}


def test_isolated_networks_alone_are_queried_up_to_the_limit_of_servers() -> None:
    state = EntriesState(HOSTS["resolvconf"])
    applied = after(state, plan(state, *CLOSED))
    assert applied.texts["resolvconf"]["lo.virtnet"] == "nameserver 10.0.0.1\nnameserver 10.0.1.1\n"
    applied = replace(applied, resolver=replace(applied.resolver, servers=("10.0.0.1", "10.0.1.1", *SERVERS)))
    assert (
        "no more than three servers, so it does not resolve the names of guests on vn-c"
        in plan(applied, *CLOSED).notes[0]
    )


@pytest.mark.parametrize("owner", ["plain", "resolvconf", "openresolv", "networkmanager"])
def test_an_isolated_network_is_not_queried_if_another_network_forwards_without_an_entry(owner: str) -> None:
    unqueried = {**LAB, "asked": False}
    entries = [unqueried, CLOSED[0]]
    first = plan(EntriesState(HOSTS[owner]), *entries)
    assert not any("nameserver" in change.after or "dns=" in change.after for change in first.changes)
    assert "the names of guests on vn-a" in first.notes[0]
    applied = after(EntriesState(HOSTS[owner]), first)
    assert not plan(applied, *entries).changes
    # That is stored for a network that a later run does not name.
    assert not plan(applied, CLOSED[0]).changes
    assert plan(applied, {"interface": "vn-lab", "state": "absent"}).changes
    assert set(owner_texts(HOSTS["systemd-resolved"], *entries)) == {"vn-a"}


def test_provider_that_does_not_own_the_file_is_refused() -> None:
    with pytest.raises(MissingTool, match="openresolv is not installed on this host; install the package openresolv"):
        plan(EntriesState(HOSTS["plain"]), {**LAB, "provider": "openresolv"})
    with pytest.raises(InvalidOption, match="provider: 'plain' does not own /etc/resolv.conf, which is that of op"):
        plan(EntriesState(HOSTS["openresolv"]), {**LAB, "provider": "plain"})
    assert plan(EntriesState(HOSTS["openresolv"]), {**LAB, "provider": "openresolv"}).changes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "interface: is required"),
        ({"interface": "vn-lab"}, "resolver entry of 'vn-lab': addresses: is required"),
        ({**LAB, "interface": "a" * 16}, "has 16 characters"),
        ({**LAB, "addresses": ["10.0.0.1", "x"]}, r"addresses\[1\]: 'x' is not an IP address"),
        ({**LAB, "addresses": ["0.0.0.0"]}, r"addresses\[0\]: '0.0.0.0' is not the address of a network's name server"),
        ({**LAB, "addresses": ["127.0.0.1"]}, r"addresses\[0\]: '127.0.0.1' is not the address"),
        ({**LAB, "subnets": ["10.0.0.0/33"]}, r"subnets\[0\]"),
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
        ResolverEntries(
            [EntrySpec.from_options(item) for item in Options({"entries": [LAB, LAB]}).each("entries")], False, Paths()
        )


def test_options_of_an_entry_are_read_again() -> None:
    spec = EntrySpec.from_options(Options(LAB))
    assert EntrySpec.from_options(Options(spec.as_options())) == spec


LINES = st.text(st.characters(codec="ascii", exclude_characters="\r\x00"), max_size=60).filter(
    lambda text: "virtnet" not in text
)


@given(LINES, st.lists(st.ip_addresses().map(lambda a: f"nameserver {a}\n"), max_size=2), st.booleans())
def test_plain_file_without_our_blocks_is_the_same_to_the_byte(text: str, servers: list[str], has_search: bool) -> None:
    inside = "".join([*servers, "search a b\n"] if has_search else servers)
    marked = resolver_plain.with_blocks(text, inside)
    assert resolver_plain.without_blocks(marked) == text
    assert resolver_plain.text_in_blocks(marked) == inside
    if has_search:
        assert parse(marked).search == ("a", "b")
    assert [f"nameserver {server}\n" for server in parse(marked).servers][: len(servers)] == [
        f"nameserver {ipaddress.ip_address(line.split()[1])}\n" for line in servers
    ]


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
        ("/run/systemd/resolve/stub-resolv.conf", "# Generated by resolvconf\n", "systemd-resolved"),
        ("/usr/lib/systemd/resolv.conf", "", "systemd-resolved"),
        ("/run/NetworkManager/resolv.conf", "", "networkmanager"),
        ("/etc/resolv.conf", "# Generated by NetworkManager\n", "networkmanager"),
        ("/etc/resolv.conf", "### autogenerated by netconfig!\nnameserver 10.0.0.53\n", ""),
        ("/etc/resolv.conf", "# Auto-generated by dhcpcd\nnameserver 10.0.0.53\n", ""),
        ("/etc/resolv.conf", "# This file was automatically generated by WSL.\nnameserver 10.0.0.53\n", ""),
        ("/etc/resolv.conf", "nameserver 10.0.0.53\n", "plain"),
        ("/etc/resolv.conf", "# my own\nnameserver 10.0.0.53\n", "plain"),
        ("/etc/resolv.conf", "# This file is managed by man:x(8). Do not edit.\n", ""),
        ("/mnt/wsl/resolv.conf", "nameserver 10.0.0.53\n", ""),
    ],
)
def test_owner(link: str, text: str, provider: str) -> None:
    assert owner_of(link, text)[0] == provider


def test_settings_are_read_as_a_shell_would() -> None:
    text = "# comment\nname_servers=\"127.0.0.1\n::1\" # local\ndnsmasq_conf='/etc/x y'\nif [ -f a ]; then b; fi\n"
    assert parse_settings(text) == {"name_servers": "127.0.0.1\n::1", "dnsmasq_conf": "/etc/x y"}
    assert parse_settings("name_servers='never closed") == {}


@pytest.mark.parametrize("folder", ["interfaces", "keys"])
def test_entries_of_openresolv_are_read_in_either_layout(tmp_path: Path, folder: str) -> None:
    base = tmp_path / "run/resolvconf"
    for name in (folder, "private", "metrics"):
        (base / name).mkdir(parents=True)
    (base / folder / "vn-lab.virtnet").write_text("# resolv.conf\nsearch lab\nnameserver 2001:DB8:0::1\n")
    (base / folder / "search.virtnet").write_text("domain a\nsearch b c\noptions ndots:2\n")
    (base / folder / "eth0.dhcp").write_text("nameserver 10.0.0.53\n")
    (base / "private/vn-lab.virtnet").touch()
    (base / "metrics/0999999 search.virtnet").touch()
    assert Resolvconf("openresolv").read(str(tmp_path), []) == {
        "vn-lab.virtnet": "# private\nsearch lab\nnameserver 2001:db8::1\n",
        "search.virtnet": "# metric 999999\nsearch b c\noptions ndots:2\n",
    }


def test_resolvectl_lists() -> None:
    text = "Global: 1.1.1.1\nLink 2 (eth0):\nLink 3 (vn-lab): 192.168.30.1 fd00:0::1\nLink 4 (x.y): ~a b\n"
    assert resolver_resolved.parse_list(text) == {
        "eth0": [],
        "vn-lab": ["192.168.30.1", "fd00::1"],
        "x.y": ["~a", "b"],
    }


# The output of resolvectl 252 for a network with a /22 and IPv6, cut at 80 columns.
WRAPPED = """\
Global:
Link 2 (vn-lab): lab.example ~0.30.10.in-addr.arpa ~1.30.10.in-addr.arpa
        ~2.30.10.in-addr.arpa ~3.30.10.in-addr.arpa
        ~1.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa
Link 3 (vn-other):
"""


def test_resolvectl_lists_with_continuation_lines() -> None:
    zones = ["0.30.10.in-addr.arpa", "1.30.10.in-addr.arpa", "2.30.10.in-addr.arpa", "3.30.10.in-addr.arpa"]
    assert resolver_resolved.parse_list(WRAPPED) == {
        "vn-lab": ["lab.example", *(f"~{zone}" for zone in zones), "~1.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa"],
        "vn-other": [],
    }


def test_long_lists_of_the_host_itself_belong_to_no_link() -> None:
    text = (
        "Link 2 (vn-lab): lab.example\nGlobal: a.example\n        b.example\nDelegate x: c.example\n        d.example\n"
    )
    assert resolver_resolved.parse_list(text) == {"vn-lab": ["lab.example"]}


def test_settings_of_networkmanager() -> None:
    text = "# c\n\n[main]\n# rc-manager=\ndns=dnsmasq\n\n[other]\ndns=x\n"
    assert resolver_networkmanager.parse_dns(text) == "dnsmasq"
    assert resolver_networkmanager.parse_dns("[main]\nplugins=keyfile\n[x]\ndns=y\n") == ""
    assert resolver_networkmanager.parse_version("nmcli tool, version 1.42.4\n") == (1, 42)


def test_host_without_a_program_is_read_as_plain(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("search a\nnameserver 10.0.0.53\noptions rotate\n")
    resolver = read_resolver_state(str(tmp_path))
    assert (resolver.owner, resolver.servers, resolver.options) == ("plain", ("10.0.0.53",), ("rotate",))
    (tmp_path / "etc/resolv.conf").write_text("nameserver 127.0.0.53\n")
    assert read_resolver_state(str(tmp_path)).unusable_reason == "systemd-resolved does not run"


@pytest.mark.parametrize("provider", ["openresolv", "resolvconf", "networkmanager", "plain"])
def test_servers_of_ours_are_known_without_an_entry(provider: str, tmp_path: Path) -> None:
    host = replace(HOSTS[provider], text="nameserver 10.0.0.53\n", supports_split_dns=provider == "networkmanager")
    texts = PROVIDERS[provider].target([EntrySpec.from_options(Options(LAB))], host)
    folder = {"openresolv": "run/resolvconf/keys/", "resolvconf": "run/resolvconf/interface/"}.get(provider, "")
    for name, text in {"/etc/resolv.conf": "", **texts}.items():
        path = tmp_path / folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(resolver_plain.with_blocks(host.text, text) if name == "/etc/resolv.conf" else text)
    servers = {word for word in read_own_servers(str(tmp_path)) if word.startswith(("192.", "10."))}
    assert servers == {"192.168.30.1"}


def test_servers_of_our_links_are_read_from_systemd_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "resolvectl"
    program.write_text(
        "#!/bin/sh\n[ $# = 1 ] && echo 'Link 2 (eth0): 10.0.0.53' && echo 'Link 3 (vn-lab): 192.168.30.1'\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(command, "SEARCH_PATH", f"{tmp_path}:{command.SEARCH_PATH}")
    assert resolver_resolved.Resolved().read_servers(str(tmp_path), ["vn-lab"]) == {}
    stub = tmp_path / resolver_resolved.STUB_FILE
    stub.parent.mkdir(parents=True)
    stub.touch()
    assert resolver_resolved.Resolved().read_servers(str(tmp_path), ["vn-lab"]) == {"vn-lab": "192.168.30.1"}
    assert resolver_resolved.Resolved().read_servers(str(tmp_path), []) == {}


def test_a_resolv_conf_that_cannot_be_read_names_no_server_of_ours(tmp_path: Path) -> None:
    (tmp_path / "etc/resolv.conf").mkdir(parents=True)
    assert read_own_servers(str(tmp_path)) == set()
