# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An option of DHCP or DNS that is given, changed and removed again leaves no line in any file of any dnsmasq."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.state import State
from tools import option_samples
from tools.option_samples import FRAGMENT, NOT_OF_FRAGMENT, numbered
from unit.dnsmasq.test_private_instances import ABSENT, ACTIVE, after, plan, state

PROGRAM = {"program": "/usr/sbin/dnsmasq"}
HOSTS = {
    "without a system dnsmasq": state(ABSENT, **PROGRAM),
    "of Debian": state(ACTIVE, **PROGRAM),
    "with room beside the system's dnsmasq": state(ACTIVE, "bind-dynamic\nexcept-interface=vn-1\n", **PROGRAM),
    "with a system dnsmasq for the host alone": state(ACTIVE, "bind-dynamic\ninterface=lo\n", **PROGRAM),
}


def network(label: str, stage: str) -> dict[str, Any]:
    """The options of the network of a sample at a stage."""
    sample = FRAGMENT[label]
    values = {
        "name": "n1", "interface": "vn-1", "address": "10.0.<n>.1/24", "domain": "lab<n>.test",
        "ranges": [{"start": "10.0.<n>.100", "end": "10.0.<n>.150"}], **sample.base,
        **({} if stage == "base" else getattr(sample, stage)),
    }  # fmt: skip
    options: dict[str, Any] = numbered(values, 1)
    return options


def converged(current: State, label: str, *stages: str) -> list[State]:
    """The state after each stage."""
    states = []
    for stage in stages:
        current = after(current, plan(current, network(label, stage)))
        assert not plan(current, network(label, stage)).changes
        states.append(current)
    return states


def files(current: State) -> dict[str, str]:
    return {**current.fragments, **current.private_files}


def test_every_option_of_dhcp_and_dns_has_a_sample() -> None:
    assert option_samples.missing(FragmentSpec, FRAGMENT, NOT_OF_FRAGMENT) == []


@pytest.mark.parametrize("label", FRAGMENT)
def test_an_option_of_dhcp_or_dns_that_is_removed_again_leaves_nothing(label: str) -> None:
    with_effect = []
    for host in HOSTS.values():
        try:
            (base,) = converged(host, label, "base")
            (second,) = converged(host, label, "second")
            _base, at_first, at_second, at_base = converged(host, label, "base", "first", "second", "base")
        except VirtnetError:
            # Not every host can serve every option; it is refused then before anything is changed.
            continue
        assert files(at_second) == files(second)
        assert files(at_base) == files(base)
        assert at_base.enabled_instances == base.enabled_instances
        with_effect.append(files(at_first) != files(base))
    assert any(with_effect), "no host has this option in force"
