# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What README shows is taken as it stands, and what it quotes is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.virtnet.linux.plugins.module_utils.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.network import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.subnets import host_prefix
from ansible_collections.virtnet.linux.plugins.module_utils.virt_network import Networks, State

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
HOST = "0123456789abcdef0123456789abcdef"
LISTS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(virtnet_networks:.*?)```", README, re.DOTALL)]


def read(options: dict[str, object]) -> list[Network]:
    return [read_network(one, HOST) for one in Options({"networks": options["virtnet_networks"]}).each("networks")]


@pytest.mark.parametrize("options", LISTS)
def test_each_list_of_readme_is_a_plan(options: dict[str, object]) -> None:
    plan = Networks(read(options), False, Paths("/nowhere")).plan(State(prefix=host_prefix(HOST)))
    assert plan.changes
    assert not plan.notes


def test_the_message_that_readme_quotes_is_the_one_that_is_said() -> None:
    (quoted,) = re.findall(r"^    (network 'dmz': .*)$", README, re.MULTILINE)
    options = LISTS[1]
    options["virtnet_networks"][1]["ipv4"]["dhcp"]["ranges"][0]["end"] = "10.20.31.199"
    with pytest.raises(InvalidOption) as caught:
        read(options)
    assert str(caught.value) == quoted


def test_readme_names_every_variable_of_the_role() -> None:
    defaults = yaml.safe_load((ROOT / "roles/virtnet/defaults/main.yml").read_text())
    assert all(f"`{name}`" in README for name in defaults)
