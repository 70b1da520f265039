# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``bandwidth`` of a network: how fast all its guests together may receive and send."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import kinds
from ..core.fields import Kind, OptionTable, option, read_all, required
from ..core.options import Options

# As tc(8) takes libvirt's numbers (virNetDevBandwidthSet()): "kbps" is 1000 bytes a second, "kb" 1024 bytes.
KILOBYTES = 1000
KIBIBYTES = 1024

# 80 Gbit/s: the kernel counts policers in 64 bits of bytes times nanoseconds (nft_limit_init()).
_MOST = 10_000_000
# The kernel counts a bucket in ticks of 64 ns (include/net/pkt_sched.h: PSCHED_SHIFT), 32 bits of them: 274 s.
_LONGEST_BURST = 240
# And its bytes in 32 bits.
_LARGEST_BURST = 2**32 // KIBIBYTES - 1
# What one packet can be that the network card or a guest cuts into frames later (GSO_LEGACY_MAX_SIZE).
_USUAL_BURST = 64


@dataclass(frozen=True)
class Limit(OptionTable):
    """``average`` and ``peak`` in kilobytes a second, ``burst`` in kibibytes, as in libvirt; None: not given."""

    average: int = required(kinds.integer(1, _MOST))
    peak: int | None = option(kinds.integer(1, _MOST), None)
    burst: int | None = option(kinds.integer(1, _MOST), None)

    @property
    def bucket(self) -> int:
        """Bytes that may pass faster than the average."""
        return (self.burst or _USUAL_BURST) * KIBIBYTES


def _read_limit(options: Options) -> Limit | None:
    if options.raw("floor", None) is not None:
        # networkValidate() in libvirt's src/network/bridge_driver.c.
        options.error("floor", "is a share guaranteed to a single guest; libvirt refuses it of a network too")
    no_average = {} if options.given("average") else {"average": 0}
    limit = read_all(Limit, options, **no_average)
    if no_average:
        if limit.peak is not None or limit.burst is not None:
            options.error("average", "is required beside peak and burst: kilobytes a second")
        return None
    if limit.peak is not None and limit.peak < limit.average:
        options.error("peak", f"{limit.peak} is below the average {limit.average}; raise it, or leave it out")
    longest = min(limit.average * KILOBYTES * _LONGEST_BURST // KIBIBYTES, _LARGEST_BURST)
    if limit.bucket > longest * KIBIBYTES:
        options.error(
            "burst", f"{limit.burst} KiB is more than can be counted at {limit.average} kB/s; use at most {longest}"
        )
    return limit


_LIMIT: Kind[Limit | None] = Kind(
    lambda options, name: _read_limit(options.group(name)),
    "dict",
    write=lambda limit: limit and limit.as_options(),
    table=Limit,
)


@dataclass(frozen=True)
class Bandwidth(OptionTable):
    """Limits of all guests of a network together: ``inbound`` to them, ``outbound`` from them. None: no limit."""

    inbound: Limit | None = option(_LIMIT, None)
    outbound: Limit | None = option(_LIMIT, None)


def read_bandwidth(options: Options) -> Bandwidth:
    """The option ``bandwidth``; raises InvalidOption."""
    return read_all(Bandwidth, options)
