# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of options inside of options agrees with the tables of the specs, as ansible-doc shows it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.virtnet.linux.plugins.module_utils.core.fields import Documented, table
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import REQUIRED, Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.records import Names
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.allocator import FleetOptions
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import PoolOptions
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Dns, Network, read_network
from tools import option_docs

HOST = "0123456789abcdef0123456789abcdef"
# Several objects, "each with the options above".
LISTS = {"networks", "bridges", "fragments"}


@cache
def shown(kind: str, *names: str) -> dict[str, Any]:
    """What ansible-doc shows, with what documentation fragments add."""
    command = ["ansible-doc", "--json", "--type", kind, *(f"virtnet.linux.{name}" for name in names)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    return {name.rpartition(".")[2]: found for name, found in json.loads(text).items()}


def module_doc(name: str) -> dict[str, Any]:
    found: dict[str, Any] = shown("module", *option_docs.TABLES)[name]
    return found


@pytest.fixture(scope="module")
def role() -> dict[str, Any]:
    options: dict[str, Any] = shown("role", "virtnet")["virtnet"]["entry_points"]["main"]["options"]
    return options


def documented(options: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every documented option, by its path."""
    for name, option in options.items():
        kept = ("type", "elements", "choices", "default", "required")
        yield (
            f"{path}{name}",
            {key: option[key] for key in kept if key in option and (key, option[key]) != ("required", False)},
        )
        yield from documented(option.get("suboptions") or option.get("options") or {}, f"{path}{name}.")


def expected(*classes: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option of a table, by its path."""
    for one in (one for cls in classes for one in table(cls)):
        if one.documented is Documented.NOWHERE:
            continue
        place, kind = f"{path}{one.name}", one.kind
        parts = place.split(".")
        for length in range(path.count(".") + 1, len(parts)):
            yield ".".join(parts[:length]), {"type": "dict"}
        said = {"type": kind.type, "elements": kind.elements, "choices": list(kind.choices)}
        said["required"] = one.default is REQUIRED
        said["default"] = default_of(one)
        yield place, {key: value for key, value in said.items() if value or (key == "default" and value is not None)}
        if kind.table is not None:
            yield from expected(*([kind.table, Names] if kind.table is Dns else [kind.table]), path=f"{place}.")


def default_of(one: Any) -> Any:
    if one.documented is Documented.BY_OTHERS:
        return None
    if one.documented is not Documented.AS_READ:
        return one.documented
    is_group = one.kind.table is not None and not isinstance(one.default, tuple)
    if is_group or one.default is REQUIRED or one.default is None:
        return None
    written = one.kind.write(one.default)
    return None if isinstance(written, (dict, list, tuple)) or written == "" else written


def nested(options: Iterator[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Only options inside of options."""
    return {path: said for path, said in options if "." in path and path.partition(".")[0] not in LISTS}


def in_tables(module: str) -> dict[str, dict[str, Any]]:
    """The options inside of options of a module."""
    found = nested(expected(*option_docs.TABLES[module]))
    if module == "virt_network":
        found |= nested(expected(PoolOptions, path="pools.")) | nested(expected(FleetOptions, path="fleet."))
    return found


@pytest.mark.parametrize("module", option_docs.TABLES)
def test_ansible_doc_shows_the_options_inside_of_options_as_the_tables_have_them(module: str) -> None:
    assert nested(documented(module_doc(module)["doc"]["options"])) == in_tables(module)


def test_ansible_doc_shows_the_options_of_networks_in_the_role(role: dict[str, Any]) -> None:
    found = dict(documented(role["virtnet_networks"]["options"]))
    assert found == dict(expected(Network))
    assert dict(documented(role["virtnet_pools"]["options"])) == dict(expected(PoolOptions))


def test_what_is_written_from_the_tables_is_current() -> None:
    for file, text in option_docs.files().items():
        assert file.read_text() == text, f"run python -m tools.option_docs: {file}"


def test_a_network_with_a_documented_default_is_the_one_without(role: dict[str, Any]) -> None:
    plain = read_network(Options({"name": "lab"}), HOST)
    checked = 0
    for path, said in documented(role["virtnet_networks"]["options"]):
        in_list = any(f"{path}.".startswith(f"{one}.") and path != one for one in lists(role))
        if "default" in said and not in_list:
            option: Any = said["default"]
            for part in reversed(path.split(".")):
                option = {part: option}
            assert read_network(Options({"name": "lab", **option}), HOST) == plain, path
            checked += 1
    assert checked > 30


def lists(role: dict[str, Any]) -> list[str]:
    """The options that are lists of mappings, or may be."""
    found = documented(role["virtnet_networks"]["options"])
    return ["ipv4.dhcp.boot", "policy.to_host", *(path for path, said in found if said.get("elements") == "dict")]


@pytest.mark.parametrize("module", option_docs.TABLES)
def test_an_example_of_the_module_has_each_option_inside_of_options(module: str) -> None:
    # The option libvirt is the one of virt_network.
    used = set(in_examples(module)) | (set(in_examples("virt_network")) if module == "libvirt_network" else set())
    assert not set(in_tables(module)) - used


def in_examples(module: str) -> Iterator[str]:
    for task in yaml.safe_load(module_doc(module)["examples"]):
        yield from paths(task.get(f"virtnet.linux.{module}"))


def paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from paths(item, path)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            place = f"{path}{name}"
            if not path and name in LISTS:
                for one in item.values() if isinstance(item, Mapping) else item:
                    yield from paths(one)
            else:
                yield place
                yield from paths(item, f"{place}.")


@pytest.mark.parametrize("networks", [[None], ["lab-bridge-dns"], {"lab": None}, [{"nat": {"ports": 1, "no": 2}}], 5])
def test_ansible_lets_wrong_networks_pass_for_our_errors_to_name_them(networks: Any) -> None:
    specification = yaml.safe_load(option_docs.ROLE.read_text())["argument_specs"]["main"]["options"]
    given = {"virtnet_networks": networks, "virtnet_pools": ["10.0.0.0/8", {"subnet": 5}]}
    validated = ArgumentSpecValidator(specification).validate(given)
    assert not validated.error_messages
    assert {name: validated.validated_parameters[name] for name in given} == given
