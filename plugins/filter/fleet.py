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
  - Fixed addresses in the inventory's C(virtnet_networks) are the administrator's. Networks with C(address=auto) of
    other hosts move away from them.
  - What a host answers is avoided when a subnet is chosen for a new network of another host, and never moves a network
    that another host holds. Networks of two hosts that hold the same subnet stay, and a warning names both.
  - An answer that is malformed, an address that no network can have, and what one host claims beyond 1024 subnets do
    not count. A warning names the host.
  - The pools should be large enough for each host to find its networks in its own share. Hosts that go beyond their
    shares in the same run may choose the same subnet; the next run warns of it.
positional: _input, me, hosts, limited, held, renumber
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
  renumber:
    description:
      - Whether networks of this host with C(address=auto) move away from a subnet that a host whose name comes before
        answers that it holds. This trusts the other hosts.
    type: bool
    default: false
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

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.virtnet.linux.plugins.plugin_utils.answer_values import plain
from ansible_collections.virtnet.linux.plugins.plugin_utils.fleet_claims import (
    HostClaims,
    as_option,
    claims_of,
    conflicts,
    list_from_facts,
)
from jinja2.exceptions import TemplateError


def fleet(
    hostvars: Mapping[str, Any],
    me: str,
    hosts: Sequence[str],
    limited: bool = False,
    held: str = "virtnet_held",
    renumber: bool = False,
) -> dict[str, Any]:
    """Position of a host among the hosts, and the subnets of the others; warns of hosts that contradict."""
    ordered = sorted({*hosts, me})
    share = {} if limited else {"position": ordered.index(me), "of": len(ordered)}
    by_host = [_claims_of(hostvars, host, held) for host in ordered]
    claims = [claim for one in by_host for claim in one.claims]
    for one in by_host:
        for problem in one.problems:
            Display().warning(f"host {plain(one.host, 255)}: {problem}")
    for sentence in conflicts(claims, me, renumber):
        Display().warning(sentence)
    return {**share, "held": as_option(claims, me, renumber)}


def _claims_of(hostvars: Mapping[str, Any], host: str, held: str) -> HostClaims:
    """The claims of one host. Its variables are templates; one that fails must not make another host fail."""
    try:
        variables = hostvars[host]
        listed, answer = variables.get("virtnet_networks"), variables.get(held)
        return claims_of(host, listed, answer, list_from_facts(variables.get("ansible_facts")))
    except (AnsibleError, TemplateError, KeyError) as error:
        return HostClaims(host, problems=(f"its variables cannot be read: {plain(str(error), 500)}",))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"fleet": fleet}
