# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules of the kernel for helpers of conntrack.

The kernel loads nf_conntrack_NAME when a helper is declared (nf_conntrack_helper_try_module_get() in its
net/netfilter/nf_conntrack_helper.c), but not nf_nat_NAME: without that, addresses in packets would stay the guest's.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping

from ..core.command import find, run
from ..nft.helpers import declarations
from ..nft.sets import FAMILY
from ..nft.spec import RulesSpec

_MODULES = "/sys/module"


def read_missing(helpers: Collection[str]) -> dict[str, str]:
    """The module that this kernel lacks, for each helper that it cannot have."""
    if not helpers or find("nft") is None:
        return {}
    problems = {helper: _missing_module(helper) for helper in sorted(helpers)}
    return {helper: module for helper, module in problems.items() if module}


def _missing_module(helper: str) -> str:
    objects = "\n".join(declarations([helper]).values())
    table = f"table {FAMILY} virtnet_check {{\n{objects}\n}}\n"
    conntrack, nat = f"nf_conntrack_{helper}", f"nf_nat_{helper}"
    if run(["nft", "-c", "-f", "-"], stdin=table, check=False).code:
        return conntrack
    # Both are in the kernel itself, or both are modules (NF_NAT_FTP in net/netfilter/Kconfig).
    is_module = os.path.exists(f"{_MODULES}/{conntrack}/initstate")
    if not is_module or os.path.exists(f"{_MODULES}/{nat}") or _modprobe("-n", nat):
        return ""
    return nat


def load_nat_modules(helpers: Iterable[str]) -> None:
    """Load what the kernel does not load by itself; what is in the kernel, or is loaded, stays as it is."""
    for helper in sorted(helpers):
        if not os.path.exists(f"{_MODULES}/nf_nat_{helper}"):
            _modprobe(f"nf_nat_{helper}")


def _modprobe(*arguments: str) -> bool:
    return find("modprobe") is not None and run(["modprobe", "-q", *arguments], check=False).code == 0


def missing_notes(present: Iterable[RulesSpec], missing: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each network whose helpers the kernel lacks; ``missing``: as ``read_missing`` returns it."""
    for spec in present:
        modules = [missing[helper] for helper in spec.rules.helpers if helper in missing]
        if modules:
            yield (
                f"network {spec.rules.name!r}: this kernel lacks {', '.join(modules)}, and until it has what "
                "conntrack_helpers needs, guests go without; install the package that has it, such as "
                "kernel-modules-extra"
            )
