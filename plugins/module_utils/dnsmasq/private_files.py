# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of private instances of dnsmasq, their systemd unit, and which networks share an instance. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.paths import Paths
from ..core.ports import REDIRECTED_DHCP, REDIRECTED_DNS
from .raw_lines import sets_upstream_file
from .render import HEADER
from .spec import FragmentSpec

# Names of instances: the system's dnsmasq, and the private instances of several networks, one at the usual ports and
# one at its own. Any other private instance has the name of its network, which is not empty and does not start with an
# underscore.
SYSTEM_DNSMASQ = ""
SHARED = "_shared"
SHARED_REDIRECTED = "_redirected"
SHARED_INSTANCES = (SHARED, SHARED_REDIRECTED)
# dhcp-fqdn requires a default domain, which no network uses. ".internal" is for private use (ICANN 2024).
_DEFAULT_DOMAIN = "virtnet.internal"
_FULL_NAMES_ONLY = "dhcp-fqdn"
_DHCP_PORTS = "dhcp-alternate-port="
# Of DHCP clients (RFC 2131 section 4.1).
_CLIENT_PORT = 68
# From this version on, no-ident has dnsmasq refuse queries about itself (class CHAOS).
_NO_IDENT_SINCE = (2, 89)

# The packages of all families make it; its group is found on the host.
USER = "dnsmasq"
TEMPLATE = "virtnet-dnsmasq@.service"
_UNIT_NAME = re.compile(r"virtnet-dnsmasq@(.+)\.service", re.DOTALL)
_RESOLVED_STUB = "127.0.0.53"

# Guests cause log lines by requests (DHCPINFORM, DHCPDISCOVER): 4000 if 1000 guests start at once. journald multiplies
# the limit if its disk has room; its default is 10000 (systemd.exec(5), journald.conf(5)).
LOG_LIMIT = """\
LogRateLimitIntervalSec=30s
LogRateLimitBurst=1000
"""

# Names of networks and interfaces are validated, so that no text of the user matches by accident.
_MEMBER = re.compile(r"^interface=(\S+)\nconf-file=\S*/([^/\s]+)\.conf$", re.MULTILINE)

# dnsmasq needs these capabilities to bind to low ports, also when addresses are added later; to send to guests without
# an address, for which it writes ARP entries; and for ICMP: pings before offers, router advertisements.
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
User={user}
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
        """The main configuration file of an instance."""
        return os.path.join(self.paths.private_instances, f"{name}.conf")

    def leases(self, name: str) -> str:
        """The lease file of an instance."""
        return os.path.join(self.paths.private_leases, f"{name}.leases")

    @property
    def template(self) -> str:
        """The template unit of all instances."""
        return os.path.join(self.paths.units, TEMPLATE)

    @property
    def links(self) -> str:
        """The folder of links to units that systemd starts at boot."""
        return os.path.join(self.paths.units, "multi-user.target.wants")

    def link(self, name: str) -> str:
        """The link by which systemd starts an instance at boot."""
        return os.path.join(self.links, unit_name(name))

    def name_of(self, path: str) -> str:
        """The network of a fragment, or the instance of its main file, from the path."""
        return os.path.basename(path)[: -len(".conf")]


def unit_name(name: str) -> str:
    """The name of the unit of an instance."""
    return TEMPLATE.replace("@", f"@{name}")


def instances_in(units: Iterable[str]) -> list[str]:
    """The instances in a list of unit names, sorted."""
    return sorted(match[1] for name in units if (match := _UNIT_NAME.fullmatch(name)))


def unit_text(layout: Layout, program: str, user: str = USER) -> str:
    """The content of the template unit; ``program`` is the path of dnsmasq."""
    return _UNIT.format(instances=layout.paths.private_instances, program=program, user=user, log_limit=LOG_LIMIT)


def instance_for(spec: FragmentSpec, alone: bool) -> str:
    """The private instance for a network; ``alone``: none may serve several networks.

    An instance of one network binds its DHCP socket to the bridge; an instance of several does not. If two DHCP servers
    are unbound, the kernel gives a renewal, which is unicast, to any of them. So at each port only one instance serves
    several networks, those without settings for a whole instance, and at the usual port none does if another DHCP
    server of the host is unbound.
    """
    if spec.private_only or spec.raw or spec.names_elsewhere_too or not (spec.dns and spec.upstream):
        return spec.name
    if alone and not spec.redirect:
        return spec.name
    return SHARED_REDIRECTED if spec.redirect else SHARED


def uses_full_names_only(text: str) -> bool:
    """Whether an instance with this main file knows guests by their full names alone."""
    return _FULL_NAMES_ONLY in text.splitlines()


def redirects(text: str) -> bool:
    """Whether an instance with this main file has ports of its own."""
    return any(line.startswith(_DHCP_PORTS) for line in text.splitlines())


def parse_members(text: str) -> list[Member]:
    """The networks in the main file of an instance."""
    return [Member(name, interface) for interface, name in _MEMBER.findall(text)]


def instance_text(
    name: str,
    spec: FragmentSpec,
    members: Iterable[Member],
    layout: Layout,
    *,
    resolv_conf: str,
    version: Sequence[int],
    full_names_only: bool,
) -> str:
    """The main file of an instance: settings of the whole instance, then its networks.

    ``spec`` is one of its networks, which agree on the settings. ``resolv_conf``: see upstream_lines().
    """
    lines = [
        "bind-dynamic",
        "except-interface=lo",
        # /etc/hosts has the host's name with a loopback address, which for a guest is the guest itself.
        "no-hosts",
        *([] if spec.names.forward_plain_names is True else ["domain-needed"]),
        # Two networks may have a static host of the same name.
        *([] if spec.names_elsewhere_too else ["localise-queries"]),
        # Else a guest would take the name of a guest of another network (src/lease.c, lease_set_hostname()).
        *([_FULL_NAMES_ONLY, f"domain={_DEFAULT_DOMAIN}"] if full_names_only else []),
        *(["no-ident"] if not version or tuple(version) >= _NO_IDENT_SINCE else []),
        # These bridges have no other DHCP server.
        "dhcp-authoritative",
        f"dhcp-leasefile={layout.leases(name)}",
        # Leases are limited by the ranges; the default of 1000 is for all networks together.
        "dhcp-lease-max=65536",
        *([] if spec.dns else ["port=0"]),
        *([f"port={REDIRECTED_DNS}"] if spec.dns and spec.redirect else []),
        *([f"{_DHCP_PORTS}{REDIRECTED_DHCP},{_CLIENT_PORT}"] if spec.redirect else []),
        *(() if sets_upstream_file(spec.raw) else upstream_lines(resolv_conf, spec.upstream)),
    ]
    for member in sorted(members, key=lambda member: member.network):
        lines += [f"interface={member.interface}", f"conf-file={layout.fragment(member.network)}"]
    return HEADER + "".join(f"{line}\n" for line in lines)


def upstream_lines(resolv_conf: str, upstream: bool) -> tuple[str, ...]:
    """The servers to which an instance forwards queries; ``resolv_conf``: the path without symbolic links.

    dnsmasq watches a resolv-file, so that it follows the host from uplink to uplink; that takes one of root's few
    inotify instances. The stub of systemd-resolved follows the host by itself and needs no watch.
    """
    if not upstream:
        return ("no-resolv",)
    if "/systemd/resolve/" in resolv_conf:
        return ("no-resolv", f"server={_RESOLVED_STUB}")
    # Where the host resolves guests' names, the file lists addresses of this instance: dnsmasq ignores its own
    # addresses, and detects a loop by redirected ports or through another resolver with dns-loop-detect. The host may
    # query this instance first, so it queries the servers in the order of the file, as the host would (strict-order),
    # and drops answers of previous servers when for example a VPN changes the file (clear-on-reload).
    return ("resolv-file=/etc/resolv.conf", "strict-order", "clear-on-reload", "dns-loop-detect")
