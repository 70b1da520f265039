# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packet matrix of each mode, in both families and for every protocol."""

from __future__ import annotations

import pytest
from kernel.matrix import FAMILIES, FLOWS, MODES, PROTOCOLS, measure

HOST = {"guest -> host", "guest -> host's uplink address", "host -> guest"}
OUT = {"guest -> outside, on-link", "guest -> outside, off-link"}
IN = {"outside, on-link -> guest", "outside, off-link -> guest"}
SIBLING = {"guest -> sibling"}
# Our rules keep a network in mode nat from one in mode open, which it would reach as it reaches the outside.
EXPECTED = {
    "nat": HOST | SIBLING | OUT,
    "nat, ipv6 routed": HOST | SIBLING | OUT,
    "routed": HOST | SIBLING | OUT | IN,
    "isolated": HOST | SIBLING,
    "open": HOST | SIBLING | OUT | IN | {"guest -> host's address on other network"},
    "nat, guests apart": HOST | OUT,
}


@pytest.mark.parametrize("mode", MODES)
def test_matrix(mode: str) -> None:
    matrix = measure(mode)
    for family in FAMILIES:
        for protocol in PROTOCOLS:
            reached = {flow for flow in FLOWS if matrix[flow, family, protocol]}
            assert reached == EXPECTED[mode], (family, protocol)
