# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table that is changed is the table that would be loaded anew, for nft itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.nft import elements as nft_elements
from ansible_collections.virtnet.linux.plugins.module_utils.nft.script import Delta, render, render_delta
from ansible_collections.virtnet.linux.plugins.module_utils.nft.sets import FAMILY, TABLE, Elements
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec
from hypothesis import given
from hypothesis import strategies as st
from kernel.dnsmasq_testbed import NamedNamespace, run
from tools.hostile import values

BRIDGES = {"a": "br-a", "b": "br-b"}
SUBNETS = {"a": ["10.0.1.0/24", "fd00:a::/64"], "b": ["10.0.2.0/24", "fd00:b::/64"]}
# Options that have chains, rules or objects of their own.
OPTIONS: dict[str, list[Any]] = {
    "mode": ["nat", "routed"],
    "uplink": ["eth0"],
    "port_forwards": [
        [{"port": 80, "to": "10.0.1.9"}],
        [{"port_range": {"start": 5000, "end": 5010}, "to": "10.0.1.9"}],
    ],
    "connection_rate": [100],
    "clamp_mss": [True],
    "conntrack_helpers": [["ftp", "sip"], ["tftp"]],
    "redirect_dns": [["10.0.1.1"]],
    "policy": [
        {"allow": [{"network": "b", "protocol": "tcp", "port": 443}]},
        {"allow": [{"network": "b", "protocol": "tcp", "port": "440-450"}], "default": "deny"},
        {"deny": [{"to": "192.0.2.0/24"}], "log": True, "to_host": "services"},
        {"to_host": ["dns", {"protocol": "tcp", "port": "8000-8010"}]},
    ],
}
networks = st.fixed_dictionaries({}, optional={name: st.sampled_from(choices) for name, choices in OPTIONS.items()})
states = st.tuples(networks, st.booleans())


def elements_of(options: Any) -> Elements:
    """The elements of a network with these options, and of one that it may open."""
    parts = []
    for name, more in (("a", options), ("b", {})):
        described = {"name": name, "bridge": BRIDGES[name], "subnets": SUBNETS[name], **more}
        rules = RulesSpec.from_options(Options(described)).rules
        parts.append(nft_elements.elements_of(replace(rules, policy=rules.policy.with_networks(BRIDGES))))
    return nft_elements.merged(parts)


class Loaded:
    """A table in a namespace of its own."""

    def __init__(self) -> None:
        self.namespace = NamedNamespace(f"vnc-{uuid4().hex[:6]}")
        run(["ip", "netns", "add", self.namespace.name])

    def load(self, text: str) -> None:
        argv = self.namespace.argv(["nft", "-f", "-"])
        loaded = subprocess.run(argv, input=text, text=True, capture_output=True, check=False)
        assert loaded.returncode == 0, (loaded.stderr, text)

    def listed(self) -> list[str]:
        """All objects of the table; the rules of a chain with their place in it."""
        objects, places = [], dict[str, int]()
        for item in json.loads(self.namespace.run("nft", "-j", "list", "table", FAMILY, TABLE).stdout)["nftables"]:
            ((kind, content),) = item.items()
            if kind == "metainfo":
                continue
            content.pop("handle", None)
            if kind == "rule":
                content["place"] = places[content["chain"]] = places.get(content["chain"], 0) + 1
            if isinstance(content.get("elem"), list):
                content["elem"].sort(key=json.dumps)
            objects.append(json.dumps([kind, content], sort_keys=True))
        return sorted(objects)

    def close(self) -> None:
        run(["ip", "netns", "delete", self.namespace.name])


@pytest.fixture(scope="module")
def tables() -> Iterator[tuple[Loaded, Loaded]]:
    pair = Loaded(), Loaded()
    yield pair
    for one in pair:
        one.close()


@values(60)
@given(states, states)
def test_a_changed_table_is_the_one_that_would_be_loaded_anew(
    tables: tuple[Loaded, Loaded], before: tuple[Any, bool], after: tuple[Any, bool]
) -> None:
    changed, anew = tables
    (old, marked), (new, marks) = ((elements_of(options), marks) for options, marks in (before, after))
    changed.load(render(old, marks=marked))
    change = render_delta(old, new, marks=marks, marked=marked)
    for text in (change.first, change.script):
        if text:
            changed.load(text)
    anew.load(render(new, marks=marks))
    assert changed.listed() == anew.listed()
    assert render_delta(new, new, marks=marks) == Delta()


def test_new_sets_are_reverted(tables: tuple[Loaded, Loaded]) -> None:
    changed, _anew = tables
    old, new = elements_of({}), elements_of({"policy": OPTIONS["policy"][1]})
    changed.load(render(old))
    before = changed.listed()
    change = render_delta(old, new)
    changed.load(change.first)
    assert changed.listed() != before
    changed.load(change.revert)
    assert changed.listed() == before
