#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: networks change hands between libvirt and us."""

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_adopt
short_description: Take running networks over from libvirt, or give them back
version_added: 1.0.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Makes networks of libvirt's networks of this collection - same name, UUID, bridge, MAC address, addresses, static
    hosts, DNS and leases. Guests stay on the bridge; those of libvirt's keep their ports in it, and both
    C(<source network='default'/>) and C(<source bridge='virbr0'/>) go on to mean the same network.
  - libvirt's own definition becomes one with C(<forward mode='bridge'/>), as M(virtnet.linux.libvirt_network) makes it.
  - What was there is kept under C(/var/lib/virtnet/adopted), and O(state=returned) puts it back with today's leases.
  - The change is made in one go, so that DHCP and DNS are out for a moment only and connections not at all. A run
    that was cut short is completed by the next one.
  - A network is refused, with the reason, where that would cut guests off or where it has what we have not.
  - Needs libvirt's Python binding (C(python3-libvirt)), lxml (C(python3-lxml)), pyroute2, nftables and dnsmasq on the
    host, and the engine that M(virtnet.linux.host) puts there.
extends_documentation_fragment:
  - virtnet.linux.attributes
options:
  names:
    description:
      - The networks. If not given, with O(state=adopted) all of libvirt's that run - those that cannot be taken over
        are left with libvirt, with a warning - and with O(state=returned) all that were taken over.
      - One that is named and stopped is taken over as well, stopped.
    type: list
    elements: str
  state:
    description: V(adopted) - they are ours; V(returned) - they are libvirt's again.
    type: str
    choices: [adopted, returned]
    default: adopted
"""

EXAMPLES = r"""
- name: What would be taken over from libvirt is shown
  virtnet.linux.libvirt_adopt:
  check_mode: true
  diff: true

- name: The network default is ours
  virtnet.linux.libvirt_adopt:
    names: [default]

- name: All networks are libvirt's again
  virtnet.linux.libvirt_adopt:
    state: returned
"""

RETURN = r"""
adopted:
  description: The networks that were taken over and not given back - C(name), C(bridge) and C(uuid).
  returned: success
  type: list
  elements: dict
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["libvirt network default: taken over, with vnet0; leases carried: 1"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.tasks.registry import libvirt_adopt

ARGUMENTS = {
    "names": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["adopted", "returned"], "default": "adopted"},
}


def main() -> None:
    """Entry point."""
    libvirt_adopt(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
