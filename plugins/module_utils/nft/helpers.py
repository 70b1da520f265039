# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``conntrack_helpers`` of a network: helpers of conntrack for connections that its guests begin.

A helper reads the packets of a connection for others that belong to it (ct helper in nft(8)), as the data connections
of FTP. With NAT it also replaces the guest's address in them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..core import kinds
from ..core.options import Options

# The protocols and the port at which servers listen, by helper.
PORTS: Mapping[str, tuple[Sequence[str], int]] = {
    "ftp": (("tcp",), 21),
    "sip": (("udp", "tcp"), 5060),
    "tftp": (("udp",), 69),
}
HELPERS = kinds.choices(*PORTS)
_MODES = ("nat", "routed")


def read_helpers(options: Options, mode: str) -> Sequence[str]:
    """The option ``conntrack_helpers``; raises InvalidOption."""
    helpers = HELPERS.read(options, "conntrack_helpers")
    if helpers and mode not in _MODES:
        options.error("conntrack_helpers", f"has no meaning in mode {mode}; leave it out, or use nat or routed")
    return helpers


def has_helpers(spec: Any) -> bool:
    """Whether a network has the option."""
    return bool(spec.helpers)


def helper_set(helper: str) -> str:
    """The name of the set of bridges whose guests have a helper, and the first part of the names of its objects."""
    return f"vn_{helper}"


def helper_rules() -> list[tuple[str, str]]:
    """Rules, each with its comment, that assign helpers to new connections."""
    return [
        (f'{protocol} dport {port} iifname @{helper_set(name)} ct helper set "{helper_set(name)}_{protocol}"', name)
        for name, (protocols, port) in PORTS.items()
        for protocol in protocols
    ]


def declarations(helpers: Collection[str]) -> dict[str, str]:
    """The objects that the rules of these helpers refer to, by name."""
    objects = [
        (f"{helper_set(name)}_{protocol}", f'type "{name}" protocol {protocol}')
        for name in sorted(helpers)
        for protocol in PORTS[name][0]
    ]
    return {name: f"ct helper {name} {{ {content}; }}" for name, content in objects}
