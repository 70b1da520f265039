# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What limits how fast guests receive: what leaves a bridge beyond its rate waits in a token bucket (tc-htb(8)).

It is set by ``tc`` and read through netlink itself (include/uapi/linux/{rtnetlink,pkt_sched}.h), since what ``tc``
prints is rounded and differs between its versions.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..core.command import run
from ..core.errors import CommandFailed
from .bandwidth import KILOBYTES, Limit

# Numbers that nobody else is likely to use ("vn"), as the mark that a queue is ours.
_MAJOR = 0x766E
_ROOT, _CLASS, _LEAF = _MAJOR << 16, _MAJOR << 16 | 1, (_MAJOR + 1) << 16

_GET_QDISC, _GET_CLASS = 38, 42
_REQUEST_DUMP = 0x1 | 0x300
_ERROR, _DONE = 2, 3
_AT_ROOT = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BxHiIII")
# struct tc_htb_opt: two rates with their tables' geometry, two buckets in ticks.
_HTB = struct.Struct("=8xI8xIII")
_TICK = 64e-9
_GRAIN = 1e-6 + 2 * _TICK
_PATIENCE = 10.0

# Seconds of traffic that may wait; what comes then is dropped, which is how TCP learns how fast it may be.
_WAIT = 0.2
_LEAST_WAIT = 128 * 1024


@dataclass(frozen=True)
class Shape:
    """A token bucket: bytes a second on average and at most, and both buckets in bytes."""

    rate: int
    ceil: int
    burst: int
    cburst: int

    @staticmethod
    def of(limit: Limit) -> Shape:
        """The bucket of a limit. Without a peak a burst is as fast as the link."""
        rate, ceil = limit.average * KILOBYTES, (limit.peak or limit.average) * KILOBYTES
        least = Limit(1).bucket
        return Shape(rate, ceil, limit.bucket, limit.bucket if limit.peak is None else min(limit.bucket, least))

    @property
    def waiting(self) -> int:
        """How many bytes may wait."""
        return min(max(int(self.rate * _WAIT), _LEAST_WAIT), 2**31)

    def equals(self, other: Shape) -> bool:
        """Whether tc and the kernel would make the same of both: they count buckets in microseconds and ticks."""
        return (self.rate, self.ceil) == (other.rate, other.ceil) and all(
            abs(mine - its) <= _GRAIN * rate + 1
            for mine, its, rate in ((self.burst, other.burst, self.rate), (self.cburst, other.cburst, self.ceil))
        )

    def __str__(self) -> str:
        peak = f", {self.ceil // KILOBYTES} kB/s" if self.ceil != self.rate else ""
        return f"{self.rate // KILOBYTES} kB/s{peak} in bursts of {round(self.burst / 1024)} KiB"


@dataclass(frozen=True)
class Queue:
    """What a device has: ``root`` is the kind of a queue that somebody else made, '' for none or ours.

    ``waiting``: how many bytes may wait.
    """

    root: str = ""
    ours: bool = False
    shape: Shape | None = None
    waiting: int = 0


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


@dataclass(frozen=True)
class _Heard:
    index: int
    handle: int
    parent: int
    kind: str
    options: bytes


def _dump(link: socket.socket, kind: int, index: int = 0) -> Iterator[_Heard]:
    body = _MESSAGE.pack(0, 0, index, 0, 0, 0)
    link.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
    while True:
        data, at = link.recv(1 << 18), 0
        while at + _HEADER.size <= len(data):
            length, answer, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
            payload = data[at + _HEADER.size : at + length]
            if answer in (_DONE, _ERROR):
                return
            _family, _pad, its, handle, above, _info = _MESSAGE.unpack_from(payload)
            parts = _attributes(payload[_MESSAGE.size :])
            name = parts.get(1, b"").rstrip(b"\0").decode("ascii", "replace")
            yield _Heard(its, handle, above, name, parts.get(2, b""))
            at += (length + 3) & ~3


def read_queues(indexes: Collection[int]) -> dict[int, Queue]:
    """The queues of these devices, where they have any; raises CommandFailed."""
    found: dict[int, Queue] = {}
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
            link.settimeout(_PATIENCE)
            listed = [one for one in _dump(link, _GET_QDISC) if one.index in indexes]
            for index in {one.index for one in listed if one.handle}:
                found[index] = _queue(link, index, [one for one in listed if one.index == index])
    except OSError as error:
        raise CommandFailed(f"the queues of the host's links cannot be listed: {error}") from error
    return found


def _queue(link: socket.socket, index: int, listed: Sequence[_Heard]) -> Queue:
    root = next((one for one in listed if one.parent == _AT_ROOT and one.handle), None)
    ours = root is not None and (root.kind, root.handle) == ("htb", _ROOT)
    shapes = [one for one in _dump(link, _GET_CLASS, index) if one.handle == _CLASS] if ours else []
    waiting = [one for one in listed if one.handle == _LEAF and one.parent == _CLASS and one.kind == "bfifo"]
    return Queue(
        root="" if root is None or ours else root.kind,
        ours=ours,
        shape=_shape(shapes[0].options) if shapes else None,
        waiting=struct.unpack_from("=I", waiting[0].options)[0] if waiting else 0,
    )


def _shape(options: bytes) -> Shape:
    parts = _attributes(options)
    rate, ceil, burst, cburst = _HTB.unpack_from(parts[1])
    # TCA_HTB_RATE64, TCA_HTB_CEIL64: what does not fit into 32 bits.
    rate = struct.unpack("=Q", parts[6])[0] if 6 in parts else rate
    ceil = struct.unpack("=Q", parts[7])[0] if 7 in parts else ceil
    return Shape(rate, ceil, round(burst * _TICK * rate), round(cburst * _TICK * ceil))


@dataclass(frozen=True)
class SetQueues:
    """Commands for ``tc -batch`` (tc(8))."""

    commands: Sequence[str]

    def make(self) -> None:
        """Carry them out; raises MissingTool, CommandFailed."""
        try:
            run(["tc", "-batch", "-"], stdin="".join(f"{command}\n" for command in self.commands))
        except CommandFailed as error:
            raise CommandFailed(f"{explained(str(error))} ({'; '.join(self.commands)})") from error


def explained(said: str) -> str:
    """What ``tc`` said, in words for who lacks a module of the kernel."""
    if "kind is unknown" in said or "Failed to load" in said or "Operation not supported" in said:
        return (
            "the kernel of this host cannot limit inbound bandwidth: it needs its module sch_htb, which some "
            f"distributions have in a package of its own; install that, or leave bandwidth.inbound out: {said}"
        )
    return said


def shaped(device: str, shape: Shape, queue: Queue) -> list[str]:
    """What it takes that what leaves a device has this shape, in place; none where it has."""
    commands = []
    if not queue.ours:
        commands.append(f"qdisc replace dev {device} root handle {_MAJOR:x}: htb default 1")
    if queue.shape is None or not shape.equals(queue.shape):
        commands.append(
            f"class replace dev {device} parent {_MAJOR:x}: classid {_MAJOR:x}:1 htb rate {shape.rate * 8}bit "
            f"ceil {shape.ceil * 8}bit burst {shape.burst}b cburst {shape.cburst}b quantum 65536"
        )
    if queue.waiting != shape.waiting:
        commands.append(
            f"qdisc replace dev {device} parent {_MAJOR:x}:1 handle {_MAJOR + 1:x}: bfifo limit {shape.waiting}"
        )
    return commands


def unshaped(device: str, queue: Queue) -> list[str]:
    """What it takes that what leaves a device has no shape of ours."""
    return [f"qdisc delete dev {device} root"] if queue.ours else []
