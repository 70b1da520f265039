# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible inventory: the guests of all hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: guests
short_description: The guests of all hosts, from their leases and static hosts
version_added: 1.0.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Asks hosts of another inventory for their networks, with M(virtnet.linux.virt_network_info). Each guest that has a
    lease, or is a static host of a network, becomes a host of this inventory.
  - A guest is called by its name. Where two have the same, the network is put behind it, then the host. A guest without
    a name is called by its network and MAC address.
  - Each guest is in the groups C(virtnet_guests), C(network_NAME) and C(host_NAME).
  - Its variables are C(virtnet_host), C(virtnet_network), C(virtnet_name), C(virtnet_fqdn), C(virtnet_mac),
    C(virtnet_addresses), C(virtnet_static) (named by the definition), C(virtnet_leased) (has a lease now) and
    C(virtnet_expires) (seconds since 1970; null for never or not known).
  - A host that does not answer is warned of, and left out.
  - The file's name ends with C(guests.yml) or C(guests.yaml).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: This plugin.
    type: str
    required: true
    choices: [virtnet.linux.guests]
  sources:
    description:
      - The inventories in which the hosts are, as for C(ansible-playbook -i), relative to this file.
      - It may be the folder in which this file is.
    type: list
    elements: str
    required: true
  hosts:
    description: Which of their hosts are asked, a pattern as for C(--limit).
    type: str
    default: all
  networks:
    description: Guests of these networks only; by default of all.
    type: list
    elements: str
    default: []
  leased_only:
    description: Whether static hosts that have no lease at the moment are left out.
    type: bool
    default: false
  family:
    description: Which address C(ansible_host) is, where a guest has both.
    type: str
    choices: [ipv4, ipv6]
    default: ipv4
  proxy_jump:
    description:
      - Whether guests are reached through their host, by C(ProxyJump) in C(ansible_ssh_common_args).
      - The host's C(ansible_host), C(ansible_user) and C(ansible_port) say how.
    type: bool
    default: true
  patience:
    description: Seconds that all hosts together have for their answers.
    type: int
    default: 300
"""

EXAMPLES = r"""
# guests.yml, beside hosts.yml
plugin: virtnet.linux.guests
sources: [hosts.yml]
hosts: hypervisors
keyed_groups:
  - key: virtnet_fqdn.split('.', 1)[1]
    prefix: domain
    separator: _
groups:
  static: virtnet_static
compose:
  ansible_user: "'root' if virtnet_network == 'lab' else 'admin'"
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.virtnet.linux.plugins.plugin_utils.guests import Guest, guests_of, named

# Set for the hosts' own inventory, in which this one may be too.
ASKING = "VIRTNET_GUESTS_ASKING"
FAMILIES = {"ipv4": 4, "ipv6": 6}


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Guests as hosts."""

    NAME = "virtnet.linux.guests"

    def verify_file(self, path: str) -> bool:
        """Whether the file's name is one for this plugin."""
        return super().verify_file(path) and path.endswith(("guests.yml", "guests.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory; raises AnsibleError where no host could be asked."""
        super().parse(inventory, loader, path, cache)
        if ASKING in os.environ:
            return
        self._read_config_data(path)
        key = self.get_cache_key(path)
        answers: list[dict[str, Any]] | None = None
        if cache and self.get_option("cache"):
            answers = self._cache.get(key)
        if answers is None:
            answers = self._ask(path)
            if self.get_option("cache"):
                self._cache[key] = answers
        self._fill(answers)

    def _ask(self, path: str) -> list[dict[str, Any]]:
        folder = Path(path).parent
        sources = [f"--inventory={_beside(folder, one)}" for one in self.get_option("sources")]
        command = [
            sys.executable, "-m", "ansible", "adhoc", *sources,
            "--module-name=virtnet.linux.virt_network_info", "--", self.get_option("hosts"),
        ]  # fmt: skip
        environment = {
            **os.environ,
            ASKING: "1",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "virtnet.linux.answers",
        }
        patience = self.get_option("patience")
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=patience, env=environment, check=False
            )
        except subprocess.TimeoutExpired as late:
            raise AnsibleError(f"hosts did not answer within {patience} s, see the option patience") from late
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"host": ')]
        if not answers:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()
            raise AnsibleParserError(f"no host could be asked for its guests: {said[-1]}")
        return answers

    def _fill(self, answers: list[dict[str, Any]]) -> None:
        guests: list[Guest] = []
        access = {answer["host"]: answer["access"] for answer in answers}
        for answer in answers:
            if answer["status"] == "ok":
                guests += guests_of(answer["host"], answer["result"]["networks"])
            else:
                told = answer["result"].get("msg", answer["status"])
                self.display.warning(f"the guests of {answer['host']} are not known: {told}")
        networks, leased_only = self.get_option("networks"), self.get_option("leased_only")
        wanted = [
            guest
            for guest in guests
            if (not networks or guest.network in networks) and (guest.leased or not leased_only)
        ]
        for name, guest in named(wanted, [*access, *self.inventory.hosts]).items():
            self._add(name, guest, access[guest.host])

    def _add(self, name: str, guest: Guest, access: Mapping[str, str]) -> None:
        self.inventory.add_host(name)
        groups = ("virtnet_guests", f"network_{guest.network}", f"host_{guest.host}")
        for group in groups:
            self.inventory.add_child(self.inventory.add_group(self._sanitize_group_name(group)), name)
        variables = guest.variables()
        address = guest.address(FAMILIES[self.get_option("family")])
        if address:
            variables["ansible_host"] = address
        if self.get_option("proxy_jump"):
            variables["ansible_ssh_common_args"] = f"-o ProxyJump={_jump(guest.host, access)}"
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


def _jump(host: str, access: Mapping[str, str]) -> str:
    """As ssh_config(5) has it for ProxyJump: [user@]host[:port]."""
    address = access.get("ansible_host", host)
    user = f"{access['ansible_user']}@" if access.get("ansible_user") else ""
    port = f":{access['ansible_port']}" if access.get("ansible_port") else ""
    return f"{user}[{address}]{port}" if ":" in address else f"{user}{address}{port}"


def _beside(folder: Path, source: str) -> str:
    """A path is relative to the file; a list of hosts ("a,b,") is taken as it is."""
    return source if "," in source else str(folder / source)
