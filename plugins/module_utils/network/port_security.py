# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``port_security`` of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..bridge.port_security import LEVELS, OFF, PortSecurity
from ..core import kinds
from ..core.fields import Kind, option, read_all, write
from ..core.options import Options, repr_short
from ..dhcp.static_hosts import Host

_HOSTS: Kind[Sequence[str]] = Kind(
    lambda options, name: tuple(str(item) for item in options.items(name)), "list", elements="str", write=list
)


@dataclass(frozen=True)
class NetworkPortSecurity:
    """``trusted_hosts``: names of static hosts, or MAC addresses; ``trusted_macs``: all MAC addresses of these."""

    level: str = option(kinds.choice(*LEVELS), OFF)
    trusted_ports: Sequence[str] = option(kinds.interfaces, ())
    trusted_hosts: Sequence[str] = option(_HOSTS, ())
    trusted_macs: Sequence[str] = field(default=())

    def as_options(self) -> dict[str, Any]:
        """The options, with every default."""
        return write(self)

    @property
    def of_bridge(self) -> PortSecurity:
        """The option of the bridge."""
        return PortSecurity(self.level, self.trusted_ports, self.trusted_macs)


# Ansible would refuse a level in place of the options.
PORT_SECURITY = replace(kinds.group_by_caller(NetworkPortSecurity), type="raw")


def has_level(network: Any) -> bool:
    """Whether a network checks frames of guests."""
    return bool(network.port_security.level != OFF)


def read_port_security(options: Options, hosts: Iterable[Host]) -> NetworkPortSecurity:
    """The option of a network with these static hosts; raises InvalidOption."""
    macs: dict[str, list[str]] = {}
    for host in hosts:
        if host.label:
            macs.setdefault(host.label, []).extend(host.macs)
    trusted: list[str] = []
    for i, item in enumerate(options.items("trusted_hosts")):
        option_name, name = f"trusted_hosts[{i}]", str(item)
        if name in macs and not macs[name]:
            options.error(option_name, f"{name!r} has no mac, by which its frames are known; give it one")
        if name not in macs and ":" not in name and "-" not in name:
            options.error(
                option_name, f"{repr_short(item)} is no static host; use a name of ipv4.dhcp.hosts, or a MAC address"
            )
        trusted += macs.get(name) or [Options({option_name: item}, options.path, options.owner).mac(option_name)]
    return read_all(NetworkPortSecurity, options, trusted_macs=tuple(sorted(set(trusted))))
