# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages of neighbour discovery as the kernel of another host takes them: tests/kernel/test_ndp_proxy.py."""

from __future__ import annotations

import random
import struct
from ipaddress import IPv6Address

from ansible_collections.virtnet.linux.plugins.module_utils.kernel.ndp import packet_of


def test_the_checksum_of_a_packet_is_right() -> None:
    """The sum of all words with the checksum is 0xffff (RFC 1071 section 1)."""
    source, destination = IPv6Address("fe80::1").packed, IPv6Address("ff02::1:ff00:5").packed
    for seed in range(200):
        noise = random.Random(seed)
        body = bytes([135, 0, 0, 0]) + noise.choice((b"\0", b"\xff", noise.randbytes(1))) * 28
        packet = packet_of(body, source, destination)
        assert (packet[7], len(packet)) == (255, 72)
        words = source + destination + struct.pack("!II", 32, 58) + packet[40:]
        total = sum(struct.unpack(f"!{len(words) // 2}H", words))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        assert total == 0xFFFF
