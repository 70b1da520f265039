# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private instances of dnsmasq: which networks share one, the files of each, the unit that runs them. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.paths import Paths
from .render import HEADER
from .spec import FragmentSpec

# Names of instances: the system's dnsmasq, and the private instance of several networks. Any other private instance
# has the name of its network, which is not empty and does not start with an underscore.
SYSTEM_DNSMASQ = ""
SHARED = "_shared"
# dnsmasq wants a default domain with dhcp-fqdn; each network there has one of its own (private use, ICANN 2024).
_DEFAULT_DOMAIN = "virtnet.internal"
_FULL_NAMES_ONLY = "dhcp-fqdn"
# Since this version dnsmasq can be silent about itself (queries of class CHAOS).
_SILENT_SINCE = (2, 89)

TEMPLATE = "virtnet-dnsmasq@.service"
_STUB = "127.0.0.53"

# A guest has lines written by asking (DHCPINFORM, DHCPDISCOVER). journald takes some times as many where its disk has
# room, by default from 10000 on (systemd.exec(5), journald.conf(5)); 1000 guests that start at once cause 4000 lines.
LOG_LIMIT = """\
LogRateLimitIntervalSec=30s
LogRateLimitBurst=1000
"""

# User text never gets here: names of networks and interfaces were checked to the letter.
_MEMBER = re.compile(r"^interface=(\S+)\nconf-file=\S*/([^/\s]+)\.conf$", re.MULTILINE)

# dnsmasq needs to bind to low ports, also to those of addresses that come later, to send to guests that have no
# address yet (it writes their ARP entries), and for ICMP: pings before offers, router advertisements.
_UNIT = """\
# Written by virtnet.linux; changes are lost. Put yours into virtnet-dnsmasq@.service.d/*.conf.
[Unit]
Description=DHCP and DNS of virtual networks (%i)
After=local-fs.target network-pre.target virtnet.service
Before=virtnet-resolver.service nss-lookup.target
ConditionPathExists={instances}/%i.conf
StartLimitIntervalSec=60
StartLimitBurst=20

[Service]
# It goes into the background when its sockets are bound and its files are read: then it is started.
Type=forking
PIDFile=/run/virtnet-dnsmasq/%i/pid
ExecStart={program} --conf-file={instances}/%i.conf --pid-file=/run/virtnet-dnsmasq/%i/pid
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=100ms
User=dnsmasq
RuntimeDirectory=virtnet-dnsmasq/%i
StateDirectory=virtnet/dnsmasq
AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_NET_ADMIN
{log_limit}# About four sockets for each network.
LimitNOFILE=8192
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Member:
    """A network of an instance."""

    network: str
    interface: str


@dataclass(frozen=True)
class Layout:
    """Where the files of private instances are."""

    paths: Paths

    def fragment(self, network: str) -> str:
        """The fragment of a network."""
        return os.path.join(self.paths.private_fragments, f"{network}.conf")

    def instance(self, name: str) -> str:
        """What an instance reads first."""
        return os.path.join(self.paths.private_instances, f"{name}.conf")

    def leases(self, name: str) -> str:
        """The leases of an instance."""
        return os.path.join(self.paths.private_leases, f"{name}.leases")

    @property
    def template(self) -> str:
        """The unit of them all."""
        return os.path.join(self.paths.units, TEMPLATE)

    @property
    def links(self) -> str:
        """The folder of what systemd starts at boot."""
        return os.path.join(self.paths.units, "multi-user.target.wants")

    def link(self, name: str) -> str:
        """What has an instance started at boot."""
        return os.path.join(self.links, unit_name(name))

    def instances_in(self, units: Iterable[str]) -> list[str]:
        """The instances among names of units."""
        start, end = TEMPLATE.split("@")
        ours = [one for one in units if one.startswith(f"{start}@") and one.endswith(end) and one != TEMPLATE]
        return sorted(one[len(start) + 1 : -len(end)] for one in ours)

    def name_of(self, path: str) -> str:
        """The network or instance that a file is for."""
        return os.path.basename(path)[: -len(".conf")]


def unit_name(name: str) -> str:
    """The unit of an instance."""
    return TEMPLATE.replace("@", f"@{name}")


def unit_text(layout: Layout, program: str) -> str:
    """The template of the units."""
    return _UNIT.format(instances=layout.paths.private_instances, program=program, log_limit=LOG_LIMIT)


def instance_for(spec: FragmentSpec, beside_dhcp: bool) -> str:
    """Which instance serves a network.

    One that serves a single network has its DHCP socket bound to the bridge. One of several has not, and where another
    DHCP server has not either, the kernel gives a renewal, which is unicast, to any of them. So only one instance
    serves several networks, those without settings for the instance as a whole, and beside such a server none does.
    """
    return spec.name if beside_dhcp or spec.private_only or not (spec.dns and spec.upstream) else SHARED


def uses_full_names_only(text: str) -> bool:
    """Whether an instance with this file keeps names of guests apart by their domains."""
    return _FULL_NAMES_ONLY in text.splitlines()


def parse_members(text: str) -> list[Member]:
    """The networks that an instance's file names."""
    return [Member(name, interface) for interface, name in _MEMBER.findall(text)]


def instance_text(
    name: str,
    members: Iterable[Member],
    layout: Layout,
    upstream: Sequence[str],
    *,
    version: Sequence[int] = (),
    dns: bool = True,
    plain_names: bool = False,
    full_names_only: bool = False,
) -> str:
    """What an instance reads first: what holds for it as a whole, then its networks."""
    lines = [
        "bind-dynamic",
        "except-interface=lo",
        # The host's own file names its loopback addresses, which mean the guest to a guest.
        "no-hosts",
        *([] if plain_names else ["domain-needed"]),
        # Two networks may have a static host of the same name.
        "localise-queries",
        # Else a name of one network's guest would take that of another's (lease_set_hostname() in src/lease.c).
        *([_FULL_NAMES_ONLY, f"domain={_DEFAULT_DOMAIN}"] if full_names_only else []),
        *(["no-ident"] if tuple(version) >= _SILENT_SINCE else []),
        # There is no other DHCP server on these bridges.
        "dhcp-authoritative",
        f"dhcp-leasefile={layout.leases(name)}",
        # Its ranges limit it already; the default of 1000 would be for all networks together.
        "dhcp-lease-max=65536",
        *([] if dns else ["port=0"]),
        *upstream,
    ]
    for member in sorted(members, key=lambda one: one.network):
        lines += [f"interface={member.interface}", f"conf-file={layout.fragment(member.network)}"]
    return HEADER + "".join(f"{line}\n" for line in lines)


def upstream_lines(resolv_conf: str, wished: bool) -> tuple[str, ...]:
    """Whom an instance asks what it does not know itself; ``resolv_conf`` is where the host's file really lies.

    A file that is watched costs one of the few inotify instances that the kernel has for root, but it follows the host
    from uplink to uplink. The stub of systemd-resolved does that by itself.
    """
    if not wished:
        return ("no-resolv",)
    if "/systemd/resolve/" in resolv_conf:
        return ("no-resolv", f"server={_STUB}")
    # dnsmasq leaves out its own addresses, which are in that file where the host resolves guests' names; a loop over
    # another resolver of the host it finds by a query of its own.
    # The host itself may ask this instance first: so it asks the servers in the file's order, as the host would, and
    # what it heard from the old ones is no answer any more when a VPN brings others.
    return ("resolv-file=/etc/resolv.conf", "strict-order", "clear-on-reload", "dns-loop-detect")
