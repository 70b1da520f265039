# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of others, as hosts answer them, in a file of variables: nothing in it is more than data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.virtnet.linux.plugins.filter.foreign import FilterModule
from ansible_collections.virtnet.linux.plugins.plugin_utils.foreign import as_inventory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.plugins.test_hostile_hosts import play, write_fleet

BR0 = {
    "name": "br0",
    "mode": "nat",
    "uplink": "eth0",
    "bridge": {"name": "br0"},
    "ipv4": {"address": "192.168.80.1/24", "dhcp": {"hosts": [{"mac": "52:54:00:00:00:10", "ip": "192.168.80.10"}]}},
}
HOSTILE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["{{ 7 * 7 }}", "{% x %}", "a\nb: c", "#", "!!python/name:x", "\x1b[2J", "yes", "*"]),
)


def foreign(name: str = "br0", **more: Any) -> dict[str, Any]:
    whole = {"name": name, "source": "script", "bridge": "br0", "options": {**BR0, "name": name}}
    return {**whole, "stays": "", "notes": [], **more}


def answer(*networks: Any) -> dict[str, Any]:
    return {"changed": False, "foreign": list(networks)}


def inventory(text: str) -> dict[str, Any]:
    hosts: dict[str, Any] = yaml.safe_load(text)["all"]["hosts"]
    return hosts


def comments(text: str) -> str:
    """The comments below the head, in one line."""
    return " ".join(" ".join(re.findall(r"^ +#(.*)", text, re.MULTILINE)).split())


def test_each_host_has_a_list_with_comments() -> None:
    docker = foreign("docker0", source="docker", options=None, stays="docker makes it for its containers")
    text = as_inventory(
        {"hv1": answer(foreign(notes=["a note"]), docker), "hv2": answer(), "yes": answer(foreign("x"))}
    )
    assert inventory(text) == {
        "hv1": {"virtnet_networks": [BR0]},
        "hv2": {},
        "yes": {"virtnet_networks": [{**BR0, "name": "x"}]},
    }
    assert comments(text) == "br0 (script): a note docker0 (docker) stays: docker makes it for its containers"
    assert all(len(row) <= 120 for row in text.splitlines())
    assert as_inventory({"hv1": answer(foreign())}) == as_inventory({"hv1": answer(foreign())})


def test_hosts_that_did_not_answer_are_named() -> None:
    text = as_inventory({"hv1": {"failed": True, "msg": "no\nroot"}, "hv2": {"unreachable": True}, "hv3": "x"})
    assert inventory(text) == {}
    assert comments(text) == "hv1: no root hv2: did not answer hv3: 'x' is no answer"
    assert inventory(as_inventory({})) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"description": "{{ lookup('pipe', 'id') }}"},
        {"title": "{% raw %}"},
        {"bridge": {"name": "a b"}},
        {"name": "other"},
        {"port_forwards": 3},
        {"xml": "<!DOCTYPE x>"},
        {"unknown": 1},
        {"description": 2.5},
        {"ipv4": [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]},
    ],
)
def test_what_is_no_network_is_left_out(options: dict[str, Any]) -> None:
    text = as_inventory({"hv1": answer(foreign("x"), foreign(options={**BR0, **options}))})
    assert [one["name"] for one in inventory(text)["hv1"]["virtnet_networks"]] == ["x"]
    assert "br0 (script) stays: what the host answers is no network:" in comments(text)


def test_lines_for_dnsmasq_that_run_programs_are_pointed_out() -> None:
    text = as_inventory({"hv1": answer(foreign(options={**BR0, "dnsmasq": {"options": ["dhcp-script=/x"]}}))})
    assert "dhcp-script=/x" in comments(text)


def test_a_name_that_is_given_twice_is_taken_once() -> None:
    text = as_inventory({"hv1": answer(foreign(), foreign())})
    assert inventory(text) == {"hv1": {"virtnet_networks": [BR0]}}
    assert "'br0' is given twice" in comments(text)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | HOSTILE, lambda one: st.lists(one, max_size=3)
                    | st.dictionaries(HOSTILE, one, max_size=3), max_leaves=6)  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(HOSTILE, JSON, max_size=2), st.lists(HOSTILE, max_size=2), HOSTILE, JSON, HOSTILE)
def test_no_answer_becomes_more_than_data(
    options: dict[str, Any], notes: list[str], source: str, other: Any, host: str
) -> None:
    networks = [foreign(options={**BR0, **options, "description": source}, notes=notes), foreign("x", source=source)]
    text = as_inventory({host: answer(*networks), "hv2": other, "hv3": answer(other)})
    assert not any(mark in text.replace(host, "") for mark in ("{{", "{%", "{#"))
    assert all(char.isprintable() or char == "\n" for char in text.replace(host, ""))
    hosts = inventory(text)
    assert set(hosts) <= {host, "hv2", "hv3"}
    assert all(set(variables) <= {"virtnet_networks"} for variables in hosts.values())


def test_the_filter_takes_answers_by_host() -> None:
    (convert,) = FilterModule().filters().values()
    assert convert({"hv1": answer(foreign())}) == as_inventory({"hv1": answer(foreign())})
    with pytest.raises(AnsibleFilterError, match="by the name of the host"):
        convert([answer()])


def test_the_playbook_writes_the_file_that_the_user_names_and_a_second_run_does_not(tmp_path: Path) -> None:
    template = "{{ lookup('ansible.builtin.pipe', 'touch ' ~ folder ~ '/pwned') }}"
    facts = {"virtnet_import_file": f"{tmp_path}/elsewhere.yml"}
    hosts = {
        "first": {**answer(foreign(notes=[template])), "ansible_facts": facts},
        "hv2": answer(foreign(options={**BR0, "description": template})),
        "hv3": {"failed": True, "msg": template},
    }
    listed = write_fleet(tmp_path, hosts)
    output = play(tmp_path, listed, "virtnet.linux.import", "virtnet.linux.import")
    assert output.count("changed: [first -> localhost]") == 1, output
    assert not (tmp_path / "elsewhere.yml").exists()
    assert not (tmp_path / "pwned").exists()
    text = (tmp_path / "virtnet-networks.yml").read_text()
    assert inventory(text) == {"first": {"virtnet_networks": [BR0]}, "hv2": {}}
    assert "hv3: { { lookup(" in comments(text)
