# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Frames that no honest guest sends, byte for byte, and captures of what arrives."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kernel import dnsmasq_testbed, testbed

BROADCAST = "ff:ff:ff:ff:ff:ff"
_ALL = 0x0003
_IPV4, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
_UDP, _ICMPV6 = 17, 58
_ALL_NODES = "ff02::1"


def in_namespace(namespace: testbed.Namespace) -> contextlib.AbstractContextManager[None]:
    """The block, in its thread, runs in a namespace."""
    return dnsmasq_testbed.NamedNamespace(namespace.name).entered()


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """The block, and all that it starts, runs on one processor: there the kernel keeps the order of frames."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Nic:
    """The interface of a guest, with the addresses that belong to it."""

    namespace: testbed.Namespace
    mac: str
    link_local: str

    @staticmethod
    def of(namespace: testbed.Namespace) -> Nic:
        mac = namespace.json("ip", "-j", "link", "show", "eth0")[0]["address"]
        first, *rest = bytes.fromhex(mac.replace(":", ""))
        # RFC 4291 appendix A; the kernel's default for a link-local address.
        identity = bytes([first ^ 2, *rest[:2], 0xFF, 0xFE, *rest[2:]])
        return Nic(namespace, mac, socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + identity))

    def send(self, *frames: bytes) -> None:
        with in_namespace(self.namespace), _socket() as wire:
            for frame in frames:
                wire.send(frame)


def _socket() -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    wire.bind(("eth0", _ALL))
    return wire


class FrameCapture:
    """All frames that arrive at the interface of a guest."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire

    def read_frames(self) -> list[bytes]:
        """The frames that have arrived since the last call."""
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, (_name, _protocol, kind, *_rest) = self._wire.recvfrom(4096, socket.MSG_DONTWAIT)
                frames += [] if kind == socket.PACKET_OUTGOING else [data]
        return frames

    def contains(self, text: bytes) -> bool:
        """Whether any frame since the last call contains these bytes."""
        return any(text in frame for frame in self.read_frames())


@contextlib.contextmanager
def capture_frames(namespace: testbed.Namespace) -> Iterator[FrameCapture]:
    """Capture the frames that arrive at this guest during the block."""
    with in_namespace(namespace):
        wire = _socket()
    with wire:
        yield FrameCapture(wire)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ethernet(target: str, source: str, kind: int, payload: bytes) -> bytes:
    return _mac(target) + _mac(source) + struct.pack("!H", kind) + payload


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def gratuitous_arp(mac: str, address: str, target: str = BROADCAST) -> bytes:
    """A gratuitous ARP reply (RFC 5227): this address is at this MAC."""
    own = _mac(mac) + socket.inet_aton(address)
    return _ethernet(target, mac, _ARP, struct.pack("!HHBBH", 1, _IPV4, 6, 4, 2) + own + own)


def udp(nic: Nic, gateway: str, source: str, target: str, port: int, text: bytes, own_mac: str = "") -> bytes:
    """A UDP packet with any source address, sent to a MAC."""
    datagram = struct.pack("!HHHH", port, port, 8 + len(text), 0) + text
    if ":" in source:
        datagram = with_checksum(datagram, 6, source, target, _UDP)
    return ip(nic, gateway, source, target, _UDP, datagram, own_mac)


def ip(nic: Nic, gateway: str, source: str, target: str, protocol: int, payload: bytes, own_mac: str = "") -> bytes:
    """An IP packet of either family with any payload, sent to a MAC."""
    if ":" in source:
        return _ipv6(nic, gateway, _address_pair(source, target), protocol, 64, payload)
    return _ethernet(gateway, own_mac or nic.mac, _IPV4, ipv4_packet(source, target, protocol, payload))


def ipv4_packet(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """Header (RFC 791 section 3.1) and payload."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    return head[:10] + struct.pack("!H", checksum(head + addresses)) + addresses + payload


def ipv6_packet(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """Header (RFC 8200 section 3) and payload."""
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + _address_pair(source, target) + payload


def with_checksum(payload: bytes, offset: int, source: str, target: str, protocol: int) -> bytes:
    """The payload with a checksum at an offset, over the pseudo header too (RFC 9293 section 3.1, RFC 8200 8.1)."""
    addresses = _address_pair(source, target) if ":" in source else socket.inet_aton(source) + socket.inet_aton(target)
    # The sum is the same for both forms of the pseudo header, because all other bytes of it are zero.
    value = checksum(addresses + struct.pack("!II", len(payload), protocol) + payload)
    return payload[:offset] + struct.pack("!H", value) + payload[offset + 2 :]


def _address_pair(source: str, target: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)


def _ipv6(nic: Nic, target: str, addresses: bytes, protocol: int, hops: int, payload: bytes) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops)
    return _ethernet(target, nic.mac, _IPV6, head + addresses + payload)


def _to_all_nodes(nic: Nic, message: bytes) -> bytes:
    addresses = _address_pair(nic.link_local, _ALL_NODES)
    value = checksum(addresses + struct.pack("!II", len(message), _ICMPV6) + message)
    message = message[:2] + struct.pack("!H", value) + message[4:]
    return _ipv6(nic, "33:33:00:00:00:01", addresses, _ICMPV6, 255, message)


def neighbour_advertisement(nic: Nic, address: str) -> bytes:
    """A neighbour advertisement that overrides a known entry (RFC 4861 section 4.4)."""
    head = struct.pack("!BBHI", 136, 0, 0, 0x20000000)
    return _to_all_nodes(nic, head + socket.inet_pton(socket.AF_INET6, address) + b"\x02\x01" + _mac(nic.mac))


def neighbour_solicitation(nic: Nic, address: str) -> bytes:
    """A neighbour solicitation to the group of an address (RFC 4861 section 4.3, RFC 4291 section 2.7.1)."""
    target = socket.inet_pton(socket.AF_INET6, address)
    group = bytes.fromhex("ff0200000000000000000001ff") + target[-3:]
    message = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\x01\x01" + _mac(nic.mac)
    asker, everybody = nic.link_local, socket.inet_ntop(socket.AF_INET6, group)
    message = with_checksum(message, 2, asker, everybody, _ICMPV6)
    group_mac = "33:33:" + group[-4:].hex(":")
    return _ipv6(nic, group_mac, _address_pair(asker, everybody), _ICMPV6, 255, message)


def router_advertisement(nic: Nic, prefix: str) -> bytes:
    """A router advertisement of a prefix (RFC 4861 sections 4.2 and 4.6.2)."""
    head = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    prefixed = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0)
    return _to_all_nodes(nic, head + prefixed + socket.inet_pton(socket.AF_INET6, prefix))
