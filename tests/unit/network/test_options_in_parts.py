# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""No option of a network is lost on its way to the parts: each changes what a module is told to make.

That the modules then make it is tested with the samples of option_samples.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.records import Names
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import specs_for
from tools.network_samples import NETWORK, NOT_OF_NETWORK, options_of
from tools.option_samples import missing, option_paths


def told(label: str, stage: str) -> Any:
    """What the modules of all parts are told, from the definition that the host stores."""
    network = read_network(Options(options_of(label, stage)), "host")
    stored = read_network(Options(network.as_options()), "host")
    assert stored == network
    return json.loads(json.dumps(specs_for([stored], {})))


def test_every_option_of_a_network_has_a_sample() -> None:
    assert missing(Network, NETWORK, NOT_OF_NETWORK) == []
    assert {f"dns.{path}" for path in option_paths(Names)} - set(NETWORK) == set()


@pytest.mark.parametrize("label", NETWORK)
def test_an_option_of_a_network_reaches_a_part_of_it(label: str) -> None:
    first = told(label, "first")
    assert first != told(label, "base")
    assert first != told(label, "second")
