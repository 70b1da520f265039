#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: networks as libvirt knows them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_network
short_description: Networks of the host as libvirt knows them
version_added: 1.0.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Registers networks with libvirt, so that its guests can have them by C(<source network='lab'/>) - a definition with
    C(<forward mode='bridge'/>), the name and UUID of the network, defined, started and autostarted as it is.
  - libvirt does nothing to the bridge; rules, DHCP and DNS are those of the other modules.
  - What it registered has a mark in its metadata. A network of libvirt's without the mark is never touched, and one of
    the same name or UUID is an error.
  - A changed definition is stored. Portgroups, and from libvirt 9.7 on title, description and metadata, change while
    the network runs. For what else changed it is restarted in libvirt, which the bridge does not notice, unless a
    guest of libvirt's is on it; then a warning says what is left to do.
  - A daemon of libvirt's that does not answer within 20 seconds is not waited for.
  - A network that is libvirt's own (O(xml)) is kept as it shall be, with libvirt's rules and dnsmasq; see
    O(virtnet.linux.virt_network#module:managed_by).
  - A host without libvirt's network driver is left alone, unless O(libvirt) says C(register=true).
  - Talks to libvirt through its Python binding (C(python3-libvirt)) and needs lxml (C(python3-lxml)) on such a host.
extends_documentation_fragment:
  - virtnet.linux.attributes
  - virtnet.linux.libvirt_network
options:
  name:
    description: Name of the network. Required unless O(networks) is given.
    type: str
  uuid:
    description: UUID of the network. Required unless O(state=absent).
    type: str
  bridge:
    description: The bridge of the network. Required unless O(state=absent).
    type: str
  title:
    description: A short title; known to libvirt 9.7 and newer.
    type: str
  description:
    description: A description; known to libvirt 9.7 and newer.
    type: str
  isolate_guests:
    description: Guests that libvirt starts are put on isolated ports of the bridge. V(false) if not given.
    type: bool
  libvirt:
    description: The option of this name of M(virtnet.linux.virt_network).
    type: dict
  active:
    description: Started in libvirt. V(true) if not given.
    type: bool
  autostart:
    description: Started with libvirt. V(true) if not given.
    type: bool
  persistent:
    description: V(false) for a transient network. V(true) if not given.
    type: bool
  xml:
    description:
      - The definition of a network that is libvirt's own, as XML, in the place of O(uuid), O(bridge) and the options
        that describe it. What has changed is told to libvirt while the network runs where that can be done, otherwise
        it takes effect at the next start, which a warning says.
    type: str
  restart:
    description:
      - Restart such a network where a change needs that; its guests are plugged in again. V(false) if not given.
    type: bool
  managed_by:
    description:
      - V(libvirt) for a network that is libvirt's own; with O(state=absent) it is removed, whoever has defined it.
    type: str
    choices: [virtnet, libvirt]
  state:
    description: V(present) (the default) or V(absent).
    type: str
    choices: [present, absent]
  networks:
    description: Several networks, each with the options above. Cannot stand beside them.
    type: list
    elements: dict
  purge:
    description: Remove what was registered and O(networks) does not name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Networks are defined
  virtnet.linux.virt_network:
    name: lab
  register: defined

- name: They are known to libvirt
  virtnet.linux.libvirt_network:
    networks: "{{ defined.registrations }}"
"""

RETURN = r"""
networks:
  description: The networks that libvirt has now, as options of this module.
  returned: success
  type: list
  elements: dict
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["libvirt network lab: registered"]
"""

from ansible.module_utils.basic import AnsibleModule

# First: it refuses a Python that is too old for the others.
from ..module_utils.tasks.registry import libvirt_network

# isort: split
from ..module_utils.core.fields import argument_spec
from ..module_utils.libvirt.definition import RegistrationSpec

ARGUMENTS = {
    **argument_spec(RegistrationSpec),
    "networks": {"type": "list", "elements": "dict"},
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Entry point."""
    libvirt_network(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
