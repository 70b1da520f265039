#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: bridges."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge
short_description: Linux bridges that guests plug into
version_added: 0.1.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Makes, changes and removes bridges with their addresses.
  - A bridge is never deleted and made again to change it, and a port that is there stays.
  - A bridge that this collection did not make (it carries the alias V(virtnet.linux)) is neither changed nor removed.
  - IPv6 is off on a bridge without an IPv6 address.
extends_documentation_fragment:
  - virtnet.linux.attributes
options:
  name:
    description: Name of the bridge, at most 15 characters. Required unless O(bridges) is given.
    type: str
  state:
    description:
      - V(present) (the default) or V(absent). A bridge that goes frees its ports and says which; when it is made again,
        it takes back those that are still there and free.
    type: str
    choices: [present, absent]
  type:
    description: The kind of bridge. V(openvswitch) is not available in this version. V(linux) if not given.
    type: str
    choices: [linux, openvswitch]
  mac:
    description: MAC address. If not given, one that is derived from the host and O(name), and therefore stable.
    type: str
  mtu:
    description: Largest packet in bytes, 68 to 65535. If not given, it is left to the kernel.
    type: int
  stp:
    description: Spanning tree protocol. V(false) if not given, so that a new guest is on the network at once.
    type: bool
  forward_delay:
    description: Seconds, 0 to 30, that a new port listens and learns. V(0) if not given; with O(stp), at least 2.
    type: int
  ports:
    description: Interfaces of the host to enslave. Others that are ports already stay.
    type: list
    elements: str
  isolate_guests:
    description:
      - Ports that are not O(ports) reach the host and O(ports), but not each other. V(false) if not given.
      - Links that are plugged in later are isolated by the next run of this module. Until then the rules of
        M(virtnet.linux.nft_nat) refuse their IP packets, where the kernel has br_netfilter and there are no O(ports).
    type: bool
  addresses:
    description: The host's addresses on the bridge, in CIDR notation; all of them.
    type: list
    elements: str
  bridges:
    description: Several bridges, each with the options above. Cannot stand beside them.
    type: list
    elements: dict
  purge:
    description: Remove bridges of ours that O(bridges) does not name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A bridge for guests is there
  virtnet.linux.bridge:
    name: br-guests
    addresses: [192.168.30.1/24]

- name: Two bridges are there, and no others of ours
  virtnet.linux.bridge:
    bridges:
      - name: br-guests
        addresses: [192.168.30.1/24]
        mtu: 9000
      - name: br-lab
        addresses: [192.168.31.1/24, "fd00:31::1/64"]
    purge: true

- name: The bridge is gone
  virtnet.linux.bridge:
    name: br-lab
    state: absent
"""

RETURN = r"""
bridges:
  description: The bridges that were asked for, every default filled in.
  returned: success
  type: list
  elements: dict
  sample:
    - name: br-guests
      state: present
      type: linux
      mac: 52:0d:35:a1:07:fe
      mtu: null
      stp: false
      forward_delay: 0
      ports: []
      addresses: [192.168.30.1/24]
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["bridge br-guests: created"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._module import execute
from ..module_utils.bridge import Bridges
from ..module_utils.bridge_spec import BridgeSpec


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"]},
            "type": {"type": "str", "choices": ["linux", "openvswitch"]},
            "mac": {"type": "str"},
            "mtu": {"type": "int"},
            "stp": {"type": "bool"},
            "forward_delay": {"type": "int"},
            "ports": {"type": "list", "elements": "str"},
            "addresses": {"type": "list", "elements": "str"},
            "isolate_guests": {"type": "bool"},
            "bridges": {"type": "list", "elements": "dict"},
            "purge": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    execute(
        module,
        "bridges",
        lambda wanted, purge, paths: Bridges([BridgeSpec.from_options(one) for one in wanted], purge, paths),
        kind="bridges",
    )


if __name__ == "__main__":
    main()
