# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a fleet: what is on the page, and that no name becomes markup."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import lxml.html
import pytest
from ansible_collections.virtnet.linux.plugins.plugin_utils.report import as_html, as_text, fleet
from hypothesis import given
from hypothesis import strategies as st
from tools.fleet_answers import DROPPED, answers, network

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
        "to let them pass: nft insert rule ip filter FORWARD 'meta mark & 0x1 accept'",
        "hv2, net1: 10.0.1.0/24 is also that of the routed network net1 on hv1",
    ]
    assert texts(page(told), ".network.wrong h4") == ["net0", "net1", "net2", "net1"]


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


def reached(told: dict[str, Any]) -> dict[str, dict[str, tuple[str, str]]]:
    """The words and titles of the table of who may reach whom, by row and column."""
    (table,) = page(told).cssselect("table.reach")
    _from, *columns = texts(table, "thead th")
    rows = {}
    for row in table.cssselect("tbody tr"):
        words = [(cell.text_content(), cell.get("title")) for cell in row.cssselect("td")]
        rows[row.cssselect("th")[0].text_content()] = dict(zip(columns, words, strict=True))
    return rows


def policed(number: int, mode: str, **options: Any) -> dict[str, Any]:
    one = network(number, mode=mode)
    one["definition"].update({"port_forwards": [], **options})
    return one


def test_the_page_shows_who_may_reach_whom_and_by_which_option() -> None:
    policy = {
        "to_host": ["dns", {"protocol": "tcp", "port": 9100}],
        "allow": [{"network": "net1", "protocol": "tcp", "port": 443}, {"network": "net2"}],
        "deny": [{"from": "10.0.0.9", "to": "192.0.2.0/24"}],
    }
    forward = {"protocol": "tcp", "port": 8080, "to": "10.0.3.10", "to_port": 80}
    told = [
        policed(0, "nat", policy=policy),
        policed(1, "isolated", policy={"default": "deny"}),
        policed(2, "routed"),
        policed(3, "nat", isolate_guests=True, port_forwards=[forward], policy={"default": "deny"}),
        policed(4, "open"),
        policed(5, "bridged"),
    ]
    rows = reached({"hv1": {"networks": told}})
    words = {name: " ".join(word for word, _title in cells.values()) for name, cells in rows.items()}
    assert words == {
        "net0": "allowed some allowed some refused some some",
        "net1": "refused allowed refused refused refused allowed refused",
        "net2": "refused refused allowed some allowed allowed allowed",
        "net3": "refused refused refused refused refused allowed refused",
        "net4": "refused refused allowed some allowed allowed allowed",
        "host": "allowed allowed allowed allowed allowed - allowed",
        "outside": "refused refused allowed some allowed - -",
    }
    titles = {name: {column: title for column, (_word, title) in cells.items()} for name, cells in rows.items()}
    assert titles["net0"]["net1"] == "policy.allow[0]: \u2192 net1 tcp 443; mode nat to mode isolated"
    assert titles["net0"]["host"] == "policy.to_host: dns, tcp 9100, ping"
    assert titles["net0"]["outside"] == "policy.deny[0]: 10.0.0.9 \u2192 192.0.2.0/24; mode nat"
    assert titles["net3"]["net3"] == "isolate_guests"
    assert titles["net3"]["outside"] == "policy.default: deny"
    assert titles["outside"]["net3"] == "mode nat; port_forwards: tcp 8080 \u2192 10.0.3.10"


def test_a_host_with_too_many_networks_has_no_table_of_who_may_reach_whom() -> None:
    assert not page({"hv1": {"networks": [policed(i, "nat") for i in range(31)]}}).cssselect("table.reach")


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", '" onload="x', "' x='", "</style>", "{{ 7*7 }}", "]]>", "\x1b[31m", "&amp;", "-->"]
)


def hostile(host: str, text: str) -> dict[str, Any]:
    """A text in every place where a host can put any."""
    by = {**DROPPED["by"][0], "rule": text, "cure": "", "table": text, "chain": text, "family": text}  # type: ignore[index]
    packets = [{**DROPPED, "way": text, "family": text, "by": [by]}]
    one = network(0, 1, conflicts=[text], packets=packets, ports=["a<b>\"'"])
    one["leases"][0]["hostname"] = text
    entry = {"from": text, "network": "net0", "to": text, "protocol": text}
    one["definition"]["policy"] = {"default": "deny", "to_host": [text], "allow": [entry], "deny": [entry]}
    return {f"{host}1": {"networks": [one]}, "b": {"msg": text}}


@given(_TEXT, _TEXT)
def test_no_text_of_a_host_becomes_markup(host: str, text: str) -> None:
    def shape(tree: Any) -> list[tuple[str, list[str]]]:
        return sorted((str(element.tag), sorted(element.attrib)) for element in tree.iter())

    told = hostile(host, text)
    assert shape(page(told)) == shape(page(hostile("a", "c")))
    shown = as_text(fleet(told, WHEN))
    assert not {chr(code) for code in (*range(32), *range(127, 160), 0x2028, 0x202E)} - {"\n"} & set(shown)
    as_html(fleet(told, WHEN)).encode()


_BROKEN: dict[str, Any] = {
    "without definition": {"networks": [{key: value for key, value in network(0).items() if key != "definition"}]},
    "an address that is none": {"networks": [{**network(0), "definition": {"ipv4": {"address": "evil"}}}]},
    "a number of ports": {"networks": [{**network(0), "ports": 3}]},
    "a mapping for a list": {"networks": {"lab": network(0)}},
    "a list for a mapping": [network(0)],
    "IPv6 for IPv4": {"networks": [{**network(0), "definition": {"ipv4": {"address": "fd00::1/64"}}}]},
    "a name of markup": {"networks": [{**network(0), "name": "<script>"}]},
    "not a number": {"networks": [{**network(0), "autostart": float("nan")}]},
    "a lone surrogate": {"networks": [{**network(0), "name": "\ud800"}]},
    "10 MB": {"networks": [{**network(0), "mode": "x" * 10**7}]},
    "a text": "networks",
    "nothing": None,
}


@pytest.mark.parametrize("told", _BROKEN.values(), ids=_BROKEN)
def test_a_wrong_answer_is_shown_at_its_host_and_the_others_are_shown_as_ever(told: Any) -> None:
    found = fleet({"hv1": {"networks": [network(1)]}, "hv2": told, "hv3": {"networks": [network(2)]}}, WHEN)
    assert [(host.name, len(host.networks), bool(host.error)) for host in found.hosts] == [
        ("hv1", 1, False),
        ("hv2", 0, True),
        ("hv3", 1, False),
    ]
    error = found.hosts[1].error
    assert error.isprintable() and len(error) < 250
    text, html = as_text(found), as_html(found)
    assert f"hv2: {error}\n" in text
    tree = lxml.html.fromstring(html)
    assert texts(tree, "#host-2 p") == [" ".join(error.split())]
    assert texts(tree, ".network h4") == ["net1", "net2"]
    html.encode()


def test_a_lone_surrogate_in_an_error_can_be_written() -> None:
    found = fleet({"hv\ud800": {"msg": "a\ud800b"}}, WHEN)
    assert "a\ufffdb" in as_text(found)
    (as_text(found) + as_html(found)).encode()


def test_the_page_has_no_script_and_its_policy_allows_its_one_style_alone() -> None:
    text = as_html(fleet(answers(3, 30), WHEN))
    found = lxml.html.fromstring(text)
    (policy,) = found.cssselect('meta[http-equiv="Content-Security-Policy"]')
    rules = dict(rule.strip().split(" ", 1) for rule in policy.get("content").split(";"))
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not found.cssselect("script, [style], form, iframe, img, object, base")
    assert not [one for element in found.iter() for one in element.attrib if one.startswith("on")]
    links = {one.get("href") for one in found.cssselect("[href]")}
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_every_link_of_the_page_leads_somewhere() -> None:
    found = page({**answers(2, 6), "hv3": {"networks": [network(0, conflicts=["x"])]}})
    ids = [one.get("id") for one in found.cssselect("[id]")]
    links = [one.get("href")[1:] for one in found.cssselect("a")]
    assert len(set(ids)) == len(ids)
    assert set(links) - {""} <= set(ids)
    assert {"hv3--net0", "host-3"} <= set(links)
