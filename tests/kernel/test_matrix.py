# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packet matrix of each mode is what it shall be, in both families and for every protocol."""

from __future__ import annotations

import pytest
from kernel.matrix import FAMILIES, MODES, PROTOCOLS, WAYS, measure

HOST = {"guest -> host", "guest -> host's uplink address", "host -> guest"}
OUT = {"guest -> outside, on-link", "guest -> outside, off-link"}
IN = {"outside, on-link -> guest", "outside, off-link -> guest"}
SIBLING = {"guest -> sibling"}
# A network in mode nat reaches one in mode open as it would the outside, if rules of ours did not say otherwise.
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
    found = measure(mode)
    for family in FAMILIES:
        for protocol in PROTOCOLS:
            reached = {way for way in WAYS if found[way, family, protocol]}
            assert reached == EXPECTED[mode], (family, protocol)
