# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order the addresses of a bridge change, so that the kernel takes each step."""

from __future__ import annotations

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.ip_config import address_steps
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.state import BridgeState
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.link_changes import AddAddress, DeleteAddress
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        (["fd00::1/64"], ["fd00::1/80"], ["-fd00::1/64", "+fd00::1/80"]),
        (["fd00::1/64"], ["fd00::2/64"], ["+fd00::2/64", "-fd00::1/64"]),
        (["10.9.0.1/24"], ["10.9.0.1/25"], ["+10.9.0.1/25", "-10.9.0.1/24"]),
        (["10.9.0.1/24", "10.9.0.2/24"], ["10.9.0.2/24"], ["-10.9.0.2/24", "-10.9.0.1/24", "+10.9.0.2/24"]),
        (
            ["10.9.0.1/24", "fd00::1/64"],
            ["10.8.0.1/24", "fd00::1/112"],
            ["+10.8.0.1/24", "-fd00::1/64", "-10.9.0.1/24", "+fd00::1/112"],
        ),
    ],
)
def test_addresses_change_without_a_moment_that_the_kernel_refuses(
    before: list[str], after: list[str], steps: list[str]
) -> None:
    spec = BridgeSpec.from_options(Options({"name": "vn-lab", "addresses": after}))
    planned = address_steps(spec, Link("vn-lab", 2, addresses=before), BridgeState({}))
    signs = {AddAddress: "+", DeleteAddress: "-"}
    assert [
        f"{signs[type(step)]}{step.cidr}" for step in planned if isinstance(step, (AddAddress, DeleteAddress))
    ] == steps
