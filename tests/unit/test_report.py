# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a fleet: what is on the page, and that no name becomes markup."""

from __future__ import annotations

from typing import Any

import lxml.html
from ansible_collections.virtnet.linux.plugins.plugin_utils.report import as_html, as_text, fleet
from fleet_answers import DROPPED, answers, network
from hypothesis import given
from hypothesis import strategies as st

WHEN = "2026-11-21 13:00 UTC"


def page(told: dict[str, Any]) -> Any:
    return lxml.html.fromstring(as_html(fleet(told, WHEN)))


def texts(found: Any, path: str) -> list[str]:
    return [" ".join(one.text_content().split()) for one in found.cssselect(path)]


def test_the_page_has_every_host_network_and_guest() -> None:
    found = page(answers(2, 6))
    assert texts(found, ".host > h3") == ["hv00 3 networks", "hv01 3 networks"]
    assert texts(found, ".network h4") == [f"net{i}" for i in range(6)]
    (table,) = [one for one in found.cssselect("details") if "Guests" in one.cssselect("h2")[0].text_content()]
    assert len(table.cssselect("tbody tr")) == sum(i * 7 % 15 for i in range(6))


def test_a_network_tells_its_forwards_and_who_is_away() -> None:
    static = {"mac": "52:54:00:00:00:99", "name": "cold", "ip": "10.0.0.99"}
    one = network(0)
    one["definition"]["ipv4"]["dhcp"]["hosts"].append(static)
    found = page({"hv1": {"networks": [one]}})
    assert "\u21a6 tcp 8000 \u2192 guest0 80" in texts(found, ".network p")
    assert texts(found, ".away") == ["cold 10.0.0.99"]


def test_what_is_wrong_stands_on_top() -> None:
    told = {
        "hv1": {"networks": [network(0, conflicts=["10.0.0.0/24 of tun0"]), network(1, state="inactive")]},
        "hv2": {"networks": [network(2, packets=[DROPPED]), network(1)]},
        "hv3": {"msg": "no route to host", "unreachable": True},
    }
    assert texts(page(told), ".findings li") == [
        "hv3: no route to host",
        "hv1, net0: its subnet meets 10.0.0.0/24 of tun0",
        "hv1, net1: it is started at boot, but does not run now",
        "hv2, net2: packets guest to outside (ipv4) are dropped by the policy of chain FORWARD in table ip filter; "
        "to let them pass: nft add rule ip filter FORWARD meta mark & 0x1 accept",
        "hv2, net1: 10.0.1.0/24 is also that of the routed network net1 on hv1",
    ]
    assert texts(page(told), ".wrong h4") == ["net0", "net1", "net2"]


def test_the_terminal_is_told_the_same() -> None:
    told = {"hv1": {"networks": [network(0, 1)]}, "hv2": {"msg": "no route to host"}}
    assert as_text(fleet(told, WHEN)).splitlines() == [
        "2 hosts, 1 network, 1 guest",
        "",
        "hv1",
        "  network   state    mode   subnet        domain              guests",
        "  net0      active   nat    10.0.0.0/24   net0.example.test   1 known, 1 plugged in",
        "    net0: tcp 8000 \u2192 guest0 80",
        "    net0: guest0 10.0.0.10",
        "",
        "hv2: no route to host",
        "",
        "! hv2: no route to host",
    ]


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", '" onload="x', "' x='", "</style>", "{{ 7*7 }}", "]]>", "\x1b[31m", "&amp;", "-->"]
)


@given(_TEXT, _TEXT, _TEXT)
def test_no_name_becomes_markup(name: str, host: str, message: str) -> None:
    plain = page({"a": {"networks": [network(0, 1)]}, "b": {"msg": "c"}})
    one = network(0, 1)
    one["leases"][0]["hostname"] = one["name"] = one["definition"]["dns"]["domain"] = name
    found = page({host + "1": {"networks": [one]}, "b": {"msg": message}})

    def shape(tree: Any) -> list[tuple[str, list[str]]]:
        return sorted((str(element.tag), sorted(element.attrib)) for element in tree.iter())

    assert shape(found) == shape(plain)
    shown = as_text(fleet({host + "1": {"networks": [one]}, "b": {"msg": message}}, WHEN))
    assert not {chr(code) for code in (*range(32), *range(127, 160))} - {"\n"} & set(shown)
