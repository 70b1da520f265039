# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases that somebody wrote who broke into dnsmasq, or a guest who chose its name: only what dnsmasq writes counts."""

from __future__ import annotations

import ipaddress
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.adoption.libvirt_leases import parse_status
from ansible_collections.virtnet.linux.plugins.module_utils.cli.commands import _with_references, table
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import is_host_name, parse
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.leases import Lease, leases_of, nearly_full
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

BOTH = read_network(
    Options({"name": "both", "ipv4": {"address": "10.0.1.1/24"}, "ipv6": {"address": "fd00::1/64"}}), "x"
)
OCTETS = r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2})*"
FIELDS = {
    "network": "both",
    "ip": r"[0-9a-f.:]+",
    "mac": rf"({OCTETS})?",
    "name": r"([A-Za-z0-9][A-Za-z0-9_.-]{0,254})?",
    "client_id": rf"({OCTETS})?",
}
# Escape, its single character in C1, delete, a line break of Unicode's, right-to-left override, an isolate.
CONTROL = "\x1b[2J\x9b2J\x7f\u2028\u202e\u2066"

# Lines that nearly are leases: most random text is dropped at its first word.
_good = st.sampled_from(
    ["0", "1790000000", "52:54:00:00:00:01", "06-52:54:00:00:00:01", "10.0.1.7", "fd00::7", "T7", "7", "web", "*"]
)
_bad = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["9" * 5000, "\u0661", "fd00::7%\x1b[2J", "-web", "a" * 64, "a." * 200, "w\x1beb", CONTROL, "01:5", "", "x y"]
    ),
)
_line = st.lists(st.one_of(_good, _bad), min_size=3, max_size=7).map(" ".join)
_file = st.one_of(
    st.text(),
    st.binary().map(lambda data: data.decode("utf-8", errors="surrogateescape")),
    st.lists(st.one_of(_line, st.just("duid 00:01"), st.text()), max_size=8).map("\n".join),
)


@given(_file)
def test_only_leases_that_dnsmasq_writes_are_shown(text: str) -> None:
    for lease in leases_of([BOTH], parse(text)):
        _is_strict(lease)


def _is_strict(lease: Lease) -> None:
    for name, pattern in FIELDS.items():
        assert re.fullmatch(pattern, getattr(lease, name)), (name, lease)
    assert str(ipaddress.ip_address(lease.ip)) == lease.ip
    # What the command does with it.
    time.localtime(lease.expires)
    lease.as_options(0.0)


@given(_file)
def test_only_leases_are_copied_from_a_lease_file(text: str) -> None:
    copied = parse(text).text()
    assert parse(copied).text() == copied
    for line in copied.splitlines():
        assert re.fullmatch(rf"duid {OCTETS}|[0-9]+ [0-9a-fA-FT:-]+ [0-9a-f.:]+ [A-Za-z0-9_.*-]+ [0-9a-fA-F:*]+", line)


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _good, _bad),
    lambda inside: st.one_of(st.lists(inside), st.dictionaries(st.text(), inside)),
    max_leaves=4,
)
_item = st.dictionaries(
    st.sampled_from(["ip-address", "mac-address", "iaid", "hostname", "client-id", "expiry-time", "server-duid"]),
    _json,
)


@given(st.lists(st.one_of(_item, _json), max_size=4))
def test_only_leases_are_copied_from_a_file_of_libvirt(items: list[Any]) -> None:
    copied = parse_status(json.dumps(items)).text()
    assert parse(copied).text() == copied


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("web", True), ("Web-1", True), ("a_b", True), ("web.lab.test", True), ("7", True), ("a" * 63, True),
        ("web._tcp", True), (".".join(["a" * 63] * 4), True),
        ("a" * 64, False), ("-web", False), ("_web", False), ("web.", False), ("a..b", False), ("", False),
        ("a b", False), ("w\u00e9b", False), ("web\n", False), ("{{web}}", False), (".".join(["a" * 63] * 5), False),
    ],
)  # fmt: skip
def test_names_are_those_that_dnsmasq_accepts(name: str, is_one: bool) -> None:
    assert is_host_name(name) is is_one


@pytest.mark.parametrize("name", ["{{lookup('pipe','id')}}", "w\x1b[2Jeb", "-rf", "a" * 64, "\u202egpj"])
def test_an_invalid_name_is_omitted_and_the_lease_is_kept(name: str) -> None:
    (lease,) = leases_of([BOTH], parse(f"0 52:54:00:00:00:01 10.0.1.7 {name} 01:52:54:00:00:00:01\n"))
    assert (lease.ip, lease.mac, lease.name) == ("10.0.1.7", "52:54:00:00:00:01", "")


@pytest.mark.parametrize(
    "line",
    [
        f"{'9' * 5000} 52:54:00:00:00:01 10.0.1.7 web *",
        "9999999999999 52:54:00:00:00:01 10.0.1.7 web *",
        "0 {{x}} 10.0.1.7 web *",
        "0 52:54:00:00:00:01 10.0.1.7 web {{x}}",
        "0 7 fd00::7%{{x}} web 00:01",
        "0 \x1b[2J fd00::7 web 00:01",
        "0 52:54:00:00:00:01 10.0.1.7 web *\r",
    ],
)
def test_a_line_that_dnsmasq_does_not_write_is_no_lease(line: str) -> None:
    assert not list(leases_of([BOTH], parse(line + "\n"))) and not parse(line + "\n").text()


def test_a_carriage_return_or_a_unicode_line_break_starts_no_lease() -> None:
    for sign in ("\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"):
        text = f"x{sign}0 52:54:00:00:00:01 10.0.1.7 web *\n"
        assert not list(leases_of([BOTH], parse(text)))


def test_a_table_and_an_error_do_nothing_to_a_terminal() -> None:
    shown = table([("Name", "Bridge"), (f"a{CONTROL}", f"b\n{CONTROL}")]) + str(VirtnetError(f"c{CONTROL}"))
    assert shown.replace("\n", "").isprintable() and "\\x1b[2J\\x9b2J\\x7f\\u2028\\u202e\\u2066" in shown
    assert len(shown.splitlines()) == 4


def test_xml_stays_equivalent_and_does_nothing_to_a_terminal() -> None:
    xml = "<network><title a='\x9b\u202e'>x\x7f\u2066\n\u00e4</title></network>"
    shown = _with_references(xml)
    assert shown.replace("\n", "").isprintable() and "\u00e4" in shown
    assert etree.tostring(etree.fromstring(shown)) == etree.tostring(etree.fromstring(xml))


@pytest.mark.parametrize(("file", "most"), [("var/lib/misc/dnsmasq.leases", 1000), ("private", 65536)])
@pytest.mark.parametrize("missing", [0, 1])
def test_a_dnsmasq_that_has_given_four_fifths_of_its_leases_is_reported(
    tmp_path: Path, file: str, most: int, missing: int
) -> None:
    paths = Paths(str(tmp_path))
    path = Path(paths.private_leases) / "both.leases" if file == "private" else tmp_path / file
    path.parent.mkdir(parents=True)
    count = -(-most * 4 // 5) - missing
    current = [
        f"0 02:00:00:00:{i >> 8:02x}:{i & 255:02x} 10.{i >> 16}.{i >> 8 & 255}.{i & 255} * *" for i in range(count)
    ]
    # These two have expired.
    path.write_text("\n".join([*current, "7 02:00:00:01:00:01 10.9.9.1 * *", "8 02:00:00:01:00:02 10.9.9.2 * *", ""]))
    sentences = nearly_full([BOTH], paths)
    if missing:
        assert sentences == []
        return
    (sentence,) = sentences
    unit = "virtnet-dnsmasq@both.service" if file == "private" else "dnsmasq.service"
    assert sentence.startswith(f"{unit} has given {count} of {most} leases")
