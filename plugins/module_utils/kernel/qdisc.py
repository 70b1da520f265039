# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limit of what guests receive: a bridge sends through a token bucket (tc-htb(8)), and the excess waits.

It is set by ``tc`` and read by netlink (include/uapi/linux/{rtnetlink,pkt_sched}.h), since the output of ``tc`` is
rounded and differs between its versions.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..core.command import run
from ..core.errors import CommandFailed
from . import netlink
from .bandwidth import KILOBYTES, Limit
from .netlink import attributes

# "vn": numbers that nobody else is likely to use mark our qdiscs.
_MAJOR = 0x766E
_ROOT, _CLASS, _LEAF = _MAJOR << 16, _MAJOR << 16 | 1, (_MAJOR + 1) << 16

# RTM_GETQDISC, RTM_GETTCLASS; TC_H_ROOT
_GET_QDISC, _GET_CLASS = 38, 42
_AT_ROOT = 0xFFFFFFFF
# struct tcmsg
_TC_MESSAGE = struct.Struct("=BxHiIII")
_KIND, _OPTIONS = 1, 2
# TCA_HTB_PARMS; TCA_HTB_RATE64 and TCA_HTB_CEIL64 are given for what does not fit into 32 bits.
_HTB_PARAMETERS, _HTB_RATE64, _HTB_CEIL64 = 1, 6, 7
# struct tc_htb_opt: two rates with their tables' geometry, two buckets in ticks.
_HTB = struct.Struct("=8xI8xIII")
_TICK = 64e-9
_GRAIN = 1e-6 + 2 * _TICK

# Seconds of traffic that may wait. More is dropped, by which TCP learns the rate.
_LONGEST_BACKLOG = 0.2
_LEAST_BACKLOG = 128 * 1024


@dataclass(frozen=True)
class HtbClass:
    """A token bucket: bytes a second on average and at most, and both buckets in bytes."""

    rate: int
    ceil: int
    burst: int
    cburst: int

    @staticmethod
    def of(limit: Limit) -> HtbClass:
        """The bucket of a limit. Without a peak a burst is as fast as the link."""
        rate, ceil = limit.average * KILOBYTES, (limit.peak or limit.average) * KILOBYTES
        least = Limit(1).bucket
        return HtbClass(rate, ceil, limit.bucket, limit.bucket if limit.peak is None else min(limit.bucket, least))

    @property
    def backlog_limit(self) -> int:
        """How many bytes may wait."""
        return min(max(int(self.rate * _LONGEST_BACKLOG), _LEAST_BACKLOG), 2**31)

    def equals(self, other: HtbClass) -> bool:
        """Whether both are the same within the precision of tc (microseconds) and of the kernel (ticks)."""
        return (
            (self.rate, self.ceil) == (other.rate, other.ceil)
            and abs(self.burst - other.burst) <= _GRAIN * self.rate + 1
            and abs(self.cburst - other.cburst) <= _GRAIN * self.ceil + 1
        )

    def __str__(self) -> str:
        peak = f", {self.ceil // KILOBYTES} kB/s" if self.ceil != self.rate else ""
        return f"{self.rate // KILOBYTES} kB/s{peak} in bursts of {round(self.burst / 1024)} KiB"


@dataclass(frozen=True)
class RootQdisc:
    """The root qdisc of a link.

    ``foreign_kind``: the kind of a qdisc that somebody else made, '' for none or ours. ``backlog_limit``: how many
    bytes may wait in ours.
    """

    foreign_kind: str = ""
    ours: bool = False
    htb_class: HtbClass | None = None
    backlog_limit: int = 0


@dataclass(frozen=True)
class _TcObject:
    """A qdisc or class of a link."""

    index: int
    handle: int
    parent: int
    kind: str
    options: bytes


def _dump(kernel: netlink.Connection, kind: int, index: int = 0) -> list[_TcObject]:
    return [_parse(body) for body in kernel.dump(kind, _TC_MESSAGE.pack(0, 0, index, 0, 0, 0))]


def _parse(body: bytes) -> _TcObject:
    _family, _pad, index, handle, parent, _info = _TC_MESSAGE.unpack_from(body)
    parts = dict(attributes(body, _TC_MESSAGE.size))
    return _TcObject(index, handle, parent, netlink.text(parts.get(_KIND, b"")), parts.get(_OPTIONS, b""))


def read_root_qdiscs(indexes: Collection[int]) -> dict[int, RootQdisc]:
    """The root qdiscs of these links, without links that have none; raises CommandFailed."""
    if not indexes:
        return {}
    try:
        with netlink.Connection(netlink.ROUTE) as kernel:
            qdiscs = [qdisc for qdisc in _dump(kernel, _GET_QDISC) if qdisc.index in indexes]
            return {
                index: _root_qdisc(kernel, index, [qdisc for qdisc in qdiscs if qdisc.index == index])
                for index in {qdisc.index for qdisc in qdiscs if qdisc.handle}
            }
    except OSError as error:
        # A kernel without traffic control has no qdiscs; there a limit is refused when it is set.
        if error.errno == errno.EOPNOTSUPP:
            return {}
        raise CommandFailed(f"the queues of the host's links cannot be listed: {error.strerror}") from error


def _root_qdisc(kernel: netlink.Connection, index: int, qdiscs: Sequence[_TcObject]) -> RootQdisc:
    root = next((qdisc for qdisc in qdiscs if qdisc.parent == _AT_ROOT and qdisc.handle), None)
    ours = root is not None and (root.kind, root.handle) == ("htb", _ROOT)
    classes = [each for each in _dump(kernel, _GET_CLASS, index) if each.handle == _CLASS] if ours else []
    leaves = [each for each in qdiscs if each.handle == _LEAF and each.parent == _CLASS and each.kind == "bfifo"]
    return RootQdisc(
        foreign_kind="" if root is None or ours else root.kind,
        ours=ours,
        htb_class=_parse_htb_class(classes[0].options) if classes else None,
        backlog_limit=struct.unpack_from("=I", leaves[0].options)[0] if leaves else 0,
    )


def _parse_htb_class(options: bytes) -> HtbClass:
    parts = dict(attributes(options))
    rate, ceil, burst, cburst = _HTB.unpack_from(parts[_HTB_PARAMETERS])
    rate = struct.unpack("=Q", parts[_HTB_RATE64])[0] if _HTB_RATE64 in parts else rate
    ceil = struct.unpack("=Q", parts[_HTB_CEIL64])[0] if _HTB_CEIL64 in parts else ceil
    return HtbClass(rate, ceil, round(burst * _TICK * rate), round(cburst * _TICK * ceil))


@dataclass(frozen=True)
class SetQdiscs:
    """Commands for ``tc -batch`` (tc(8))."""

    commands: Sequence[str]

    def apply(self) -> None:
        """Run them; raises MissingTool, CommandFailed."""
        try:
            run(["tc", "-batch", "-"], stdin="".join(f"{command}\n" for command in self.commands))
        except CommandFailed as error:
            raise CommandFailed(f"{explain_tc_error(str(error))} ({'; '.join(self.commands)})") from error


def explain_tc_error(error: str) -> str:
    """An error of ``tc``, with a remedy where the kernel lacks a module."""
    if "kind is unknown" in error or "Failed to load" in error or "Operation not supported" in error:
        return (
            "the kernel of this host cannot limit inbound bandwidth: it needs its module sch_htb, which some "
            f"distributions have in a package of its own; install that, or leave bandwidth.inbound out: {error}"
        )
    return error


def htb_commands(device: str, htb_class: HtbClass | None, current: RootQdisc) -> list[str]:
    """tc commands that set the egress limit of a link in place, None removes ours; none where nothing differs."""
    if htb_class is None:
        return [f"qdisc delete dev {device} root"] if current.ours else []
    commands = []
    if not current.ours:
        commands.append(f"qdisc replace dev {device} root handle {_MAJOR:x}: htb default 1")
    if current.htb_class is None or not htb_class.equals(current.htb_class):
        commands.append(
            f"class replace dev {device} parent {_MAJOR:x}: classid {_MAJOR:x}:1 htb rate {htb_class.rate * 8}bit "
            f"ceil {htb_class.ceil * 8}bit burst {htb_class.burst}b cburst {htb_class.cburst}b quantum 65536"
        )
    if current.backlog_limit != htb_class.backlog_limit:
        commands.append(
            f"qdisc replace dev {device} parent {_MAJOR:x}:1 handle {_MAJOR + 1:x}: bfifo limit "
            f"{htb_class.backlog_limit}"
        )
    return commands
