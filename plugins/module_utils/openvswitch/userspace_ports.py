# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports of the userspace datapath of Open vSwitch, which stay links of the host: the host's IP stack must ignore them.

The kernel passes each frame of such a port both to ovs-vswitchd and to its own IP stack (Documentation/intro/install/
userspace of Open vSwitch, "Firewall Rules"). That stack would answer ARP instead of the bridge, and forward guests'
packets past all our rules. With the settings here it answers and forwards nothing. The kernel datapath needs none of
this: it takes the frames away.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core.files import read_text
from ..kernel.link_changes import SetSysctl
from ..kernel.links import sysctl_path

# Settings of one link by family and name: no ARP, no forwarding, nothing from addresses of other links, no IPv6
# (Documentation/networking/ip-sysctl.rst).
_DISABLED = {"ipv4/arp_ignore": "8", "ipv4/forwarding": "0", "ipv4/rp_filter": "1", "ipv6/disable_ipv6": "1"}

# Key in external_ids of a port: the settings of its link before it became a port.
SAVED_SETTINGS = "virtnet-before"


def read_ip_settings(proc_sys: str, link: str) -> dict[str, str]:
    """The current settings of a link, as far as this kernel has them."""
    values = {key: read_text(sysctl_path(proc_sys, link, key)) for key in _DISABLED}
    return {key: value.strip() for key, value in values.items() if value is not None}


def disable_ip_stack(link: str, current: Mapping[str, str]) -> list[SetSysctl]:
    """Steps after which the host's IP stack ignores a link with these settings."""
    return [
        SetSysctl(sysctl_path("/proc/sys", link, key), _DISABLED[key])
        for key in current
        if current[key] != _DISABLED[key]
    ]


def is_ip_stack_disabled(current: Mapping[str, str]) -> bool:
    """Whether the host's IP stack ignores a link with these settings."""
    return all(current[key] == _DISABLED[key] for key in current)


def saved_text(current: Mapping[str, str]) -> str:
    """The settings as text, for restore_ip_stack()."""
    return " ".join(f"{key}={value}" for key, value in sorted(current.items()))


def restore_ip_stack(link: str, saved: str) -> list[SetSysctl]:
    """Steps that restore the saved settings of a link; a text that is not ours restores nothing."""
    values = dict(item.partition("=")[::2] for item in saved.split())
    return [
        SetSysctl(sysctl_path("/proc/sys", link, key), values[key])
        for key in _DISABLED
        if values.get(key, "").isdecimal()
    ]
