#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: networks as they are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: virt_network_info
short_description: List virtual networks of a host and their status
version_added: 0.1.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Tells which networks are defined on the host and how they are, as C(virsh net-list --all) and C(net-info) do,
    and who has which address, as C(net-dhcp-leases) does. Or tells which networks others run on the host.
  - A lease file that cannot be read, such as one that was replaced by a named pipe, brings a warning, and the leases in
    other files are told. A guest's name that is no host name is V(null).
extends_documentation_fragment:
  - virtnet.linux.attributes
  - virtnet.linux.attributes.info_module
options:
  names:
    description: Only these networks; it is an error if one is not defined. All if not given.
    type: list
    elements: str
  gather:
    description:
      - V(own) are the networks that this collection has defined.
      - V(foreign) are those that others run on the host, as items of C(virtnet_networks) to begin with. Nothing is
        changed, and nothing of theirs is taken over.
      - Read are networks of libvirt, incus and LXD, profiles of NetworkManager with C(ipv4.method=shared), bridges that
        systemd-networkd serves, and bridges of scripts, with their dnsmasq and their rules. Those of docker, podman and
        Kubernetes are named, and stay. It needs root.
      - Commands in a configuration of dnsmasq (C(conf-script)) are not run.
    version_added: 1.1.0
    type: str
    choices: [own, foreign]
    default: own
"""

EXAMPLES = r"""
- name: The networks of the host are known
  virtnet.linux.virt_network_info:
  register: virtnet

- name: They are shown
  ansible.builtin.debug:
    msg: "{{ item.name }} is {{ item.state }} on {{ item.bridge }}"
  loop: "{{ virtnet.networks }}"

- name: The networks that others run are known
  virtnet.linux.virt_network_info:
    gather: foreign
  register: found

- name: Those that can be ours are shown as items of virtnet_networks
  ansible.builtin.debug:
    msg: "{{ found.foreign | rejectattr('stays') | map(attribute='options') }}"

- name: No firewall drops what guests send
  ansible.builtin.assert:
    that: item.packets | selectattr('verdict', 'eq', 'dropped') | length == 0
    fail_msg: "{{ item.packets | selectattr('verdict', 'eq', 'dropped') }}"
  loop: "{{ virtnet.networks }}"
"""

RETURN = r"""
foreign:
  description: The networks of others, sorted by their owner and name.
  returned: with O(gather=foreign)
  type: list
  elements: dict
  contains:
    name:
      description: Name, as a network of ours would have it.
      type: str
      returned: success
    source:
      description:
        - Who runs it, V(incus), V(LXD), V(libvirt), V(NetworkManager), V(systemd-networkd), V(docker), V(podman),
          V(Kubernetes), or V(script) for a bridge that no program is known to own. Another manager whose configuration
          makes the bridge is named, as V(ifupdown).
      type: str
      returned: success
    bridge:
      description: Name of the bridge; empty where there is none.
      type: str
      returned: success
    options:
      description: An item of C(virtnet_networks) that means the same; null if it stays.
      type: dict
      returned: success
    stays:
      description: Why it cannot be a network of ours; empty if it can.
      type: str
      returned: success
    notes:
      description: What could not be read, was left out, or means something else here.
      type: list
      elements: str
      returned: success
  sample:
    - name: br0
      source: script
      bridge: br0
      options:
        name: br0
        mode: nat
        uplink: eth0
        bridge: {name: br0}
        ipv4:
          address: 192.168.80.1/24
          dhcp: {ranges: [{start: 192.168.80.100, end: 192.168.80.199}]}
        dns: {domain: ""}
      stays: ""
      notes: []
networks:
  description: The networks, sorted by name.
  returned: with O(gather=own)
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      returned: success
    uuid:
      description: UUID.
      type: str
      returned: success
    state:
      description: V(active) if the bridge is there and up, else V(inactive).
      type: str
      returned: success
    autostart:
      description: Whether it is started at boot.
      type: bool
      returned: success
    persistent:
      description: Whether it outlives a reboot.
      type: bool
      returned: success
    mode:
      description: Forwarding mode.
      type: str
      returned: success
    bridge:
      description: Name of the bridge.
      type: str
      returned: success
    addresses:
      description: The host's addresses on the bridge, as they are.
      type: list
      elements: str
      returned: success
    ports:
      description: Interfaces that are plugged in.
      type: list
      elements: str
      returned: success
    leases:
      description: Addresses that dnsmasq has handed out on the network and that have not run out, IPv4 first.
      type: list
      elements: dict
      returned: success
      contains:
        ip:
          description: The address.
          type: str
          returned: success
        mac:
          description: The guest's MAC address; null with IPv6.
          type: str
          returned: success
        duid:
          description: The guest's DUID with IPv6, else null.
          type: str
          returned: success
        client_id:
          description: The client id that the guest sent with IPv4, or null.
          type: str
          returned: success
        hostname:
          description: The guest's name, or null.
          type: str
          returned: success
        expires:
          description: When it runs out, in seconds since 1970; null for never.
          type: int
          returned: success
        remaining:
          description: Seconds until then; null for never.
          type: int
          returned: success
    conflicts:
      description: What of the host overlaps the network while it runs - addresses and routes, a sentence each.
      type: list
      elements: str
      returned: success
    policy:
      description:
        - The entries of the network's policy as the loaded rules have them, and the flows that each has matched, as
          C(virtnet policies) lists them. Empty without a policy.
        - Entries that overlap are loaded as parts that do not.
      type: list
      elements: dict
      returned: success
      contains:
        entry:
          description:
            - The entry in words, as V(allow -> dmz tcp 443), V(deny 198.51.100.10 -> 192.0.2.0/24),
              or V(to host udp 53).
          type: str
          returned: success
        packets:
          description:
            - The first packets of flows that it has matched. It starts again where rules that were altered are loaded
              again.
          type: int
          returned: success
    packets:
      description:
        - What becomes of examples of the network's packets, with their answers, over all base chains of the host,
          those of nft, iptables-nft and iptables-legacy, whoever made them. Empty unless the network is active.
      type: list
      elements: dict
      returned: success
      contains:
        way:
          description:
            - V(guest to outside), V(guest to guest), V(outside to guest), with the port forward behind it,
              V(guest to host) with DNS, DHCP, DHCPv6 or neighbour discovery behind it.
          type: str
          returned: success
        network:
          description: Name of the network.
          type: str
          returned: success
        family:
          description: V(IPv4) or V(IPv6).
          type: str
          returned: success
        wanted:
          description: Whether mode and policy of the network let it pass.
          type: bool
          returned: success
        verdict:
          description:
            - V(passes), V(dropped), V(may be dropped) where a rule that cannot be told decides, V(refused) if it is
              dropped and is not wanted.
          type: str
          returned: success
        by:
          description: Each rule or policy that drops it.
          type: list
          elements: dict
          returned: success
          contains:
            family:
              description: Family of the table.
              type: str
              returned: success
            table:
              description: The table.
              type: str
              returned: success
            chain:
              description: The chain that has the rule or the policy.
              type: str
              returned: success
            hook:
              description: The hook of the base chain from which the packet came there.
              type: str
              returned: success
            rule:
              description: The rule as its program writes it; null if it is the policy.
              type: str
              returned: success
            tool:
              description: Whose rule it is - V(nft), V(iptables-nft), V(ip6tables-nft), or the same with legacy.
              type: str
              returned: success
            cure:
              description: The command that would let the packet pass; empty for our own rules.
              type: str
              returned: success
    definition:
      description: The definition, every default filled in.
      type: dict
      returned: success
    xml:
      description:
        - The definition as libvirt's XML, as C(virsh net-dumpxml) would show it, with the addresses that were chosen
          where the definition says V(auto). It can be given to O(virtnet.linux.virt_network#module:xml) again.
        - V(null) where the host lacks the Python library lxml (C(python3-lxml)).
      type: str
      returned: success
  sample:
    - name: lab
      uuid: 5d0c1b1e-9f3a-5b5b-8a5f-0f6a4d0d7c11
      state: active
      autostart: true
      persistent: true
      mode: nat
      bridge: vn-lab
      addresses: [192.168.0.1/24]
      ports: [vnet0]
      leases:
        - ip: 192.168.0.17
          mac: "52:54:00:00:00:10"
          duid: null
          client_id: 01:52:54:00:00:00:10
          hostname: web
          expires: 1795288842
          remaining: 3412
      policy:
        - entry: allow -> dmz tcp 443
          packets: 12
      packets:
        - way: guest to outside
          network: lab
          family: IPv4
          wanted: true
          verdict: dropped
          by:
            - family: inet
              table: mine
              chain: way
              hook: forward
              rule: null
              tool: nft
              cure: nft insert rule inet mine way 'ct mark & 0x00100000 != 0 accept'
      definition: {name: lab}
      xml: "<network><name>lab</name></network>"
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.tasks.registry import virt_network_info

ARGUMENTS = {
    "names": {"type": "list", "elements": "str"},
    "gather": {"type": "str", "choices": ["own", "foreign"], "default": "own"},
}


def main() -> None:
    """Entry point."""
    virt_network_info(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
