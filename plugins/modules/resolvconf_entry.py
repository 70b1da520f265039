#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: entries of the host's resolver."""

from __future__ import annotations

DOCUMENTATION = r"""
module: resolvconf_entry
short_description: The host's resolver asks the name server of a virtual network
version_added: 0.1.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - The host resolves the names of a network's guests, and their addresses, by way of whoever owns C(/etc/resolv.conf),
    openresolv, Debian's resolvconf, systemd-resolved, NetworkManager, or nobody. All other servers, domains and search
    lists stay, in their order.
  - With systemd-resolved, NetworkManager's dnsmasq, or openresolv beside a local resolver that it tells of domains,
    only the network's own names are asked at its server. Where programs ask the servers of C(resolv.conf) one after
    another, a network's server comes first; it forwards what it does not know to the others, in their order.
  - Entries do not outlast a boot. After it C(virtnet-resolver.service) makes them again.
extends_documentation_fragment:
  - virtnet.linux.attributes
options:
  interface:
    description: The interface of the network, mostly its bridge. Required unless O(entries) is given.
    type: str
  state:
    description: V(present) (the default) or V(absent).
    type: str
    choices: [present, absent]
  addresses:
    description: Addresses at which the network's name server answers. Required when the entry is present.
    type: list
    elements: str
  domain:
    description: The network's domain. It comes last in the search list.
    type: str
  subnets:
    description: The network's subnets, so that the names of their addresses are asked at its server.
    type: list
    elements: str
  forwards:
    description:
      - The network's server resolves all other names too, as that of an isolated network does not. V(true) if not
        given.
    type: bool
  asked:
    description:
      - The host asks this server. V(true) if not given; with V(false) there is no entry, but it is known that a server
        which forwards (O(forwards)) asks the host's servers, so that none which refuses names is put among them.
    version_added: 1.1.0
    type: bool
  provider:
    description:
      - What owns C(/etc/resolv.conf). V(auto) (if not given) finds out by what the file is and says; where that is none
        of these, or cannot be told, no entry is made and a warning says why.
      - V(resolvconf) means Debian's; V(plain) a file that no program manages. Any other than the one that is found is
        refused.
    type: str
    choices: [auto, openresolv, resolvconf, systemd-resolved, networkmanager, plain]
  loopback_serves:
    description:
      - The host's own dnsmasq answers for this network on a loopback address too. Then no entry is made, and one that
        is there is removed, as long as the first server in C(/etc/resolv.conf) is a loopback address other than those
        of systemd-resolved. V(false) if not given.
    type: bool
  resolver:
    description:
      - What owns C(/etc/resolv.conf) on this host, for all entries whose O(provider) is V(auto). V(none) makes none of
        these, and removes them.
      - If not given, as this host was told last; V(auto) if it never was.
    version_added: 1.1.0
    type: str
    choices: [auto, none, openresolv, resolvconf, systemd-resolved, networkmanager, plain]
  entries:
    description: Several entries, each with the options above O(resolver). Cannot stand beside them.
    type: list
    elements: dict
  purge:
    description: Remove entries of ours that the task does not name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: The host resolves the names of guests
  virtnet.linux.resolvconf_entry:
    interface: vn-lab
    addresses: [192.168.30.1]
    domain: lab.example
    subnets: [192.168.30.0/24]

- name: The resolver has the entries of two networks, and no others of ours
  virtnet.linux.resolvconf_entry:
    entries:
      - interface: vn-lab
        addresses: [192.168.30.1]
        domain: lab.example
      - interface: vn-dmz
        addresses: [192.168.31.1, "fd00:31::1"]
    purge: true

- name: The entry is gone
  virtnet.linux.resolvconf_entry:
    interface: vn-lab
    state: absent
"""

RETURN = r"""
entries:
  description: The entries that are made, every default filled in; O(provider) is the one that was found.
  returned: success
  type: list
  elements: dict
  sample:
    - interface: vn-lab
      addresses: [192.168.30.1]
      domain: lab.example
      subnets: [192.168.30.0/24]
      provider: systemd-resolved
      state: present
      loopback_serves: false
      forwards: true
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["systemd-resolved vn-lab: created", "resolver entry vn-lab: created"]
"""

from ansible.module_utils.basic import AnsibleModule

# First: it refuses a Python that is too old for the others.
from ..module_utils.tasks.registry import resolvconf_entry

# isort: split
from ..module_utils.core.fields import argument_spec
from ..module_utils.resolver.spec import EntrySpec

ARGUMENTS = {
    **argument_spec(EntrySpec),
    "resolver": {
        "type": "str",
        "choices": ["auto", "none", "openresolv", "resolvconf", "systemd-resolved", "networkmanager", "plain"],
    },
    "entries": {"type": "list", "elements": "dict"},
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Entry point."""
    resolvconf_entry(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
