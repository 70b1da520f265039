# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports of Open vSwitch's userspace datapath, which stay links of the host: its own stack is kept from them.

The kernel hands each frame of such a port to ovs-vswitchd *and* to its own stack (Documentation/intro/install/userspace
of Open vSwitch, "Firewall Rules"). That would answer ARP in the bridge's place and forward guests' packets past all our
rules. With these settings it answers and forwards nothing; the kernel's datapath takes frames away and needs none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..core.files import read_text
from ..kernel.link_changes import SetSysctl

# Of one link, family and name: no ARP, no forwarding, nothing from addresses that are elsewhere, no IPv6
# (Documentation/networking/ip-sysctl.rst).
_SHUT = {"ipv4/arp_ignore": "8", "ipv4/forwarding": "0", "ipv4/rp_filter": "1", "ipv6/disable_ipv6": "1"}

# In external_ids of a port: what the settings were before.
BEFORE = "virtnet-before"


def _path(proc_sys: str, link: str, key: str) -> str:
    family, name = key.split("/")
    return os.path.join(proc_sys, "net", family, "conf", link, name)


def read_stack(proc_sys: str, link: str) -> dict[str, str]:
    """The settings of a link; those that this kernel has."""
    values = {key: read_text(_path(proc_sys, link, key)) for key in _SHUT}
    return {key: value.strip() for key, value in values.items() if value is not None}


def shut(link: str, have: Mapping[str, str]) -> list[SetSysctl]:
    """What keeps the host's stack from a link."""
    return [SetSysctl(_path("/proc/sys", link, key), _SHUT[key]) for key in have if have[key] != _SHUT[key]]


def is_shut(have: Mapping[str, str]) -> bool:
    """Whether the host's stack is kept from a link that has these settings."""
    return all(have[key] == _SHUT[key] for key in have)


def note(have: Mapping[str, str]) -> str:
    """The settings as a text, for reopen()."""
    return " ".join(f"{key}={value}" for key, value in sorted(have.items()))


def reopen(link: str, noted: str) -> list[SetSysctl]:
    """What gives a link back its settings; a note that is none of ours gives nothing."""
    values = dict(item.partition("=")[::2] for item in noted.split())
    return [SetSysctl(_path("/proc/sys", link, key), values[key]) for key in _SHUT if values.get(key, "").isdecimal()]
