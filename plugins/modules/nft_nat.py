#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: forwarding and NAT."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nft_nat
short_description: Forwarding and NAT for networks of guests, in one nftables table
version_added: 0.1.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Keeps the table V(inet virtnet), and switches on forwarding of the host while a network needs it.
  - Uplinks that live by router advertisements get C(accept_ra) 2 when IPv6 forwarding goes on, lest the host loses its
    own default route.
  - All networks are changed in one transaction; established connections survive it.
  - Rules are keyed on interface names, so they may stand before the bridge does, and the cost of a packet does not
    depend on the number of networks.
  - Other tables are not touched. An accept here does not override a drop there; so other firewalls are asked by their
    own hooks, and a chain that drops and has none is named in a warning, with the line that would let networks pass.
extends_documentation_fragment:
  - virtnet.linux.attributes
  - virtnet.linux.nft_nat
options:
  name:
    description: Name of the network. Required unless O(networks) is given.
    type: str
  bridge:
    description: The bridge of the network. Required when O(state=present).
    type: str
  mode:
    description:
      - V(nat) (the default) - guests get out with the host's address; nobody gets in.
      - V(routed) - guests get out and are reached with their own addresses.
      - V(isolated) - guests reach each other and the host.
      - V(open) - no rules for this network.
      - Networks reach each other only if both are routed or open.
    type: str
    choices: [nat, routed, isolated, open]
  uplink:
    description:
      - Restricts forwarding to this interface of the host, or to these. If not given, any but the bridges of ours.
      - Of several, the routes of the host choose by which a packet leaves; name the preferred one first.
    type: list
    elements: str
  subnets:
    description:
      - The guests' addresses, IPv4 and IPv6, in CIDR notation. Required in modes nat and routed; other sources are
        dropped.
    type: list
    elements: str
  nat:
    description:
      - What guests of a network in mode nat come out with.
    type: dict
  zone:
    description:
      - The zone of firewalld that the bridge is in while firewalld runs, in place of ours, which lets everything pass
        that our rules let pass. What guests may do is then up to that zone and its policies too.
      - The bridge is bound to it at run time; the files of the zone are not touched.
    version_added: 1.1.0
    type: str
  isolate_guests:
    description: Guests reach the host and the outside, but not each other. V(false) if not given.
    type: bool
  connection_rate:
    description:
      - How many new connections all guests of the network may have in a second, to the outside, to the host and, where
        br_netfilter filters bridged frames, to each other; V(0) for any number, V(2000) if not given.
      - What is over it is dropped, after a burst of twice as many. Connections that are there go on at any speed.
      - Each connection is an entry of the host's table (C(nf_conntrack_max)), which all networks share; a connection
        that nobody answers is there for up to 120 seconds. Not for mode V(open).
    version_added: 1.1.0
    type: int
  conntrack_helpers:
    description:
      - Helpers of conntrack for connections that guests begin, in modes nat and routed, at the usual ports - V(ftp) for
        active FTP (TCP 21), V(sip) (UDP and TCP 5060), V(tftp) (UDP 69). Connections that a server opens as a part of
        them then reach the guest through NAT and firewalls. None if not given.
      - The kernel needs the modules C(nf_conntrack_NAME) and C(nf_nat_NAME).
    version_added: 1.1.0
    type: list
    elements: str
    choices: [ftp, sip, tftp]
  policy:
    description:
      - Which flows of guests pass. An entry of O(policy.deny) is looked up before those of O(policy.allow), and
        O(policy.default) decides the rest. The first packet of a flow is looked up; answers and later packets pass.
        Frames within the network are no matter of policies. Not for mode V(open).
    version_added: 1.1.0
    type: dict
  clamp_mss:
    description:
      - Whether new TCP connections of guests, in both directions, have no larger segments (MSS) than fit the MTU of the
        host's routes to both ends. V(true) if not given, V(false) in mode V(open), which has no rules.
      - It concerns routes with a smaller MTU than the guest's interface, such as those over PPPoE, WireGuard or
        a tunnel, where connections stall if a router on the way sends or lets through no errors of ICMP. An MSS is
        never raised, and rules of others that lower it too do no harm.
    version_added: 1.1.0
    type: bool
  dns:
    description:
      - Whether guests of an isolated network have a name server, at the host's address on the bridge. V(true) if not
        given.
      - Other name servers of the host refuse them in any case, since these know names of others. V(false) only with
        mode V(isolated).
    version_added: 1.1.0
    type: bool
  redirect_dns:
    description:
      - Addresses of the host on the bridge whose queries, from guests and from the host itself, go to a private dnsmasq
        at port 23053. See O(virtnet.linux.dnsmasq_fragment#module:redirect).
    version_added: 1.1.0
    type: list
    elements: str
  redirect_dhcp:
    description: Whether requests for IPv4 addresses go to a private dnsmasq at port 23067. V(false) if not given.
    version_added: 1.1.0
    type: bool
  port_forwards:
    description:
      - Ports of the host that lead to a guest, from outside, from the host itself and from guests, also of the same
        network; not from isolated networks. With O(uplink), only from there and from the network itself.
      - Where br_netfilter filters bridged frames, a guest does not reach a forward that leads to itself - the frame is
        rewritten on the bridge, which sends none back to the port that it came from, unless it is in hairpin mode (see
        O(virtnet.linux.bridge#module:hairpin)).
    type: list
    elements: dict
  state:
    description: V(present) (the default) or V(absent).
    type: str
    choices: [present, absent]
  networks:
    description: Several networks, each with the options above. Cannot stand beside them.
    type: list
    elements: dict
  firewall_integration:
    description:
      - V(true) to ask the firewalls of others to let networks pass - firewalld by a zone and policies, ufw by
        rules, Docker by one rule in DOCKER-USER - and to undo that with the last network; V(false) to leave them alone.
      - If not given, as this host was told last; V(true) if it never was.
    type: bool
  purge:
    description: Remove networks of ours that O(networks) does not name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Guests on br-guests get out
  virtnet.linux.nft_nat:
    name: guests
    bridge: br-guests
    subnets: [192.168.30.0/24]

- name: Two networks have rules, and no others of ours
  virtnet.linux.nft_nat:
    networks:
      - name: guests
        bridge: br-guests
        subnets: [192.168.30.0/24]
      - name: dmz
        bridge: br-dmz
        mode: routed
        uplink: eth0
        subnets: [10.20.30.0/24]
    purge: true

- name: The VPN sees the guests' own addresses
  virtnet.linux.nft_nat:
    name: guests
    bridge: br-guests
    subnets: [192.168.30.0/24]
    nat:
      except: [10.8.0.0/16]

- name: Guests come out with an address of their own, and ports of it lead to two of them
  virtnet.linux.nft_nat:
    name: guests
    bridge: br-guests
    subnets: [192.168.30.0/24, "fd00:30::/64"]
    nat:
      ipv6: false
      source: {start: 203.0.113.5, end: 203.0.113.6}
      ports: {start: 20000, end: 40000}
    port_forwards:
      - {protocol: udp, port: 5353, to: 192.168.30.10, to_port: 53, address: 203.0.113.5}
      - to: 192.168.30.11
        port_range: {start: 8000, end: 8010}

- name: Guests reach a database, the web and a port of the host, but no private addresses
  virtnet.linux.nft_nat:
    networks:
      - name: guests
        bridge: br-guests
        subnets: [192.168.30.0/24]
        policy:
          default: deny
          to_host: [services, {protocol: tcp, port: 9100}]
          allow:
            - {from: 192.168.30.10, network: dmz, to: 10.20.30.10, protocol: tcp, port: 5432}
            - {protocol: tcp, port: 443}
          deny:
            - {to: 10.0.0.0/8}
            - {from: 192.168.30.64/26, network: dmz, protocol: udp, port: 8000-8010}
          log: true
      - {name: dmz, bridge: br-dmz, subnets: [10.20.30.0/24]}
"""

RETURN = r"""
networks:
  description: The networks that were asked for, every default filled in.
  returned: success
  type: list
  elements: dict
  sample:
    - name: guests
      bridge: br-guests
      mode: nat
      uplink: null
      subnets: [192.168.30.0/24]
      nat: {ipv6: true, source: null, ports: {start: 1024, end: 65535}}
      connection_rate: 2000
      clamp_mss: true
      state: present
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["net.ipv4.ip_forward: 0 -> 1, kept over reboots", "rules of guests: created"]
"""

from ansible.module_utils.basic import AnsibleModule

# First: it refuses a Python that is too old for the others.
from ..module_utils.tasks.registry import nft_nat

# isort: split
from ..module_utils.core.fields import argument_spec
from ..module_utils.nft.elements import Rules
from ..module_utils.nft.spec import RulesSpec

ARGUMENTS = {
    **argument_spec(Rules),
    **argument_spec(RulesSpec),
    "networks": {"type": "list", "elements": "dict"},
    "firewall_integration": {"type": "bool"},
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Entry point."""
    nft_nat(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
