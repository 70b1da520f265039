# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guests load that start from the network, by architecture, with a real dnsmasq."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from kernel.dhcp_client import Offer, boot_offer
from kernel.dnsmasq_testbed import BRIDGE_ADDRESS, DnsmasqTestbed, serving
from kernel.dnsmasq_testbed import LAB_FRAGMENT as LAB

BOOT: list[dict[str, Any]] = [
    {"ipxe": True, "file": "http://192.168.100.9/menu, all.ipxe"},
    {"arch": "x86_64-uefi", "file": "ipxe.efi", "server": "192.168.100.9"},
    {"arch": "x86_64-http", "file": "http://192.168.100.9/grub.efi"},
    {"arch": 12, "file": "powerpc"},
    {"arch": "aarch64-uefi", "ipxe": True, "file": "arm.ipxe"},
    {"file": "undionly.kpxe"},
]
RAW_IPXE, FRAMED_IPXE = bytes([77, 4]) + b"iPXE", bytes([77, 5, 4]) + b"iPXE"
IPXE_FEATURES = bytes([175, 3, 19, 1, 1])


def arch(*codes: int) -> bytes:
    return bytes([93, 2 * len(codes)]) + struct.pack(f"!{len(codes)}H", *codes)


@pytest.mark.parametrize("instance", ["system", "private"])
def test_guests_load_the_file_for_their_architecture_or_for_ipxe(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    def offer(*options: bytes) -> Offer:
        return boot_offer(testbed.guest, b"".join(options))

    config = "bind-dynamic\nexcept-interface=virt0\n" if instance == "private" else ""
    with serving(testbed, tmp_path, config) as daemon:
        fragment = {**LAB, "instance": instance, "boot": BOOT}
        daemon.converge(fragment)
        assert not daemon.converge(fragment).changes
        files = {
            "menu": [(IPXE_FEATURES,), (RAW_IPXE,), (FRAMED_IPXE, arch(7)), (IPXE_FEATURES, arch(16))],
            "ipxe.efi": [(arch(7),), (arch(9),), (arch(6, 7),)],
            "grub.efi": [(arch(16), bytes([60, 10]) + b"HTTPClient")],
            "powerpc": [(arch(12),)],
            "arm.ipxe": [(IPXE_FEATURES, arch(11)), (RAW_IPXE, arch(11))],
            "undionly.kpxe": [(), (arch(0),), (arch(6),), (arch(11),), (bytes([77, 4]) + b"gpxe",)],
        }
        for part, requests in files.items():
            for request in requests:
                assert part in offer(*request).file, (part, request, daemon.log)
        assert offer(arch(7)).server == "192.168.100.9"
        assert offer(arch(0)).server == BRIDGE_ADDRESS
        assert offer(arch(16)).options[60] == b"HTTPClient"
        assert 60 not in offer(arch(7)).options
        daemon.converge({**LAB, "instance": instance, "boot": {"file": "one.0"}})
        assert offer(arch(16)).file == offer(IPXE_FEATURES).file == "one.0"


def test_boot_files_of_one_network_are_not_those_of_another(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    other = {**LAB, "name": "other", "interface": "virt1", "address": "192.168.101.1/24", "ranges": [], "hosts": []}
    ranges = [{"start": "192.168.101.2", "end": "192.168.101.9"}]
    testbed.bridge("virt1", "192.168.101.1/24")
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(
            {**LAB, "boot": [{"arch": "x86_64-uefi", "file": "a.efi"}]},
            {**other, "domain": "other.test", "ranges": ranges, "boot": [{"arch": "x86_64-uefi", "file": "b.efi"}]},
        )
        assert boot_offer(testbed.guest, arch(7)).file == "a.efi"
        assert boot_offer(testbed.guest, arch(0)).file == ""
        testbed.unplug()
        testbed.plug("virt1")
        assert boot_offer(testbed.guest, arch(7)).file == "b.efi"


def test_lines_of_the_user_win(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge({**LAB, "boot": BOOT, "raw": ["dhcp-match=set:x,93,7", "dhcp-boot=tag:x,mine.efi"]})
        assert boot_offer(testbed.guest, arch(7)).file == "mine.efi"
        assert boot_offer(testbed.guest, arch(0)).file == "undionly.kpxe"
