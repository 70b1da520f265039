# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Families of distributions: the names of their packages, and where their dnsmasq keeps its leases.

What they have in common is not here: the unit dnsmasq.service, the user dnsmasq, the folder /etc/dnsmasq.d. What can be
seen on a host is read there: where programs are, which files dnsmasq reads, whether its user exists and in which group.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .files import read_text

DEBIAN = "Debian"

# The program dnsmasq alone, without a service, for private instances.
DNSMASQ_PROGRAM = "dnsmasq (program)"
LIBVIRT_DRIVER = "libvirt's network driver"


@dataclass(frozen=True)
class Family:
    """``ids``: of os-release(5). ``packages``: by program or library. ``leases``: the lease file unless it is set."""

    name: str
    ids: frozenset[str]
    packages: Mapping[str, str]
    leases: str


# By the names that most families have.
_COMMON = {
    "ip": "iproute2",
    "ss": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "dnsmasq": "dnsmasq",
    DNSMASQ_PROGRAM: "dnsmasq",
    "pyroute2": "python3-pyroute2",
    "libvirt": "python3-libvirt",
    "lxml": "python3-lxml",
    "systemctl": "systemd",
    "resolvconf": "openresolv",
    "iptables-nft": "iptables",
    "ip6tables-nft": "iptables",
    "firewall-cmd": "firewalld",
    **dict.fromkeys(("ovs-vsctl", "ovs-appctl", "ovs-dpctl"), "openvswitch"),
    LIBVIRT_DRIVER: "libvirt-daemon-driver-network",
}
# dnsmasq's own default (src/config.h), and that of Fedora's patch.
LEASE_FILES = ("var/lib/misc/dnsmasq.leases", "var/lib/dnsmasq/dnsmasq.leases")
_MISC, _OWN_FOLDER = LEASE_FILES

FAMILIES = (
    Family(
        DEBIAN,
        frozenset({"debian", "ubuntu"}),
        {
            **_COMMON,
            # Debian's dnsmasq brings a service that starts at once, and holds the ports.
            DNSMASQ_PROGRAM: "dnsmasq-base",
            **dict.fromkeys(("ovs-vsctl", "ovs-appctl", "ovs-dpctl"), "openvswitch-switch"),
            LIBVIRT_DRIVER: "libvirt-daemon-system",
        },
        _MISC,
    ),
    Family(
        "RedHat",
        frozenset({"rhel", "fedora", "centos"}),
        {
            **_COMMON,
            "ip": "iproute",
            "ss": "iproute",
            "tc": "iproute-tc",
            **dict.fromkeys(("iptables-nft", "ip6tables-nft"), "iptables-nft"),
        },
        _OWN_FOLDER,
    ),
    Family(
        "SUSE",
        frozenset({"suse", "opensuse", "sles", "sled", "opensuse-leap", "opensuse-tumbleweed"}),
        {
            **_COMMON,
            "libvirt": "python3-libvirt-python",
            **dict.fromkeys(("iptables-nft", "ip6tables-nft"), "iptables-backend-nft"),
        },
        _MISC,
    ),
    Family(
        "Arch",
        frozenset({"arch", "archarm"}),
        {
            **_COMMON,
            "pyroute2": "python-pyroute2",
            "libvirt": "libvirt-python",
            "lxml": "python-lxml",
            LIBVIRT_DRIVER: "libvirt",
        },
        _MISC,
    ),
)
_BY_NAME = {family.name: family for family in FAMILIES}


@dataclass(frozen=True)
class Distribution:
    """What os-release(5) says of a host; ``family``: "" for one that is not in FAMILIES."""

    id: str = ""
    title: str = ""
    family: str = ""

    def package(self, tool: str) -> str:
        """The package of a program or library; the name of most families where the family is unknown."""
        family = _BY_NAME.get(self.family)
        return (_COMMON if family is None else family.packages).get(tool, tool)

    @property
    def leases(self) -> str:
        """The lease file of the system's dnsmasq, below the root, unless its configuration names another one."""
        family = _BY_NAME.get(self.family)
        return _MISC if family is None else family.leases


def parse_distribution(os_release: str) -> Distribution:
    """From the text of os-release: the family that ID or, from left to right, ID_LIKE names."""
    values = dict(re.findall(r"^(ID|ID_LIKE|NAME|PRETTY_NAME)=[\"']?([^\"'\n]*)", os_release, re.MULTILINE))
    ids = [*values.get("ID", "").split(), *values.get("ID_LIKE", "").split()]
    families = (family.name for one in ids for family in FAMILIES if one in family.ids)
    title = values.get("PRETTY_NAME") or values.get("NAME") or values.get("ID", "")
    return Distribution(values.get("ID", ""), title, next(families, ""))


def read_distribution(root: str = "/") -> Distribution:
    """The distribution of a host (os-release(5))."""
    paths = (os.path.join(root, folder, "os-release") for folder in ("etc", "usr/lib"))
    return parse_distribution(next(filter(None, map(read_text, paths)), ""))


def package_of(tool: str) -> str:
    """The package of a program or library on this host."""
    return read_distribution().package(tool)
