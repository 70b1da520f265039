# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers of conntrack: real clients and servers, through NAT of the real kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.helper_modules import read_missing
from ansible_collections.virtnet.linux.plugins.module_utils.nft import helpers
from kernel.frames import in_namespace
from kernel.nft_testbed import network, plug
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, UPLINK, NamespaceTestbed, script

A = "192.168.30"
A6, OUTSIDE6, UPLINK6 = "fd00:a", "2001:db8::1", "2001:db8::2"
GREETING = "fetched"

# A listing by a connection that the server makes (PORT and EPRT of FTP).
FTP = """
import ftplib, sys
with ftplib.FTP(timeout=3) as client:
    client.connect(sys.argv[1], 21, 3)
    client.login()
    client.set_pasv(False)
    client.retrlines("NLST", print)
"""


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    yield testbed
    testbed.close()


def lab(*names: str, subnet: str = A, mode: str = "nat") -> list[dict[str, object]]:
    return [network("a", subnet, mode, conntrack_helpers=list(names))]


def test_active_ftp_of_a_guest_behind_nat(testbed: NamespaceTestbed) -> None:
    server = testbed.outside.start(*script("ftp_server"), GREETING)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    testbed.task("nft", lab())
    guest = plug(testbed, "a", A)

    def listing() -> str:
        return guest.run(sys.executable, "-c", FTP, OUTSIDE, check=False).strip()

    assert listing() == ""
    for names, expected in ((["ftp"], GREETING), (["tftp", "sip"], ""), (["tftp", "ftp"], GREETING)):
        result = testbed.task("nft", lab(*names))
        assert "conntrack_helpers" in result["changes"][0]
        assert not testbed.task("nft", lab(*names))["changed"]
        assert listing() == expected
    assert testbed.task("nft", lab())["changed"]
    assert "ct helper" not in testbed.host.run("nft", "list", "table", "inet", "virtnet")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mode", ["nat", "routed"])
def test_tftp_of_a_guest(testbed: NamespaceTestbed, tmp_path: Path, mode: str, version: int) -> None:
    """A firewall of somebody else lets in what belongs to connections alone; NAT leads nothing else to a guest."""
    (tmp_path / "boot").write_text(GREETING)
    tmp_path.chmod(0o755)
    subnet, outside = (A, OUTSIDE) if version == 4 else (A6, OUTSIDE6)
    for namespace, address in ((testbed.outside, OUTSIDE6), (testbed.host, UPLINK6)):
        namespace.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    testbed.host.run("ip", "-6", "route", "add", "default", "via", OUTSIDE6)
    testbed.outside.run("ip", "route", "add", f"{A}.0/24", "via", UPLINK)
    testbed.outside.run("ip", "-6", "route", "add", f"{A6}::/64", "via", UPLINK6)
    firewall = "add chain inet mine forward { type filter hook forward priority filter; policy accept; }"
    rule = 'add rule inet mine forward iifname "eth0" ct state new drop'
    testbed.host.run("nft", "-f", "-", stdin=f"add table inet mine\n{firewall}\n{rule}\n")
    options = (
        "--no-daemon",
        "--port=0",
        "--enable-tftp",
        f"--tftp-root={tmp_path}",
        "--user=root",
        "--conf-file=/dev/null",
    )
    testbed.outside.start("dnsmasq", *options)
    testbed.task("nft", lab(subnet=subnet, mode=mode))
    guest = plug(testbed, "a", subnet)
    url = f"tftp://[{outside}]/boot" if version == 6 else f"tftp://{outside}/boot"

    def fetched() -> str:
        return guest.run("curl", "-gs", "--max-time", "2", url, check=False)

    assert fetched() == ""
    testbed.task("nft", lab("tftp", subnet=subnet, mode=mode))
    wait_until(lambda: fetched() == GREETING)


def test_sip_of_a_guest_behind_nat(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", lab())
    guest = plug(testbed, "a", A)
    for names, address in (((), f"{A}.2"), (("sip",), UPLINK)):
        testbed.task("nft", lab(*names))
        testbed.host.run("conntrack", "-F")
        phone = testbed.outside.start(*script("sip_phone"), OUTSIDE)
        assert phone.stdout is not None
        assert phone.stdout.readline() == "ready\n"
        guest.run(*script("sip_phone"), f"{A}.2", OUTSIDE)
        invite = phone.stdout.readline().split("|")
        assert f"c=IN IP4 {address}" in invite
        assert any(line.startswith(f"Contact: <sip:a@{address}:") for line in invite)
        phone.wait()


def test_established_connections_pass_before_any_rule_about_helpers(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", lab("ftp", "sip", "tftp"))
    table = testbed.host.json("nft", "-j", "list", "table", "inet", "virtnet")["nftables"]
    chains = {item["rule"]["chain"] for item in table if "rule" in item and "ct helper" in str(item["rule"]["expr"])}
    assert chains == {"vn_from_nat", "vn_from_routed"}


def test_a_helper_that_this_kernel_lacks_names_its_module(
    testbed: NamespaceTestbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers, "PORTS", {**helpers.PORTS, "quake": (("udp",), 1)})
    with in_namespace(testbed.host):
        assert read_missing({"ftp", "sip", "tftp", "quake"}) == {"quake": "nf_conntrack_quake"}
