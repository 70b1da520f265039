# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""No text of the user becomes syntax, checked with nft, dnsmasq and systemd themselves.

Other programs: tests/unit/engine/test_texts.py; texts that dnsmasq accepts:
test_dnsmasq_syntax.py.
"""

from __future__ import annotations

import string
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.dnsmasq_syntax import read_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.hosts_files import as_config_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import (
    TEMPLATE,
    Layout,
    unit_name,
    unit_text,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.render import RenderContext, hosts_files, render
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.nft import elements as nft_elements
from ansible_collections.virtnet.linux.plugins.module_utils.nft import script as nft_script
from ansible_collections.virtnet.linux.plugins.module_utils.nft.listing import parse
from ansible_collections.virtnet.linux.plugins.module_utils.nft.sets import FAMILY, TABLE
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec
from hypothesis import given
from hypothesis import strategies as st
from kernel.dnsmasq_testbed import PROGRAM, NamedNamespace, open_folder, run
from tools.hostile import SAMPLES, accepted, is_clear, mutated_samples, networks, parts_of, read, values

CONTEXT = RenderContext(private=True, version=(2, 90), hosts_folder="/tmp/hosts")
# dnsmasq parses the values of these options: it tests them before anything is written.
CHECKED_BY_DNSMASQ = ("options", "raw")


def spec_of(kind: Any, options: Any) -> Any:
    """The spec of a reconciler, or None if the text was refused as expected."""
    try:
        spec = kind.from_options(Options(dict(options), "parts[0]"))
    except InvalidOption as error:
        assert is_clear(error), error
        return None
    return spec if spec.state == "present" else None


BASE = [parts_of(read(sample)) for sample in SAMPLES]
RULES = [rule for base in BASE for rule in base["rules"] if rule["state"] == "present"]
FRAGMENTS = [options for base in BASE for options in base["fragments"] if options["state"] == "present"]


def rules_of(options: Any) -> Any:
    """The rules of a network."""
    return spec_of(RulesSpec, options)


def fragment_of(options: Any) -> Any:
    """The dnsmasq options of a network."""
    return spec_of(FragmentSpec, options)


# As the role passes it to the reconciler, or as a user of its own module does.
rules = networks.map(lambda case: ("rules", case[1][1])) | mutated_samples(RULES[0], rules_of).map(
    lambda case: ("part", case[1])
)
fragments = networks.map(lambda case: ("fragments", *case[1])) | mutated_samples(FRAGMENTS[0], fragment_of).map(
    lambda case: ("part", *case)
)


def options_of(kind: str, options: Any) -> list[Any]:
    if kind == "part":
        return [options]
    network = accepted(options)
    return [] if network is None else list(parts_of(network)[kind])


@pytest.fixture(scope="module")
def namespace() -> Iterator[NamedNamespace]:
    namespace = NamedNamespace(f"vnd-{uuid4().hex[:6]}")
    run(["ip", "netns", "add", namespace.name])
    yield namespace
    run(["ip", "netns", "delete", namespace.name])


@values(250)
@given(rules)
def test_rules_that_are_accepted_are_those_that_nft_lists(namespace: NamedNamespace, case: Any) -> None:
    for options in options_of(*case):
        spec = rules_of(options)
        if spec is None:
            continue
        elements = nft_elements.merged([nft_elements.elements_of(spec.rules)])
        loaded = subprocess.run(
            namespace.argv(["nft", "-f", "-"]),
            input=nft_script.render(elements),
            text=True,
            capture_output=True,
            check=False,
        )
        assert loaded.returncode == 0, (options, loaded.stderr)
        tables = namespace.run("nft", "list", "tables").stdout.split("\n")
        assert tables == [f"table {FAMILY} {TABLE}", ""]
        table = parse(namespace.run("nft", "-j", "list", "table", FAMILY, TABLE).stdout)
        assert nft_elements.rules_of(table.elements, spec.rules.bridge) == spec.rules
        assert {name: list(comments) for name, comments in table.comments.items()} == {
            name: list(comments) for name, comments in nft_script.static_comments(elements).items()
        }


def lines_of(spec: FragmentSpec) -> list[str]:
    """The dnsmasq options that a fragment sets, without those that the user wrote directly."""
    text = render(spec, CONTEXT)
    raw = [setting.name for line in spec.raw for setting in read_lines(line, "raw")]
    names = [setting.name for setting in read_lines(text, "fragment")]
    for name in raw:
        names.remove(name)
    return names


ALL_LINES = {line for options in FRAGMENTS for line in lines_of(FragmentSpec.from_options(Options(dict(options))))}
# Needed for other prefix lengths, or for a network without DHCP.
ALL_LINES |= {"local", "dhcp-range", "dhcp-option"}


@values(250)
@given(fragments)
def test_fragments_that_are_accepted_are_what_dnsmasq_takes(case: Any) -> None:
    kind, path, given_options = case
    for options in options_of(kind, given_options):
        spec = fragment_of(options)
        if spec is None:
            continue
        try:
            text, hosts = render(spec, CONTEXT), hosts_files(spec, CONTEXT)
        except InvalidOption as error:
            assert is_clear(error), error
            continue
        assert set(lines_of(spec)) <= ALL_LINES
        rows = [line.text for path_of_file, content in hosts.items() for line in as_config_lines(path_of_file, content)]
        result = subprocess.run(
            [PROGRAM, "--conf-file=-", "--test"],
            input=text + "".join(f"{row}\n" for row in rows),
            text=True,
            errors="surrogateescape",
            capture_output=True,
            check=False,
        )
        may_be_refused = any(key in CHECKED_BY_DNSMASQ for key in path)
        assert result.returncode in ((0, 1) if may_be_refused else (0,)), (path, result.stderr)


NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=50)


@values(10, fuzzed=400)
@given(st.lists(NAMES, min_size=30, max_size=30))
def test_systemd_takes_an_instance_of_the_unit_for_every_name(names: list[str]) -> None:
    accepted_names = sorted({name for name in names if accepted({"name": name}) is not None})
    with open_folder() as folder:
        (folder / TEMPLATE).write_text(unit_text(Layout(Paths("/")), PROGRAM))
        units = [str(folder / unit_name(name)) for name in accepted_names]
        result = run(["systemd-analyze", "verify", "--man=no", *units], check=False) if units else None
    assert result is None or "virtnet-dnsmasq" not in result.stderr, result.stderr
