# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Port security on real bridges: forged frames of one guest, captured at another; the guard; what the run leaves."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.port_security import link_local
from kernel.frames import (
    BROADCAST,
    Nic,
    capture_frames,
    gratuitous_arp,
    neighbour_advertisement,
    on_one_processor,
    router_advertisement,
    udp,
)
from kernel.guard_testbed import GuardTestbed, network_without_services, new_testbed
from kernel.polling import wait_until

GATEWAY, GATEWAY6 = "192.168.30.1", "fd00:30::1"
SECURED = network_without_services(
    "lab",
    ipv4={"address": f"{GATEWAY}/24"},
    ipv6={"address": f"{GATEWAY6}/64", "ra": False},
    port_security={"level": "gateway"},
)
PLAIN = {**SECURED, "port_security": {"level": "off"}}
# Bytes of an Ethernet header with two tags.
_TAGGED_HEAD = 22
_SENTINEL = b"the last frame"


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[GuardTestbed]:
    with new_testbed(tmp_path) as testbed:
        yield testbed


def bridge_mac(testbed: GuardTestbed) -> str:
    mac: str = testbed.link("vn-lab")["address"]
    return mac


def _with_mac(frame: bytes, mac: str) -> bytes:
    return frame[:6] + bytes.fromhex(mac.replace(":", "")) + frame[12:]


def _with_tag(frame: bytes, *tags: int) -> bytes:
    """The frame with tags of 802.1Q, the outer first."""
    return frame[:12] + b"".join(struct.pack("!HH", 0x8100, tag) for tag in tags) + frame[12:]


Frame = Callable[[Nic, str], bytes]
# What one guest sends, by what it claims to be: the frames are made for its NIC and the MAC address of the bridge.
ATTACKS: dict[str, Frame] = {
    "ARP for the gateway": lambda nic, _mac: gratuitous_arp(nic.mac, GATEWAY),
    "ARP with the MAC address of the gateway": lambda nic, mac: _with_mac(gratuitous_arp(mac, "192.168.30.9"), nic.mac),
    "the MAC address of the gateway": lambda nic, mac: _with_mac(gratuitous_arp(nic.mac, "192.168.30.9"), mac),
    "the address of the gateway": lambda nic, _mac: udp(nic, BROADCAST, GATEWAY, "192.168.30.255", 99, b"x"),
    "neighbour advertisement for the gateway": lambda nic, _mac: neighbour_advertisement(nic, GATEWAY6),
    "neighbour advertisement for its link-local address": lambda nic, mac: neighbour_advertisement(
        nic, link_local(mac)
    ),
    "router advertisement": lambda nic, _mac: router_advertisement(nic, "fd00:bad::"),
    "answer of a DHCP server": lambda nic, _mac: udp(nic, BROADCAST, "192.168.30.2", "255.255.255.255", 68, b"x"),
    "answer of a DHCPv6 server": lambda nic, _mac: udp(nic, BROADCAST, "fd00:30::2", "fd00:30::3", 546, b"x"),
    "the IPv6 address of the gateway": lambda nic, _mac: udp(nic, BROADCAST, GATEWAY6, "ff02::1", 99, b"x"),
}
# Guests take these frames as if they had no tag.
_TAGS = ((0,), (0, 0))
_TAKEN_WITH_TAGS = ("ARP for the gateway", "router advertisement", "answer of a DHCP server")


def attacks(nic: Nic, mac: str) -> dict[str, bytes]:
    """The frames by name; some also with one and with two tags for VLAN 0."""
    plain = {name: make(nic, mac) for name, make in ATTACKS.items()}
    tagged = {f"{name}, {len(tags)} tags": _with_tag(plain[name], *tags) for name in _TAKEN_WITH_TAGS for tags in _TAGS}
    return {**plain, **tagged}


def arrives(sender: Nic, receiver: Nic, frame: bytes) -> bool:
    """Whether a frame reaches another guest: one that follows it does in any case."""
    with on_one_processor(), capture_frames(receiver.namespace) as capture:
        seen: list[bytes] = []
        sender.send(frame, udp(sender, BROADCAST, "192.168.30.2", "192.168.30.255", 98, _SENTINEL))

        def sentinel_came() -> bool:
            seen.extend(capture.read_frames())
            return any(_SENTINEL in one for one in seen)

        wait_until(sentinel_came)
        # The kernel takes the outer tag out of a frame that it hands over.
        return any(frame[_TAGGED_HEAD:] in one for one in seen)


def _guests(testbed: GuardTestbed) -> tuple[Nic, Nic]:
    first, second = (Nic.of(testbed.add_guest("vn-lab", f"192.168.30.{number}/24", GATEWAY)) for number in (2, 3))
    return first, second


def _checked(testbed: GuardTestbed) -> set[str]:
    """The ports whose frames are checked."""
    listed = testbed.host.json("nft", "-j", "list", "map", "bridge", "virtnet", "ports")["nftables"]
    (ports,) = (item["map"] for item in listed if "map" in item)
    return {port for port, _verdict in ports.get("elem", ())}


def test_no_guest_answers_as_gateway_router_or_dhcp_server(testbed: GuardTestbed) -> None:
    testbed.run_playbook(PLAIN)
    sender, receiver = _guests(testbed)
    mac = bridge_mac(testbed)
    frames = attacks(sender, mac)
    assert [name for name, frame in frames.items() if not arrives(sender, receiver, frame)] == []
    testbed.run_playbook(SECURED)
    assert [name for name, frame in frames.items() if arrives(sender, receiver, frame)] == []
    for guest in (sender, receiver):
        assert guest.namespace.pings(GATEWAY)
    assert sender.namespace.pings("192.168.30.3")
    assert arrives(sender, receiver, gratuitous_arp(sender.mac, "192.168.30.2"))
    assert arrives(sender, receiver, neighbour_advertisement(sender, "fd00:30::2"))


def test_the_second_run_changes_nothing_and_the_option_leaves_nothing(testbed: GuardTestbed) -> None:
    testbed.run_playbook(PLAIN)
    _guests(testbed)
    before = testbed.host.run("nft", "list", "ruleset")
    definitions = testbed.define(SECURED)
    (change,) = testbed.task("bridge", definitions["bridges"])["changes"]
    assert change.startswith("bridge vn-lab: port_security off -> gateway, checked_ports ")
    assert not testbed.task("bridge", definitions["bridges"])["changed"]
    testbed.run_playbook(PLAIN)
    assert testbed.host.run("nft", "list", "ruleset") == before
    assert not list((testbed.root / "run/virtnet").glob("frame-filters*"))


def test_a_trusted_host_and_a_trusted_port_are_what_they_want(testbed: GuardTestbed) -> None:
    testbed.run_playbook(SECURED)
    sender, receiver = _guests(testbed)
    testbed.run_playbook(SECURED)
    frame = router_advertisement(sender, "fd00:bad::")
    assert not arrives(sender, receiver, frame)
    tap = min(_checked(testbed))
    for trusted in ({"trusted_hosts": [sender.mac]}, {"trusted_ports": [tap]}):
        testbed.run_playbook({**SECURED, "port_security": {"level": "gateway", **trusted}})
        assert arrives(sender, receiver, frame)
        testbed.run_playbook(SECURED)
        assert not arrives(sender, receiver, frame)


def test_ports_of_the_host_are_not_checked(testbed: GuardTestbed) -> None:
    testbed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "peer9")
    testbed.run_playbook({**SECURED, "bridge": {"ports": ["eth9"]}})
    sender, _receiver = _guests(testbed)
    testbed.run_playbook({**SECURED, "bridge": {"ports": ["eth9"]}})
    assert len(_checked(testbed)) == 2
    assert "eth9" not in _checked(testbed)
    assert sender.namespace.pings(GATEWAY)


def test_the_guard_checks_ports_that_are_plugged_in_and_forgets_those_that_leave(testbed: GuardTestbed) -> None:
    testbed.run_playbook(SECURED)
    testbed.start_guard()
    _guests(testbed)
    wait_until(lambda: len(_checked(testbed)) == 2)
    first, second = sorted(_checked(testbed))
    assert f"The frames of {first} on vn-lab are checked." in testbed.journal
    testbed.host.run("ip", "link", "set", first, "nomaster")
    wait_until(lambda: _checked(testbed) == {second})
    testbed.host.run("ip", "link", "set", first, "master", "vn-lab")
    wait_until(lambda: _checked(testbed) == {first, second})
    testbed.host.run("ip", "link", "set", first, "down")
    testbed.host.run("ip", "link", "set", first, "name", "other")
    wait_until(lambda: _checked(testbed) == {"other", second})
    testbed.host.run("ip", "link", "delete", "other")
    wait_until(lambda: _checked(testbed) == {second})
    testbed.host.run("ip", "link", "delete", "vn-lab")
    wait_until(lambda: testbed.link("vn-lab") is not None and _checked(testbed) == {second})
    wait_until(lambda: "All is well" in testbed.command("check", check=False))


def test_a_port_that_nft_refused_for_a_moment_is_checked_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "bin" / "nft"
    refusing.parent.mkdir()
    monkeypatch.setenv("PATH", str(refusing.parent), prepend=":")
    (tmp_path / "host").mkdir()
    with new_testbed(tmp_path / "host") as testbed:
        testbed.run_playbook(SECURED)
        testbed.start_guard()
        wait_until(testbed.has_nothing_scheduled)
        refusing.write_text("#!/bin/sh\necho busy >&2\nexit 1\n")
        refusing.chmod(0o755)
        _guests(testbed)
        wait_until(lambda: "Cannot change whose frames are checked" in testbed.journal)
        refusing.unlink()
        wait_until(lambda: len(_checked(testbed)) == 2)


@pytest.mark.parametrize(
    "fault",
    [
        "flush chain bridge virtnet in_vn-lab",
        "flush chain bridge virtnet prerouting",
        "flush map bridge virtnet ports",
        "flush set bridge virtnet gateways",
        "delete table bridge virtnet",
        "add rule bridge virtnet in_vn-lab accept",
        "delete table bridge virtnet; add table bridge virtnet; add set bridge virtnet ports { type ether_addr; }",
    ],
)
def test_the_guard_repairs_the_filter(testbed: GuardTestbed, fault: str) -> None:
    testbed.run_playbook(SECURED)
    sender, receiver = _guests(testbed)
    testbed.run_playbook(SECURED)
    testbed.start_guard()
    wait_until(testbed.has_read_all_events)
    intact = testbed.host.run("nft", "list", "table", "bridge", "virtnet")
    testbed.host.run("nft", fault)
    wait_until(lambda: testbed.host.run("nft", "list", "table", "bridge", "virtnet", check=False) == intact)
    wait_until(lambda: "Repaired: bridge vn-lab" in testbed.journal)
    assert not arrives(sender, receiver, gratuitous_arp(sender.mac, GATEWAY))


def test_two_networks_are_filtered_apart(testbed: GuardTestbed) -> None:
    more: dict[str, Any] = {
        **network_without_services("more", ipv4={"address": "192.168.41.1/24"}),
        "port_security": {"level": "gateway"},
    }
    testbed.run_playbook(SECURED, more)
    sender, receiver = _guests(testbed)
    testbed.run_playbook(SECURED, more)
    assert not arrives(sender, receiver, gratuitous_arp(sender.mac, GATEWAY))
    testbed.run_playbook(SECURED, {"name": "more", "state": "absent"})
    assert not arrives(sender, receiver, gratuitous_arp(sender.mac, GATEWAY))
    testbed.run_playbook({"name": "lab", "state": "absent"}, {"name": "more", "state": "absent"})
    assert "bridge virtnet" not in testbed.host.run("nft", "list", "tables")


def test_names_of_ports_that_are_words_of_nft_are_checked(testbed: GuardTestbed) -> None:
    testbed.run_playbook(SECURED)
    for i, name in enumerate(("accept", "drop", "1", "a=b", "@set", "tap*", 'x"y')):
        testbed.host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"peer{i}")
        testbed.host.run("ip", "link", "set", name, "master", "vn-lab")
    result = testbed.task("bridge", testbed.define(SECURED)["bridges"])
    assert _checked(testbed) == {"accept", "drop", "1", "a=b", "@set"}
    (note,) = result["warnings"]
    assert note.startswith("bridge 'vn-lab': the frames of 'tap*', 'x\"y' are not checked")
