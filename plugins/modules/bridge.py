#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: bridges."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge
short_description: Bridges that guests plug into, of Linux or of Open vSwitch
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
  - virtnet.linux.bridge
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
    description:
      - V(linux), the default, or V(openvswitch), which needs the package openvswitch-switch on the host.
      - Where the kernel has no datapath of Open vSwitch, its userspace datapath is used, and a warning says so.
      - A bridge keeps its type while it is there.
    type: str
    choices: [linux, openvswitch]
  mac:
    description: MAC address. If not given, one that is derived from the host and O(name), and therefore stable.
    type: str
  mtu:
    description:
      - Largest packet in bytes, 68 to 65535. With less than 1280 the kernel has no IPv6 on the bridge.
      - If not given, the kernel decides, which takes that of the port with the smallest one, or 1500. A value that was
        given before, or set by hand, is reset to that; the kernel does not follow the ports of such a bridge by itself
        any more, and each run does.
    type: int
  stp:
    description: Spanning tree protocol. V(false) if not given, so that a new guest is on the network at once.
    type: bool
  forward_delay:
    description:
      - Seconds, 0 to 30, that a new port listens and learns. V(0) if not given; with O(stp), at least 2.
      - With Open vSwitch it counts for O(stp) and O(rstp) alone, and is at least 4.
    type: int
  ports:
    description:
      - Interfaces of the host to enslave. Others that are ports already stay.
      - A port that a run attached, since boot or with Open vSwitch at any time, and that the list does
        not name any more, is detached.
    type: list
    elements: str
  enslave_uplink:
    description:
      - One of O(ports) may carry the host's default route, or the connection by which this run came. Its addresses and
        routes move to the bridge, which takes its MAC address; connections go on. V(false) if not given, and such a
        port is then refused.
      - They go back to it when the bridge goes, or the port is not asked for any more. A boot makes the bridge with
        them.
      - An interface whose addresses are renewed (DHCP, router advertisements), or that a network manager gives
        addresses to, is refused. Only for Linux bridges.
      - Until another task of this collection has come over the connection, nobody knows that the host is still reached.
        Without one within O(confirm_within), the interface gets back what it had.
    version_added: 1.1.0
    type: bool
  confirm_within:
    description: Seconds, 5 to 3600, for O(enslave_uplink). V(60) if not given.
    version_added: 1.1.0
    type: int
  fdb_max_learned:
    description:
      - How many MAC addresses the bridge learns, V(0) for any number, at most 1000000. If not given, V(8192) where the
        kernel can do it (Linux 6.7), but any number with O(ports), behind which may be a whole LAN.
      - Frames to addresses that are not learned go to all ports, as at any bridge. A number that the kernel cannot do
        is refused.
      - Of a bridge of Open vSwitch the size of its table (C(other_config:mac-table-size)), 10 at least; V(0), and if
        not given, leaves it to Open vSwitch, which has a limit of its own.
    version_added: 1.1.0
    type: int
  multicast_snooping:
    description:
      - Whether the bridge learns by IGMP and MLD which ports want a multicast group, and sends its packets there alone.
        V(false) sends them to all ports. If not given, it is V(true), as by default of the kernel.
        Only for Linux bridges.
    version_added: 1.1.0
    type: bool
  hairpin:
    description:
      - Whether the bridge may send a frame back through the port that it came from, for ports that are not O(ports).
        With it a guest reaches its own port forward where the host's br_netfilter passes bridged frames to the rules
        (C(net.bridge.bridge-nf-call-iptables) is 1). V(false) if not given.
      - A guest then hears its own broadcasts, and takes its IPv6 addresses for duplicates unless it knows its own
        solicitations again (RFC 7527), as Linux does by default.
      - Links that are plugged in later are set by the guard at once, or by the next run. A port that another program
        set keeps its mode when the option goes.
      - Only for Linux bridges, and not with O(isolate_guests).
    version_added: 1.1.0
    type: bool
  isolate_guests:
    description:
      - Ports that are not O(ports) reach the host and O(ports), but not each other. V(false) if not given.
      - Links that are plugged in later are isolated by the next run of this module. Until then the rules of
        M(virtnet.linux.nft_nat) refuse their IP packets, where the kernel has br_netfilter and there are no O(ports).
      - With Open vSwitch these are protected ports; the guard protects those that are plugged in later at once.
    type: bool
  port_security:
    description:
      - Which frames of guests the bridge takes. Ports that are not O(ports) are checked.
      - The rules are in the table C(bridge virtnet), and need no br_netfilter. Ports that are plugged in later are
        checked when the guard sees them, or by the next run of this module.
      - Only for Linux bridges.
    version_added: 1.1.0
    type: dict
  forwarding:
    description:
      - The host forwards IPv4 packets that arrive on the bridge (C(net.ipv4.conf.BRIDGE.forwarding)), even where new
        interfaces do not (C(net.ipv4.conf.default.forwarding)) or somebody has switched it off. If not given, or
        V(false), it is left to the host. IPv6 has one switch for all interfaces.
    version_added: 1.1.0
    type: bool
  addresses:
    description: The host's addresses on the bridge, in CIDR notation; all of them.
    type: list
    elements: str
  rstp:
    description: Rapid spanning tree protocol, of Open vSwitch alone. V(false) if not given; not together with O(stp).
    type: bool
  fail_mode:
    description:
      - What a bridge of Open vSwitch does without a controller. V(standalone), the default, switches as any bridge
        does; V(secure) passes only what flows allow that somebody else has set.
    type: str
    choices: [standalone, secure]
  vlans:
    description:
      - VLANs of ports of a bridge of Open vSwitch, as ovs-vswitchd.conf.db(5) has them.
      - A port is one of O(ports), the bridge itself for the host's own leg, or a guest's link, whenever that is
        plugged in.
    type: list
    elements: dict
  routes:
    description:
      - Subnets behind guests. The routes are marked with the protocol number 118, and no others are touched.
    type: list
    elements: dict
  bandwidth:
    description:
      - How much all guests together get, in libvirt's units. No limit if not given.
      - What is too much for the guests waits, in a queue of tc-htb(8). What is too much from them is dropped, by
        nftables in the table C(netdev virtnet), where a burst is never less than what passes in a second on average.
      - What guests of the bridge send each other is not limited.
      - Limits change in place. A packet may be lost when the inbound limit comes or goes, since the kernel then takes
        the bridge's queue away for a moment.
    type: dict
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
        bandwidth:
          inbound: {average: 12500, burst: 1024}
      - name: br-lab
        addresses: [192.168.31.1/24, "fd00:31::1/64"]
    purge: true

- name: Guests are in the network that the host itself is in
  virtnet.linux.bridge:
    name: br-lan
    ports: [eth0]
    enslave_uplink: true

- name: The host is still reached, so it stays like this
  virtnet.linux.bridge:
    name: br-lan
    ports: [eth0]
    enslave_uplink: true

- name: A bridge of Open vSwitch is there; the host is in VLAN 10, eth1 carries two
  virtnet.linux.bridge:
    name: br-office
    type: openvswitch
    addresses: [192.168.32.1/24]
    ports: [eth1]
    vlans:
      - port: br-office
        tag: 10
      - port: eth1
        trunks: [10, 20]
        mode: trunk

- name: Subnets behind guests are reached, all guests share the link, and none of them poses as the gateway
  virtnet.linux.bridge:
    name: br-guests
    addresses: [192.168.30.1/24]
    routes:
      - to: 10.9.0.0/16
        via: 192.168.30.2
        metric: 50
    bandwidth:
      inbound: {average: 12500, peak: 25000, burst: 1024}
      outbound: {average: 12500, peak: 25000, burst: 1024}
    port_security:
      level: gateway
      trusted_ports: [tap-router]
      trusted_macs: ["52:54:00:00:00:10"]

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
      routes: []
      isolate_guests: false
      fdb_max_learned: null
      bandwidth: {inbound: null, outbound: null}
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["bridge br-guests: created"]
"""

from ansible.module_utils.basic import AnsibleModule

# First: it refuses a Python that is too old for the others.
from ..module_utils.tasks.registry import bridge

# isort: split
from ..module_utils.bridge.spec import BridgeSpec
from ..module_utils.core.fields import argument_spec

ARGUMENTS = {
    **argument_spec(BridgeSpec),
    "bridges": {"type": "list", "elements": "dict"},
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Entry point."""
    bridge(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
