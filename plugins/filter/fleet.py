# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible filter: what a host has to know of the others so that no two of them get the same subnet."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet
short_description: What other hosts of a play hold, for subnets that are unique over the fleet
version_added: 1.0.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Makes the option O(virtnet.linux.virt_network#module:fleet) from what is known of the hosts of a play.
  - Every host computes it from the same data, so that there is nothing to agree upon and the order of hosts, C(serial)
    and forks do not matter.
  - The pools should have at least as many subnets as there are hosts. Otherwise two hosts may choose the same in one
    run, and the next run moves one of them.
  - Where two hosts hold the same subnet, the one whose name comes first keeps it.
positional: _input, me, hosts, limited, held
options:
  _input:
    description: The variables of all hosts, C(hostvars).
    type: raw
    required: true
  me:
    description: The host that asks, C(inventory_hostname).
    type: str
    required: true
  hosts:
    description: The hosts among which subnets are to be unique, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  limited:
    description:
      - Whether the play has been limited to some of its hosts. Each then keeps the share of the pools that the last
        run without a limit gave it.
    type: bool
    default: false
  held:
    description: The name of the variable in which each host has what M(virtnet.linux.virt_network_info) returned.
    type: str
    default: virtnet_held
"""

EXAMPLES = r"""
- name: Subnets are chosen that no other host of the play has
  virtnet.linux.virt_network:
    name: lab
    fleet: "{{ hostvars | virtnet.linux.fleet(inventory_hostname, ansible_play_hosts_all, ansible_limit is defined) }}"
"""

RETURN = r"""
_value:
  description: The value of the option C(fleet).
  type: dict
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def fleet(
    hostvars: Mapping[str, Any], me: str, hosts: Sequence[str], limited: bool = False, held: str = "virtnet_held"
) -> dict[str, Any]:
    """Position of a host among the hosts, and the subnets of the others."""
    ordered = sorted({*hosts, me})
    share = {} if limited else {"position": ordered.index(me), "of": len(ordered)}
    return {
        **share,
        "held": [one for host in ordered if host != me for one in _of(host, hostvars[host], host < me, held)],
    }


def _of(host: str, variables: Mapping[str, Any], earlier: bool, held: str) -> Iterator[dict[str, Any]]:
    """What a host holds, and the fixed subnets that it is about to get."""
    fixed = {}
    for network in variables.get("virtnet_networks") or ():
        address = (network.get("ipv4") or {}).get("address")
        if address not in (None, "auto", "none") and network.get("state") != "absent":
            fixed[network["name"]] = address
    stored = {}
    for network in (variables.get(held) or {}).get("networks") or ():
        ipv4 = network["definition"]["ipv4"]
        if ipv4["address"] != "none" and network["name"] not in fixed:
            stored[network["name"]] = ipv4["address"], not ipv4["auto"]
    for name, address in sorted(fixed.items()):
        yield {"host": host, "network": name, "subnet": str(address), "first": True}
    for name, (address, is_fixed) in sorted(stored.items()):
        yield {"host": host, "network": name, "subnet": address, "first": earlier or is_fixed}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"fleet": fleet}
