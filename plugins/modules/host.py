#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: what a host needs to carry networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host
short_description: A host is ready for virtual networks, or clear of them
version_added: 0.1.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Puts the engine under C(/usr/local/lib/virtnet), makes the folders C(/etc/virtnet) and C(/var/lib/virtnet), and
    enables C(virtnet.service), which brings networks back at boot.
  - Says which packages are missing. It does not install them. Where some are missing but dnsmasq, nothing is changed,
    since services that start without them would go on so; run it again once they are installed.
  - Fails where Ansible runs a Python without pyroute2 (a virtual environment) while the system's has it, since services
    would get that Python too; also where it is below C(/home), C(/root) or C(/tmp), which services do not see.
  - Fails where nftables is older than 1.0, dnsmasq older than 2.80, or pyroute2 older than 0.7.
  - Where systemd does not run, as in a chroot, the files are put in place and the service is enabled, with a warning.
extends_documentation_fragment:
  - virtnet.linux.attributes
options:
  state:
    description:
      - With V(absent), the service, the engine, the definitions and all that is remembered about networks are removed.
        Files in C(/etc/virtnet) that are not ours stay, with a warning.
      - Remove the networks themselves first.
      - With V(stopped), nothing is guarded until the next start of the service. Everything else stays as it is, and
        networks run on.
    type: str
    choices: [present, stopped, absent]
    default: present
  guard:
    description:
      - Whether C(virtnet.service), once it has restored the networks at boot, watches them and puts right what breaks.
    type: bool
    default: true
  networks:
    description:
      - The networks that a later task defines with M(virtnet.linux.virt_network). While the engine is not there, an
        error in them is said before anything is changed or installed.
    version_added: 1.1.0
    type: raw
"""

EXAMPLES = r"""
- name: The host is ready for networks
  virtnet.linux.host:
  register: host

- name: What the host lacks is installed
  ansible.builtin.package:
    name: "{{ host.missing }}"
  when: host.missing | length > 0

- name: The host is ready for networks now
  virtnet.linux.host:
  when: not host.ready

- name: Nothing of ours is left
  virtnet.linux.host:
    state: absent
"""

RETURN = r"""
family:
  description:
    - The family of distributions by whose names packages are called, V(Debian), V(RedHat), V(SUSE) or V(Arch), from
      C(ID) and C(ID_LIKE) of C(/etc/os-release).
    - Empty for another distribution that has all that networks need already. One that lacks some of it is refused.
  returned: when O(state=present)
  type: str
  sample: Debian
missing:
  description: The packages that the host lacks, by their names in its family of distributions.
  returned: when O(state=present)
  type: list
  elements: str
  sample: [python3-pyroute2]
ready:
  description: V(false) where packages but dnsmasq are missing, so that nothing was changed.
  returned: when O(state=present)
  type: bool
dnsmasq:
  description: The dnsmasq of the system.
  returned: when O(state=present)
  type: dict
  contains:
    installed:
      description: Whether there is a C(dnsmasq.service).
      type: bool
    enabled:
      description: Whether it is started at boot.
      type: bool
    active:
      description: Whether it runs.
      type: bool
    program:
      description: Whether the program is there, with the service or without.
      type: bool
    service_package:
      description: The package with the service.
      type: str
    program_package:
      description: The package with the program, without a service that starts at once.
      type: str
  sample:
    installed: true
    enabled: true
    active: true
    program: true
    service_package: dnsmasq
    program_package: dnsmasq-base
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["service virtnet.service: enabled, started"]
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.tasks.registry import host

if TYPE_CHECKING:
    # Never executed: Ansible sends to a host what it sees imported, and the engine must come along as a whole.
    from ..module_utils.cli import main as _cli  # noqa: F401

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "stopped", "absent"], "default": "present"},
    "guard": {"type": "bool", "default": True},
    "networks": {"type": "raw"},
}


def main() -> None:
    """Entry point."""
    host(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
