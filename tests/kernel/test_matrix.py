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
OTHER = {"guest -> guest of other network"}
# Our rules keep a network in mode nat from one in mode open, which it would reach as it reaches the outside.
EXPECTED = {
    "nat": HOST | SIBLING | OUT,
    "nat, ipv6 routed": HOST | SIBLING | OUT,
    "routed": HOST | SIBLING | OUT | IN,
    "isolated": HOST | SIBLING,
    "open": HOST | SIBLING | OUT | IN | {"guest -> host's address on other network"},
    "nat, guests apart": HOST | OUT,
    "nat, policy opens other network": HOST | SIBLING | OUT | OTHER,
    "isolated, policy opens port 8000": HOST | SIBLING,
    # Its guests answer who reaches them, whatever they may begin themselves.
    "routed, policy denies the rest": HOST | SIBLING | IN,
    "nat, policy closes the host": SIBLING | OUT | {"host -> guest"},
}
# What policies open for one protocol alone.
OPENED = {
    ("isolated, policy opens port 8000", "tcp"): OTHER,
    ("routed, policy denies the rest", "udp"): OUT,
    ("nat, policy closes the host", "icmp"): HOST,
}


@pytest.mark.parametrize("mode", MODES)
def test_matrix(mode: str) -> None:
    matrix = measure(mode)
    for family in FAMILIES:
        for protocol in PROTOCOLS:
            reached = {flow for flow in FLOWS if matrix[flow, family, protocol]}
            assert reached == EXPECTED[mode] | OPENED.get((mode, protocol), set()), (family, protocol)
