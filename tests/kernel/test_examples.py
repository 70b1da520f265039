# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every list of networks and every task in the documentation is applied on a host and removed again.

Other tests check that they are valid, and what the guides' commands do
(tests/unit/docs/test_docs.py, tests/tools/documented.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tools import examples
from torture.host import Host, differences, new_host
from torture.plans import Tasks, site, teardown
from torture.scenario import changes, error_of

PARTS = ("bridge", "dnsmasq_fragment", "nft_nat", "resolvconf_entry")
# Molecule scenarios in which the needed programs exist, and in which the same options are applied.
OTHER_SCENARIOS = {"openvswitch": "ovs", "managed_by": "libvirt", "bridged": "libvirt", "'zone'": "firewalls"}


def needs_other_scenario(options: Any) -> bool:
    text = str(options)
    return any(word in text for word in OTHER_SCENARIOS)


def cases() -> Iterator[Any]:
    """The examples of the documentation, as tasks."""
    shown = [example for example in (*examples.shown(), *examples.documented()) if example.language == "yaml"]
    for example in shown:
        data = yaml.safe_load(example.text)
        for items in examples.lists_within(data):
            if not needs_other_scenario(items):
                yield pytest.param(tasks_for_networks({"networks": items}), id=example.place)
        number = 0
        for task in examples.tasks_within(data):
            for name, arguments in task.items():
                module = name.removeprefix("virtnet.linux.")
                number += 1
                if name == module or needs_other_scenario(arguments) or arguments != examples.filled(arguments):
                    continue
                if module == "virt_network":
                    yield pytest.param(tasks_for_networks(arguments), id=f"{example.place}-{number}")
                elif module in PARTS:
                    known = examples.as_ansible_has_them(module, arguments)
                    yield pytest.param([[module, known]], id=f"{example.place}-{number}")


def tasks_for_networks(arguments: Any) -> Tasks:
    """A task that defines networks, and those that follow in the role."""
    return [["virt_network", examples.as_ansible_has_them("virt_network", arguments)], *site([])[1:]]


def has_own_dnsmasq(tasks: Tasks) -> bool:
    """Whether a private dnsmasq is requested, or needed for the name server of an isolated network."""
    is_requested = "'instance': 'private'" in str(tasks)
    networks = [
        network for name, arguments in tasks if name == "virt_network" for network in arguments.get("networks") or ()
    ]
    # A mapping of networks by name has none that is isolated.
    isolated = [network for network in networks if isinstance(network, dict) and network.get("mode") == "isolated"]
    return is_requested or any((network.get("dns") or {}).get("enabled", True) for network in isolated)


CASES = list(cases())


@pytest.fixture(scope="module")
def serving() -> Iterator[Host]:
    """A host with an uplink and a dnsmasq of its own."""
    with new_host() as host:
        yield host


@pytest.fixture(scope="module")
def bare() -> Iterator[Host]:
    """A host on which no dnsmasq conflicts with a private one."""
    with new_host(serving=False) as host:
        yield host


def test_many_examples_are_collected() -> None:
    assert len(CASES) > 30


@pytest.mark.parametrize("tasks", CASES)
def test_an_example_is_applied_idempotent_and_removed_completely(serving: Host, bare: Host, tasks: Tasks) -> None:
    host = bare if has_own_dnsmasq(tasks) else serving
    before = host.snapshot()
    first = host.run_tasks(tasks)
    assert error_of(first) == ""
    second = host.run_tasks(tasks, check=True)
    assert error_of(second) == "" and changes(second) == []
    assert error_of(host.run_tasks(teardown())) == ""
    assert differences(before, host.snapshot()) == []
