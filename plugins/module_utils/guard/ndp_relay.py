# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers neighbour solicitations on an uplink for the guests of a network.

A router that takes all of a prefix for its own link asks there for the address of a guest. The relay asks for it on the
bridge, and when the guest answers, it answers the router with the MAC address of the uplink. So it needs no list of
addresses, finds guests that have sent nothing yet, and answers for none that is gone. The kernel keeps nothing of it.

Who asks for many addresses has limits: those of guests that have answered lately are always asked for, once a second at
most, and others by a rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Network

from ..kernel.links import interface_named
from ..kernel.ndp import ADVERTISEMENT, SOLICITATION, Message, NdpSocket, link_local
from ..network.model import Network

# Addresses of no known guest that the bridge is asked for, in a second, and at once.
_RATE, _BURST = 50.0, 100.0
# Seconds that a guest has to answer: who asks repeats it after one second, three times in all (RFC 4861 section 10).
_PATIENCE = 3.0
# Hosts that ask for the same address at once, such as two routers.
_ASKERS = 4
# Seconds in which an answer of a guest answers others who ask.
_FRESH = 1.0
# Guests that are known to answer, and seconds until one that nobody asks for is forgotten.
_KNOWN, _REMEMBERED = 1024, 600.0


@dataclass(frozen=True)
class NdpProxy:
    """What the guests of a network are answered for: the uplinks, and a prefix with own addresses of the host."""

    bridge: str
    uplinks: tuple[str, ...]
    prefix: IPv6Network
    own: tuple[bytes, ...]

    @staticmethod
    def of(networks: Iterable[Network]) -> tuple[NdpProxy, ...]:
        """Those of running networks."""
        return tuple(
            NdpProxy(
                network.bridge.name,
                tuple(network.uplinks),
                network.ipv6.address.network,
                (network.ipv6.address.ip.packed,),
            )
            for network in networks
            if network.ipv6.ndp_proxy and network.ipv6.address is not None
        )

    def __str__(self) -> str:
        return f"{self.prefix} on {', '.join(self.uplinks)}"


@dataclass
class Limiter:
    """What the bridge is asked for. Pure: times are arguments."""

    _tokens: float = _BURST
    _filled: float = 0.0
    # When each guest answered last, and when it was asked for last.
    _answered: dict[bytes, float] = field(default_factory=dict)
    _asked: dict[bytes, float] = field(default_factory=dict)

    def is_fresh(self, target: bytes, now: float) -> bool:
        """Whether a guest has answered just now."""
        return now - self._answered.get(target, -_FRESH) < _FRESH

    def may_ask(self, target: bytes, now: float) -> bool:
        """Whether to ask for an address; it then counts as asked for."""
        if now - self._asked.get(target, -_FRESH) < _FRESH / 2:
            return False
        if target not in self._answered:
            self._tokens = min(_BURST, self._tokens + (now - self._filled) * _RATE)
            self._filled = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
        self._asked[target] = now
        return True

    def answered(self, target: bytes, now: float) -> None:
        """Record the answer of a guest."""
        if target in self._answered or len(self._answered) < _KNOWN:
            self._answered[target] = now

    def forget(self, now: float) -> None:
        """Forget what is of no use any more."""
        self._answered = {target: time for target, time in self._answered.items() if now - time < _REMEMBERED}
        self._asked = {target: time for target, time in self._asked.items() if now - time < _PATIENCE}


class NdpRelay:
    """The sockets of one network, and who waits for which answer."""

    def __init__(self, proxy: NdpProxy) -> None:
        self.proxy = proxy
        self._bridge: NdpSocket | None = None
        self._uplinks: list[NdpSocket] = []
        self._limiter = Limiter()
        # Until when, and who has asked where, by the address.
        self._waiting: dict[bytes, tuple[float, list[tuple[NdpSocket, Message]]]] = {}
        self._swept = 0.0

    @property
    def sockets(self) -> list[NdpSocket]:
        """The open sockets."""
        return [*([] if self._bridge is None else [self._bridge]), *self._uplinks]

    def sync(self) -> None:
        """Open sockets on interfaces that have appeared, and close those on others that are gone."""
        former = {one.interface: one for one in self.sockets}
        self._bridge = self._open(self.proxy.bridge, ADVERTISEMENT, former)
        uplinks = [self._open(uplink, SOLICITATION, former) for uplink in self.proxy.uplinks]
        self._uplinks = [uplink for uplink in uplinks if uplink is not None]
        for one in former.values():
            if one not in self.sockets:
                one.close()

    def _open(self, name: str, kind: int, former: Mapping[str, NdpSocket]) -> NdpSocket | None:
        """The socket on an interface; None while there is none such."""
        interface = interface_named(name)
        if interface in former and former[interface].is_bound:
            return former[interface]
        try:
            return NdpSocket(interface, kind, self.proxy.prefix, all_multicast=kind == SOLICITATION)
        except OSError:
            return None

    def receive(self, source: NdpSocket, now: float) -> None:
        """Handle the messages that wait on one of the sockets."""
        for message in source.receive():
            if source is self._bridge:
                self._answer(message.target, now)
            else:
                self._ask(source, message, now)
        if now - self._swept > _PATIENCE:
            self._swept = now
            self._limiter.forget(now)
            self._waiting = {target: entry for target, entry in self._waiting.items() if entry[0] > now}

    def _ask(self, uplink: NdpSocket, asked: Message, now: float) -> None:
        if asked.target in self.proxy.own or self._limiter.is_fresh(asked.target, now):
            uplink.advertise(asked)
            return
        bridge = self._bridge
        may_ask = self._limiter.may_ask(asked.target, now)
        if bridge is None or not (may_ask or asked.target in self._waiting):
            return
        _until, askers = self._waiting.get(asked.target, (0.0, []))
        others = [(socket, other) for socket, other in askers if other.mac != asked.mac]
        self._waiting[asked.target] = now + _PATIENCE, [*others, (uplink, asked)][-_ASKERS:]
        if may_ask:
            bridge.solicit(asked.target, link_local(bridge.index) or self.proxy.own[0])

    def _answer(self, target: bytes, now: float) -> None:
        _until, askers = self._waiting.pop(target, (0.0, []))
        if askers:
            self._limiter.answered(target, now)
        for uplink, asked in askers:
            uplink.advertise(asked)
