# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of options: the same table reads, writes and describes them, and the documentation agrees with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeOptions
from ansible_collections.virtnet.linux.plugins.module_utils.core import kinds
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.fields import (
    argument_spec,
    option,
    read,
    required,
    table,
    write,
)
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml import flat
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Dns, Network

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = ["bridge", "dnsmasq_fragment", "libvirt_network", "nft_nat", "resolvconf_entry", "virt_network"]


@dataclass(frozen=True)
class Limit:
    average: int = required(kinds.integer(1, 9))
    peak: int | None = option(kinds.integer(1, 9), None)

    def as_options(self) -> dict[str, Any]:
        return write(self)


def read_limit(options: Options) -> Limit:
    limit = read(Limit, options)
    options.reject_unknown()
    return limit


@dataclass(frozen=True)
class Port:
    name: str = required(kinds.interface)
    mode: str = option(kinds.choice("fast", "slow"), "fast")
    peers: Sequence[str] = option(kinds.interfaces, ())
    domain: str = option(kinds.domain, "")
    limit: Limit | None = option(kinds.group(Limit, read_limit), None)
    dhcp: bool = option(kinds.boolean, True, name="dhcp.enabled")
    lease_time: str = option(kinds.text(), "1h", name="dhcp.lease_time")
    speed: int = option(kinds.integer(0, 9), 0, is_written=lambda port: port.mode == "slow")
    path: str = field(default="", compare=False)


def refused(**options: Any) -> str:
    with pytest.raises(InvalidOption) as caught:
        given = Options(options, "ports[1]")
        read(Port, given)
        given.reject_unknown()
    return str(caught.value)


def test_absent_and_null_options_have_their_defaults() -> None:
    port = read(Port, Options({"name": "eth0", "mode": None, "dhcp": {"enabled": None}}))
    assert port == Port(name="eth0") and (port.mode, port.peers, port.limit, port.dhcp) == ("fast", (), None, True)


def test_an_empty_string_is_absent_where_it_is_the_default() -> None:
    port = read(Port, Options({"name": "eth0", "domain": ""}))
    assert port == read(Port, Options({"name": "eth0"}))
    assert Options({"domain": ""}).domain("domain", "") == ""
    with pytest.raises(InvalidOption, match="domain"):
        Options({"domain": ""}).domain("domain", None)


@pytest.mark.parametrize("spec", [BridgeOptions, Dns, Network])
def test_the_options_of_a_network_take_the_empty_strings_of_templates(spec: Any) -> None:
    for one in table(spec):
        if one.default == "":
            assert Options({"it": ""}).has_default("it", one.default), one.name


def test_written_options_can_be_read_again() -> None:
    port = Port("eth0", "slow", ("a", "b"), "lab.example", Limit(1, 2), False, "5m", 7)
    assert read(Port, Options(write(port))) == port


def test_options_are_written_in_the_order_of_the_fields_and_only_where_they_have_a_use() -> None:
    assert list(write(Port("eth0")).items()) == [
        ("name", "eth0"),
        ("mode", "fast"),
        ("peers", []),
        ("domain", None),
        ("limit", None),
        ("dhcp", {"enabled": True, "lease_time": "1h"}),
    ]
    assert write(Port("eth0", "slow"))["speed"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "ports[1].name: is required"),
        ({"name": "eth0", "limit": {}}, "ports[1].limit.average: is required"),
        ({"name": "eth0", "limit": {"average": 10}}, "ports[1].limit.average: 10 is out of range; use 1 to 9"),
        ({"name": "eth0", "dhcp": {"lease": 1}}, "ports[1].dhcp.lease: there is no such option; did you mean"),
        ({"name": "eth0", "path": "x"}, "ports[1].path: there is no such option"),
    ],
)
def test_an_error_has_the_path_of_the_option(options: dict[str, Any], message: str) -> None:
    assert message in refused(**options)


def test_the_caller_can_give_a_value_instead_of_the_option() -> None:
    options = Options({"name": "eth0", "mode": "bad"})
    assert read(Port, options, mode="slow", path="ports[1]").mode == "slow"
    options.reject_unknown()


def test_ansible_gets_types_and_choices_and_neither_defaults_nor_options_of_groups() -> None:
    assert argument_spec(Port) == {
        "name": {"type": "str"},
        "mode": {"type": "str", "choices": ["fast", "slow"]},
        "peers": {"type": "list", "elements": "str"},
        "domain": {"type": "str"},
        "limit": {"type": "dict"},
        "dhcp": {"type": "dict"},
        "speed": {"type": "int"},
    }


@pytest.mark.parametrize("name", MODULES)
def test_the_documentation_of_a_module_agrees_with_its_arguments(name: str) -> None:
    module = import_module(f"ansible_collections.virtnet.linux.plugins.modules.{name}")
    kept = ("type", "elements", "choices", "default", "required")
    documented = yaml.safe_load(module.DOCUMENTATION)["options"].items()
    assert {one: {key: text[key] for key in kept if key in text} for one, text in documented} == module.ARGUMENTS


def test_the_defaults_of_options_from_xml_are_those_of_the_tables() -> None:
    network = Network("lab").as_options()
    of_tables = {**flat.values_by_path(network), **{f"dns.{name}": value for name, value in write(Dns()).items()}}
    # These depend on others: an address on what else is given, a limit on the mode, DHCP on the address.
    differ = {"ipv4.address": "auto", "connection_rate": 2000, "clamp_mss": True}
    assert {path: differ.get(path, of_tables[path]) for path in flat.DEFAULTS} == flat.DEFAULTS
