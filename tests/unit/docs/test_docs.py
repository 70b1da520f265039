# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation shows is taken as it stands, what it quotes is said, what has a source is as that says."""

from __future__ import annotations

import configparser
import importlib
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.virtnet.linux.plugins.inventory import guests
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.cli import main as cli
from ansible_collections.virtnet.linux.plugins.module_utils.core.by_name import each_by_name
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reconciler import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.zones import RunningZones
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import host_prefix
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import from_xml
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.reconciler import Networks
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import State
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.spec import EntrySpec
from ansible_collections.virtnet.linux.plugins.module_utils.tasks.module import requested_objects
from ansible_collections.virtnet.linux.plugins.modules import virt_network
from lxml import etree
from tools import docs_site, documented, drawings, examples, messages
from tools.examples import ROOT, Example, filled, lists_within, tasks_within

HOST = "0123456789abcdef0123456789abcdef"
README = (ROOT / "README.md").read_text()
SHOWN = list(examples.shown())
DOCUMENTED = list(examples.documented())
YAML = [*(one for one in SHOWN if one.language == "yaml"), *DOCUMENTED]
XML = [one for one in SHOWN if one.language == "xml"]
SHELL = [one for one in SHOWN if one.language in ("shell", "console", "shell-session")]
DEFAULTS = yaml.safe_load((ROOT / "roles/virtnet/defaults/main.yml").read_text())

READERS = {
    "bridge": ("bridges", BridgeSpec.from_options),
    "nft_nat": ("networks", RulesSpec.from_options),
    "dnsmasq_fragment": ("fragments", FragmentSpec.from_options),
    "resolvconf_entry": ("entries", EntrySpec.from_options),
    "virt_network": ("networks", lambda options: read_network(options, HOST)),
}
# Programs that are not ours, which examples may call.
SYSTEM = {"ip", "journalctl", "nft", "ovs-vsctl", "systemctl", "virsh", "ethtool", "firewall-cmd"}
ANSIBLE = {
    "ansible": ("adhoc", "AdHocCLI"),
    "ansible-doc": ("doc", "DocCLI"),
    "ansible-galaxy": ("galaxy", "GalaxyCLI"),
    "ansible-inventory": ("inventory", "InventoryCLI"),
    "ansible-playbook": ("playbook", "PlaybookCLI"),
}


def read(items: Any) -> list[Network]:
    return [read_network(one, HOST) for one in each_by_name(Options({"networks": filled(items)}), "networks")]


def assert_is_a_plan(items: Any) -> None:
    there = {"br0": Link("br0", 2, kind="bridge"), "eth0": Link("eth0", 3), "eth1": Link("eth1", 4)}
    state = State(prefix=host_prefix(HOST), links=there, zones=RunningZones(["guests"]))
    plan = Networks(read(items), False, Paths("/nowhere")).plan(state)
    assert plan.changes
    assert not plan.notes


def assert_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    """The module takes the arguments, and the engine their meaning."""
    known = examples.as_ansible_has_them(name, arguments)
    told = {key for key, value in filled(arguments).items() if value is not None}
    if name in READERS and told - {"purge"}:
        many, reader = READERS[name]
        beside = ("pools", "fleet", "firewall_integration")
        assert [reader(one) for one in requested_objects(known, many, beside)]


@pytest.mark.parametrize("example", YAML, ids=str)
def test_yaml_means_something_to_us(example: Example) -> None:
    data = yaml.safe_load(example.text)
    if isinstance(data, list):
        for task in tasks_within(data):
            for name in (key.rpartition(".")[2] for key in task if key.startswith("virtnet.linux.")):
                assert_arguments(name, task[f"virtnet.linux.{name}"] or {})
    elif "plugin" in data:
        options = yaml.safe_load(guests.DOCUMENTATION)["options"]
        assert set(data) <= {*options, "cache", "compose", "groups", "keyed_groups", "strict"}
    elif set(data) <= set(virt_network.ARGUMENTS):
        assert_is_a_plan([{"name": "office", **data}])
    elif "all" not in data:
        assert set(data) <= set(DEFAULTS)
    for items in lists_within(data):
        assert_is_a_plan(items)


def test_tasks_and_plays_are_such_to_ansible(tmp_path: Path) -> None:
    files = []
    for number, example in enumerate(YAML):
        data = yaml.safe_load(example.text)
        if isinstance(data, list):
            plays = data if {"hosts", "ansible.builtin.import_playbook"} & set(data[0]) else None
            files.append(tmp_path / f"{number}.yml")
            files[-1].write_text(yaml.safe_dump(plays or [{"name": "Tasks", "hosts": "all", "tasks": data}]))
    done = subprocess.run(
        ["ansible-playbook", "--syntax-check", "-i", "one,", *map(str, files)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(files) > 15


@pytest.mark.parametrize("example", XML, ids=str)
def test_xml_is_what_it_is_said_to_be(example: Example) -> None:
    root = etree.fromstring(example.text)
    if root.tag == "interface":
        assert root.find("source").get("network" if root.get("type") == "network" else root.get("type"))
    elif root.tag == "network":
        assert from_xml(example.text)
    else:
        whole = from_xml(
            "<network><name>lab</name><forward mode='nat'/><ip address='192.168.3.1' prefix='24'/>"
            f"<metadata>{example.text}</metadata></network>"
        )
        assert read_network(Options(whole), HOST).ipv4.auto


def assert_variables(given: list[str]) -> None:
    """What is given by -e is known to a role or a playbook."""
    texts = "".join(path.read_text() for path in ROOT.glob("playbooks/**/*.yml"))
    for one in given:
        names = yaml.safe_load(one) if one.startswith("{") else [one.partition("=")[0]]
        assert all(name in DEFAULTS or re.search(rf"\b{name}\b", texts) for name in names), one


def assert_known(command: str) -> None:
    """A command that there is, with options and arguments that it has."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "virtnet":
        cli.parser().parse_args(arguments)
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program in ANSIBLE:
        module, name = ANSIBLE[program]
        tool = getattr(importlib.import_module(f"ansible.cli.{module}"), name)([program, *arguments])
        tool.init_parser()
        options = tool.parser.parse_args(arguments)
        assert_variables(getattr(options, "extra_vars", None) or [])
        if program == "ansible-playbook":
            for book in options.args:
                place = book.removeprefix("virtnet.linux.").replace(".", "/")
                assert (ROOT / "playbooks" / f"{place}.yml").is_file(), book
        if program == "ansible-doc":
            for module in options.args:
                assert (ROOT / "plugins/modules" / f"{module.removeprefix('virtnet.linux.')}.py").is_file(), module
    else:
        assert program in SYSTEM | {"cat"}, command


@pytest.mark.parametrize("example", SHELL, ids=str)
def test_commands_are_such(example: Example) -> None:
    commands = example.commands()
    assert commands
    for command in commands:
        if command.strip() and not command.lstrip().startswith("#"):
            assert_known(command)


def test_commands_are_run_on_hosts() -> None:
    told = list(documented.shown())
    assert [one for one in told if one[0] not in documented.SCENARIOS and one[1] not in documented.ELSEWHERE] == []
    assert set(documented.ELSEWHERE) <= {command for _guide, command in told}
    for guide, scenario in documented.SCENARIOS.items():
        assert documented.commands(guide)
        runs = (ROOT / "molecule" / scenario / "documented" / "test_documented.py").read_text()
        assert f'"{guide}"' in runs, guide


@pytest.mark.parametrize("example", [one for one in SHOWN if one.language == "ini"], ids=str)
def test_files_of_sections_can_be_read(example: Example) -> None:
    reader = configparser.ConfigParser(strict=False)
    reader.read_string(example.text)
    assert reader.sections()


def test_there_is_no_other_kind_of_example() -> None:
    assert {one.language for one in SHOWN} <= {
        "yaml",
        "xml",
        "shell",
        "console",
        "shell-session",
        "ini",
        "python",
        "text",
    }
    assert [one.place for one in SHOWN if one.language == "text" and "virtnet" not in one.text] == []


@pytest.mark.parametrize("file", ["README.md", "docs/docsite/rst/errors.rst"])
def test_the_message_that_is_quoted_is_the_one_that_is_said(file: str) -> None:
    (quoted,) = re.findall(r"^ *(network 'dmz': networks.*)$", (ROOT / file).read_text(), re.MULTILINE)
    (options,) = (data for data in map(yaml.safe_load, long_lists()) if len(data["virtnet_networks"]) > 1)
    options["virtnet_networks"][1]["ipv4"]["dhcp"]["ranges"][0]["end"] = "10.20.31.199"
    with pytest.raises(InvalidOption) as caught:
        read(options["virtnet_networks"])
    assert str(caught.value) == quoted


def long_lists() -> list[str]:
    return [one.text for one in SHOWN if one.place.startswith("README") and one.text.startswith("virtnet_networks")]


def test_readme_names_every_variable_of_the_role() -> None:
    assert all(f"`{name}`" in README for name in DEFAULTS)


@pytest.mark.parametrize(("file", "text"), drawings.drawings().items(), ids=lambda one: getattr(one, "name", ""))
def test_drawings_are_those_of_their_source(file: Path, text: str) -> None:
    assert file.read_text() == text, "draw them with: python tests/tools/drawings.py"


def test_the_guide_has_every_message_with_its_cure() -> None:
    guide = (ROOT / "docs/docsite/rst/errors.rst").read_text()
    told = messages.table()
    assert guide.endswith(told), "print it with: python tests/tools/messages.py"


def test_no_cure_is_left_over() -> None:
    texts = {text for _subject, text in messages.messages()}
    assert set(messages.known_cures()) <= texts


def test_every_guide_is_in_the_index() -> None:
    sections = yaml.safe_load((ROOT / "docs/docsite/extra-docs.yml").read_text())["sections"]
    assert sorted(name for one in sections for name in one["toctree"]) == [guide.stem for guide in examples.GUIDES]


@pytest.mark.parametrize("file", examples.READMES, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_of_a_readme_lead_to_files(file: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", file.read_text())
    assert [link for link in links if not (file.parent / link).is_file()] == []


def test_links_of_the_site_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<a href='b.html#there'></a><a href='b.html#not'></a><img src='c.svg'>")
    (tmp_path / "b.html").write_text("<p id='there'><a href='#there'></a><a href='https://example.org/'></a></p>")
    assert docs_site.broken(tmp_path) == ["a.html: b.html#not", "a.html: c.svg"]


def test_an_arrow_that_has_no_way_and_a_text_that_has_no_room_are_refused() -> None:
    one = {"id": "one", "at": [0, 0], "size": [10, 5], "text": ["one"], "kind": "link"}
    two = {**one, "id": "two", "at": [20, 20]}
    with pytest.raises(ValueError, match="no straight line"):
        drawings.arrow({"from": "one", "to": "two"}, {"one": drawings.Box.of(one), "two": drawings.Box.of(two)})
    with pytest.raises(ValueError, match="larger than the box"):
        drawings.Box.of({**one, "text": ["a text that is longer"]})
