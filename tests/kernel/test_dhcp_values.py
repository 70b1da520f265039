# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of DHCP options that are refused are those that dnsmasq refuses, or sends as something else."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.netboot import Boot, boot_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.option_values import refuse_changed_values
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.options import option_lines
from ansible_collections.virtnet.linux.plugins.module_utils.network.combinations import refuse_without_effect
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from kernel.dhcp_client import boot_offer
from kernel.dnsmasq_testbed import PROGRAM, DnsmasqTestbed, new_testbed, open_folder, run, serving

LEASE = 3600
RANGE = "no-ping\ndhcp-range=192.168.100.2,192.168.100.99,1h\n"
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
SIZES = {"b": 1, "s": 2, "i": 4}
ONE_BYTE = {
    **{"ip-forward-enable": 19, "non-local-source-routing": 20, "default-ttl": 23, "all-subnets-local": 27},
    **{"router-discovery": 31, "trailer-encapsulation": 34, "ethernet-encap": 36, "tcp-ttl": 37, "46": 46},
}
TWO_BYTES = {"boot-file-size": 13, "max-datagram-reassembly": 22, "mtu": 26, "client-arch": 93}


@pytest.fixture(scope="module")
def testbed() -> Iterator[DnsmasqTestbed]:
    with new_testbed() as testbed:
        testbed.bridge()
        testbed.plug()
        yield testbed


def _number(text: str, low: int, high: int, size: int) -> bytes | None:
    try:
        number = int(text)
    except ValueError:
        return None
    fits = low <= number <= high and text[0] != "+"
    return (number % (1 << 8 * size)).to_bytes(size, "big") if fits else None


def of_size(size: int, low: int = 0) -> Callable[[str], bytes | None]:
    """What a value means for an option of so many bytes; None for nothing."""

    def meaning(value: str) -> bytes | None:
        if ":" in value:
            given = bytes(int(digits, 16) for digits in value.split(":"))
            return given if len(given) == size else None
        if SIZES.get(value[-1], size) != size:
            return None
        return _number(value.rstrip("bsi"), low, (1 << 8 * size) - 1, size)

    return meaning


def time(value: str) -> bytes | None:
    """What a value means as T1, which is shorter than seven eighths of the lease."""
    unit = value[-1] if value[-1] in UNITS else ""
    seconds = _number(value[: len(value) - len(unit)], 0, LEASE, 4)
    total = int.from_bytes(seconds, "big") * UNITS[unit] if seconds is not None else 0
    return total.to_bytes(4, "big") if 2 < total < LEASE * 7 // 8 else None


def addresses(value: str) -> bytes | None:
    """What a value means as a list of addresses."""
    try:
        return b"".join(ipaddress.IPv4Address(part).packed for part in value.split(","))
    except ValueError:
        return None


# By name and by number.
MEANINGS: dict[str, tuple[int, Callable[[str], bytes | None]]] = {
    **{name: (code, of_size(1)) for name, code in ONE_BYTE.items()},
    **{name: (code, of_size(2)) for name, code in TWO_BYTES.items()},
    "time-offset": (2, of_size(4, -(1 << 31))),
    "tcp-keepalive": (38, of_size(4)),
    "35": (35, of_size(4)),
    "58": (58, time),
    "ntp-server": (42, addresses),
    "150": (150, addresses),
}


@pytest.mark.parametrize(
    "value",
    ["big", "5", "300", "1500", "70000", "-5", "-2147483649", "4294967295", "4294967296", "90b", "300b", "1500s", "7i"]
    + ["0x5dc", "05dc", "05:dc", "5:dc:1", "0:0:5:dc", "1h", "25m", "1h30m", "2", "3", "3149", "3150", "true", "+5"]
    + ["10.0.0.1", "10.0.0.1/24", "10.0.0.1,10.0.0.2", "1,2", "infinite"],
)
def test_a_value_is_accepted_if_a_guest_gets_what_it_means(testbed: DnsmasqTestbed, value: str) -> None:
    lines, meant, accepted = [], {}, set()
    for name, (_code, meaning) in MEANINGS.items():
        (line,) = (line for _path, line in option_lines("tag:virt0", 4, {name: value}))
        meant[name] = meaning(value)
        try:
            refuse_changed_values(Options({}), {name: value}, 4, LEASE)
            accepted.add(name)
        except InvalidOption:
            pass
        if run([PROGRAM, f"--{line}", "--test"], check=False).returncode == 0:
            lines.append(line)
    with open_folder() as folder, serving(testbed, folder, "\n".join([RANGE, *lines, ""])):
        sent = boot_offer(testbed.guest, b"", *(code for code, _meaning in MEANINGS.values())).options
    got = {name for name, (code, _meaning) in MEANINGS.items() if sent.get(code, b"") == meant[name]}
    assert accepted == got


@pytest.mark.parametrize("name", ["67", "bootfile-name"])
def test_an_option_for_the_boot_file_beside_boot_is_refused_since_it_would_replace_it(
    testbed: DnsmasqTestbed, name: str
) -> None:
    lines = [
        *boot_lines("virt0", [Boot("a.0")]),
        *(line for _path, line in option_lines("tag:virt0", 4, {name: "b.0"})),
    ]
    with open_folder() as folder, serving(testbed, folder, "\n".join([RANGE, *lines, ""])):
        assert boot_offer(testbed.guest).file == "b.0"
    dhcp = {"boot": {"file": "a.0"}, "options": {name: "b.0"}}
    network = read_network(Options({"name": "lab", "ipv4": {"dhcp": dhcp}}), "host")
    with pytest.raises(InvalidOption, match=rf"options.{name}: is the same option as boot.file; keep one of them"):
        refuse_without_effect(network)
