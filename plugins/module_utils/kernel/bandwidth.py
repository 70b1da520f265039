# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``bandwidth`` of a network: how fast all its guests together may receive and send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
class Limit:
    """``average`` and ``peak`` in kilobytes a second, ``burst`` in kibibytes, as in libvirt; None: not given."""

    average: int
    peak: int | None = None
    burst: int | None = None

    @property
    def bucket(self) -> int:
        """How much may pass faster than on average, in bytes."""
        return (self.burst or _USUAL_BURST) * KIBIBYTES

    def as_options(self) -> dict[str, Any]:
        """The way back to the user's options."""
        return {"average": self.average, "peak": self.peak, "burst": self.burst}


@dataclass(frozen=True)
class Bandwidth:
    """``inbound`` is to the guests, ``outbound`` from them; None is without limit."""

    inbound: Limit | None = None
    outbound: Limit | None = None

    def as_options(self) -> dict[str, Any]:
        """The way back to the user's options."""
        return {
            way: None if limit is None else limit.as_options()
            for way, limit in (("inbound", self.inbound), ("outbound", self.outbound))
        }


def read_bandwidth(options: Options) -> Bandwidth:
    """Validate the option; raises InvalidOption."""
    found = Bandwidth(*(_read(options, way) for way in ("inbound", "outbound")))
    options.reject_unknown()
    return found


def _read(options: Options, way: str) -> Limit | None:
    one = options.group(way)
    if one.raw("floor", None) is not None:
        # networkValidate() in libvirt's src/network/bridge_driver.c.
        one.error("floor", "is a share guaranteed to a single guest; libvirt refuses it of a network too")
    limits = {name: one.integer(name, None, least=1, most=_MOST) for name in ("average", "peak", "burst")}
    one.reject_unknown()
    average, peak = limits["average"], limits["peak"]
    if average is None:
        if peak is not None or limits["burst"] is not None:
            one.error("average", "is required beside peak and burst: kilobytes a second")
        return None
    if peak is not None and peak < average:
        one.error("peak", f"{peak} is below the average {average}; raise it, or leave it out")
    limit = Limit(average, peak, limits["burst"])
    longest = min(average * KILOBYTES * _LONGEST_BURST // KIBIBYTES, _LARGEST_BURST)
    if limit.bucket > longest * KIBIBYTES:
        one.error("burst", f"{limit.burst} KiB is more than can be counted at {average} kB/s; use at most {longest}")
    return limit
