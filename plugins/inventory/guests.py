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
  - Each guest is in the groups C(virtnet_guests), C(network_NAME) and C(host_NAME).
  - Its variables are C(virtnet_host), C(virtnet_network), C(virtnet_name), C(virtnet_fqdn), C(virtnet_mac),
    C(virtnet_addresses), C(virtnet_static) (the definition lists it), C(virtnet_leased) (has a lease now) and
    C(virtnet_expires) (seconds since 1970; null for never or not known).
  - The file's name ends with C(guests.yml) or C(guests.yaml).
notes:
  - B(Names.) A guest chooses the name under which it asks for a lease, and a host may be compromised. So only a static
    host, which the definition of its network names, is called by its bare name. Every other guest is called
    C(NAME.NETWORK), and one without a name C(MAC-ADDRESS.NETWORK), with hyphens.
  - Where such a name is not free, C(NAME.NETWORK.HOST) follows, then C(NAME.KEY.NETWORK.HOST), where C(KEY) is the MAC
    address or DUID. A guest without a free name is left out with a warning.
  - A name is not free where it is that of a host or group of O(sources) or of any source of the same run of Ansible,
    before or after this file; a name that Ansible uses itself, such as V(all) and V(localhost); an IP address; a group
    that this plugin makes; or a group that this file names. Upper and lower case are not distinguished.
  - Names are given in three ranks, and no guest changes the name of one of an earlier rank. First come the static hosts
    that C(virtnet_networks) of an asked host defines in the inventory, whether or not the host answers. Then come those
    that only the definition on a host names. Then come all others. Guests of one rank that have the same name all
    get a longer one.
  - A program that uses Ansible's Python interface without the command line does not tell the sources of the run. Then
    only O(sources) and what Ansible has read before this file are known.
  - B(Leases of static hosts.) A lease belongs to a static host if its MAC address, client id or DUID is the defined
    one, or if a static host that is defined without a MAC address has this address or name. A DHCPv6 lease has no MAC
    address, so a static host that is defined by its MAC address needs an C(ip) in C(ipv6.dhcp.hosts); otherwise its
    DHCPv6 lease is listed as another guest.
  - B(Groups.) If a source has a host with the name of a group of this plugin, or such a group with hosts of its own,
    the plugin does not use that group, and warns. A group without hosts, which only has variables, is used.
  - The groups of O(groups) and a O(keyed_groups[].parent_group) without a template are used as they are written. The
    other groups of O(keyed_groups) are made by expressions, which may contain names that guests chose. If such a group
    has the name of a host, a guest, a group of a source, or another group of this file, no guest is put into it, and
    the plugin warns.
  - B(Values.) All that comes from a host is checked, and is marked as unsafe. Ansible never evaluates it as a template.
  - A host that does not answer, or whose answer is not valid, is left out with a warning. So is a guest for which
    O(compose), O(groups) or O(keyed_groups) end with an error. O(strict=true) makes such an error one of the whole
    inventory; then a guest can cause it.
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
      - Whether guests are reached through their host, by a C(ProxyCommand) of ssh in C(ansible_ssh_common_args).
      - The command connects to the host as Ansible does. It uses the host's C(ansible_host), C(ansible_user),
        C(ansible_port), C(ansible_ssh_private_key_file), C(ansible_host_key_checking), C(ansible_ssh_args),
        C(ansible_ssh_common_args), C(ansible_ssh_extra_args), C(ansible_ssh_executable) and C(ansible_ssh_timeout), or
        what Ansible's configuration or command line gives instead, as C(--private-key) and C(--user).
      - A password of the host is not used. The host needs a key.
      - The guest's own user, port, key and arguments are used for the guest. Because C(ansible_ssh_common_args) is
        taken, put arguments for guests into C(ansible_ssh_extra_args) or C(ansible_ssh_args). Common arguments of the
        configuration and the command line stay in force.
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
# A guest chooses its name; its network does not depend on it.
compose:
  ansible_user: "'root' if virtnet_network == 'lab' else 'admin'"
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.plugins.loader import connection_loader
from ansible_collections.virtnet.linux.plugins.plugin_utils.answer_values import plain
from ansible_collections.virtnet.linux.plugins.plugin_utils.answers import BadAnswer, failure, parse_answer
from ansible_collections.virtnet.linux.plugins.plugin_utils.guest_names import named
from ansible_collections.virtnet.linux.plugins.plugin_utils.guests import Guest, guests_of
from ansible_collections.virtnet.linux.plugins.plugin_utils.replies import Reply, read_lines
from ansible_collections.virtnet.linux.plugins.plugin_utils.source_names import (
    ANSIBLE,
    SourceNames,
    arguments_for_hosts,
    names_in,
    sources_of_run,
)
from ansible_collections.virtnet.linux.plugins.plugin_utils.unsafe import untrusted

# Set while the hosts' own inventory is read, in which this one may be too.
ASKING = "VIRTNET_GUESTS_ASKING"
FAMILIES = {"ipv4": 4, "ipv6": 6}
# Characters of an error that are shown.
SHOWN = 1000


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
        folder = Path(path).parent
        sources = [_source_path(folder, one) for one in self.get_option("sources")]
        replies = self._replies(path, sources, cache)
        with _hosts_only():
            used = names_in([*dict.fromkeys([*sources, *sources_of_run(path)])], loader, inventory)
        # Not in the order in which hosts answer, which is by chance or theirs.
        self._fill(sorted(replies, key=lambda reply: reply.host), used)

    def _replies(self, path: str, sources: list[str], cache: bool) -> list[Reply]:
        arguments = arguments_for_hosts()
        digest = hashlib.sha256(json.dumps(arguments).encode()).hexdigest()[:8]
        key = f"{self.get_cache_key(path)}_{digest}"
        cached = self._cache.get(key) if cache and self.get_option("cache") else None
        if cached is not None:
            try:
                return [Reply.from_json(one) for one in cached]
            except ValueError:
                self.display.vv(f"{path}: the cache is of another version of this plugin; the hosts are asked again")
        answers = self._ask(sources, arguments)
        if self.get_option("cache"):
            self._cache[key] = answers
        return [Reply.from_json(one) for one in answers]

    def _ask(self, sources: list[str], arguments: list[str]) -> list[dict[str, Any]]:
        command = [
            sys.executable, "-m", "ansible", "adhoc", *(f"--inventory={one}" for one in sources), *arguments,
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
            completed = subprocess.run(
                command, capture_output=True, text=True, timeout=patience, env=environment, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise AnsibleError(f"hosts did not answer within {patience} s, see the option patience") from error
        answers = read_lines(completed.stdout)
        if not answers:
            output = (completed.stderr.strip() or completed.stdout.strip() or "nothing was said").splitlines()
            raise AnsibleParserError(f"no host could be asked for its guests: {plain(output[-1], SHOWN)}")
        return answers

    def _fill(self, replies: list[Reply], used: SourceNames) -> None:
        networks, leased_only = self.get_option("networks"), self.get_option("leased_only")
        guests = [
            guest
            for reply in replies
            for guest in self._guests(reply)
            if not networks or guest.network in networks
        ]  # fmt: skip
        declared = {
            (reply.host, network, name)
            for reply in replies
            for network, name in reply.declared
            if not networks or network in networks
        }
        own_groups = {group for guest in guests for group in self._own_groups(guest)}
        hosts = {reply.host: reply for reply in replies}
        taken = used.all | own_groups | self._written_groups() | hosts.keys()
        names = named(guests, taken, declared)
        placed = {id(guest) for guest in names.values()}
        for guest in guests:
            if id(guest) not in placed:
                self._warn(f"a guest of {guest.host} is left out: other hosts and groups have all names that fit it")
        joined = self._joined(own_groups, used)
        jumps = self._jumps(replies)
        for name, guest in names.items():
            if guest.leased or not leased_only:
                self._add(name, guest, joined, taken | names.keys(), jumps.get(guest.host, ""))

    def _guests(self, reply: Reply) -> list[Guest]:
        """The guests of one host; none, with a warning, where its answer cannot be used."""
        problem = ""
        guests: list[Guest] = []
        if reply.status != "ok":
            problem = failure(reply.result if isinstance(reply.result, Mapping) else {})
        elif self.get_option("proxy_jump") and reply.access is None:
            problem = plain(reply.access_error, SHOWN)
        else:
            try:
                guests = guests_of(parse_answer(reply.host, reply.result))
            except BadAnswer as error:
                problem = error.sentence
        if problem:
            self._warn(f"the guests of {reply.host} are not known: {problem}")
        return guests

    def _own_groups(self, guest: Guest) -> list[str]:
        groups = ("virtnet_guests", f"network_{guest.network}", f"host_{guest.host}")
        return [self._sanitize_group_name(group) for group in groups]

    def _written_groups(self) -> set[str]:
        """Groups that the file itself names: they may be groups of the sources, because no guest chooses them."""
        keyed = self.get_option("keyed_groups") or ()
        parents = [str(one.get("parent_group") or "") for one in keyed if isinstance(one, Mapping)]
        written = [*(self.get_option("groups") or {}), *(one for one in parents if "{" not in one)]
        return {self._sanitize_group_name(name) for name in written if name}

    def _joined(self, groups: set[str], used: SourceNames) -> set[str]:
        """Those of the plugin's own groups that mix guests with no other hosts."""
        occupied = used.hosts | ANSIBLE | (used.groups - used.vacant)
        for group in sorted(groups & occupied):
            self._warn(f"there is no group {group} of guests: a source has a host of this name, or a group with hosts")
        return groups - occupied

    def _jumps(self, replies: list[Reply]) -> dict[str, str]:
        """What ansible_ssh_common_args of the guests is, by host."""
        if not self.get_option("proxy_jump"):
            return {}
        connection_loader.get("ssh", class_only=True)
        given = C.config.get_plugin_options("connection", "ssh").get("ssh_common_args")
        return {
            reply.host: f"{reply.access.proxy_arguments()} {given or ''}".strip()
            for reply in replies
            if reply.access is not None
        }

    def _add(self, name: str, guest: Guest, joined: set[str], taken: Set[str], jump: str) -> None:
        """Add a guest as a whole, or with a warning not at all."""
        variables = guest.variables()
        address = guest.address(FAMILIES[self.get_option("family")])
        if address:
            variables["ansible_host"] = address
        if jump:
            variables["ansible_ssh_common_args"] = jump
        variables = untrusted(variables)
        own = [group for group in self._own_groups(guest) if group in joined]
        try:
            variables, composed, keyed = self._constructed(name, variables, own)
        except Exception as error:
            # Ansible raises plain exceptions too, as where a group would be its own parent.
            if self.get_option("strict"):
                raise
            self._warn(f"the guest {name} is left out: {plain(str(error), SHOWN)}")
            return
        self.inventory.add_host(name)
        for group in [*own, *composed, *self._free(_groups(keyed, name) - set(own), taken)]:
            self.inventory.add_child(self.inventory.add_group(group), name)
        for variable, value in variables.items():
            self.inventory.set_variable(name, variable, value)
        self._add_parents(keyed, taken)

    def _constructed(
        self, name: str, variables: dict[str, Any], own: list[str]
    ) -> tuple[dict[str, Any], set[str], InventoryData]:
        """Variables with those composed; groups by ``groups``; an inventory with those by ``keyed_groups``.

        Each is evaluated in an inventory that has this guest alone, so that nothing reaches the real one unchecked.
        """
        strict = self.get_option("strict")
        with self._alone(name, variables, own) as data:
            self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
            known = data.hosts[name].vars
            every = {**variables, **{key: known[key] for key in self.get_option("compose") or {} if key in known}}
        with self._alone(name, every, own) as data:
            self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
            composed = _groups(data, name) - set(own)
        with self._alone(name, every, own) as data:
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)
        return every, composed, data

    @contextmanager
    def _alone(self, name: str, variables: dict[str, Any], own: list[str]) -> Iterator[InventoryData]:
        data = InventoryData()
        data.add_host(name)
        for group in own:
            data.add_child(data.add_group(group), name)
        for key, value in variables.items():
            data.set_variable(name, key, value)
        real, self.inventory = self.inventory, data
        try:
            yield data
        finally:
            self.inventory = real

    def _free(self, groups: Set[str], taken: Set[str]) -> Set[str]:
        """Those groups that an expression may make: not the name of a host, a guest or a group of another origin."""
        for group in sorted(groups & taken):
            self._warn(f"keyed_groups make no group {group}: the inventory has a host or group of this name")
        return groups - taken

    def _add_parents(self, keyed: InventoryData, taken: Set[str]) -> None:
        written = self._written_groups()
        for parent in keyed.groups.values():
            children = {child.name for child in parent.child_groups} - taken
            if not children or (parent.name in taken and parent.name not in written):
                continue
            self.inventory.add_group(parent.name)
            for child in sorted(children):
                try:
                    self.inventory.add_child(parent.name, child)
                except AnsibleError as error:
                    # Two guests can make two groups the parent of each other.
                    self._warn(f"{parent.name} is no parent of the group {child}: {plain(str(error), SHOWN)}")

    def _warn(self, text: str) -> None:
        self.display.warning(text)


@contextmanager
def _hosts_only() -> Iterator[None]:
    """Sources are read without guests."""
    os.environ[ASKING] = "1"
    try:
        yield
    finally:
        del os.environ[ASKING]


def _groups(data: InventoryData, name: str) -> set[str]:
    """The groups in which a host is by itself."""
    return {group for group, members in data.groups.items() if any(host.name == name for host in members.hosts)}


def _source_path(folder: Path, source: str) -> str:
    """A path is relative to the file; a list of hosts ("a,b,") is taken as it is."""
    return source if "," in source else str(folder / source)
