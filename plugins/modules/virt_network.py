#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: definitions of networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: virt_network
short_description: Virtual networks of a host - validated, completed and defined
version_added: 0.1.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - Validates the whole list against itself and the host, fills in every default, chooses free subnets, and stores the
    definitions under C(/etc/virtnet/networks) (networks that are not O(persistent) under C(/run/virtnet/networks)).
  - Returns the definitions, and the options for the modules that bring them about -
    M(virtnet.linux.bridge), M(virtnet.linux.nft_nat), M(virtnet.linux.dnsmasq_fragment),
    M(virtnet.linux.resolvconf_entry) and M(virtnet.linux.libvirt_network).
  - The role C(virtnet.linux.virtnet) puts them together.
  - An error names the network, the option, the value and what to do, and comes before anything is touched.
extends_documentation_fragment:
  - virtnet.linux.attributes
  - virtnet.linux.virt_network
options:
  name:
    description:
      - Name of the network, 1 to 50 letters, digits, V(_), V(.) and V(-), the first a letter or digit.
      - Required unless O(networks) is given.
    type: str
  state:
    description:
      - V(active) (the default) - defined and running; V(inactive) - defined and stopped; V(absent) - neither.
    type: str
    choices: [active, inactive, absent]
  autostart:
    description: Started at boot. V(true) if not given.
    type: bool
  persistent:
    description: V(false) for a network that a reboot takes away. V(true) if not given.
    type: bool
  uuid:
    description: If not given, one that is derived from the host and O(name), and therefore stable.
    type: str
  title:
    description: A short title.
    type: str
  description:
    description: A description.
    type: str
  mode:
    description:
      - V(nat) (the default), V(routed), V(isolated) or V(open); see M(virtnet.linux.nft_nat).
      - V(bridged) for a bridge that is there and somebody else's. It is registered with libvirt and nothing else is
        done, so that only O(bridge.name), O(bridge.type), O(isolate_guests) and O(libvirt) can go with it.
    type: str
    choices: [nat, routed, isolated, open, bridged]
  uplink:
    description:
      - Restricts forwarding to this interface of the host, or to these, such as V([eth0, wlan0]).
      - Of several, the routes of the host choose by which a packet leaves, so that a change from one to another needs
        no run; name the preferred one first. One is returned as a text.
    type: list
    elements: str
  bridge:
    description:
      - The bridge of the network, with options of M(virtnet.linux.bridge). A string is the O(bridge.name).
    type: raw
  ipv4:
    description:
      - The host's IPv4 address on the bridge, and DHCP for the guests.
    type: dict
  ipv6:
    description:
      - The host's IPv6 address on the bridge, and router advertisements and DHCPv6 for the guests. None if not given.
    type: dict
  nat:
    description: What guests of a network in mode V(nat) come out with; see M(virtnet.linux.nft_nat).
    type: dict
  isolate_guests:
    description: Guests reach the host and the outside, but not each other. V(false) if not given.
    type: bool
  connection_rate:
    description:
      - How many new connections all guests of the network may have in a second, V(0) for any number; V(2000) if not
        given. See M(virtnet.linux.nft_nat). Not for the modes V(open) and V(bridged).
    version_added: 1.1.0
    type: int
  conntrack_helpers:
    description:
      - Helpers of conntrack for connections that guests begin, in modes nat and routed, at the usual ports - V(ftp) for
        active FTP, V(sip), V(tftp); see M(virtnet.linux.nft_nat). None if not given.
      - A helper whose module the running kernel lacks is refused.
    version_added: 1.1.0
    type: list
    elements: str
    choices: [ftp, sip, tftp]
  policy:
    description:
      - Which flows of guests pass. An entry of O(policy.deny) is looked up before those of O(policy.allow), and
        O(policy.default) decides the rest. The first packet of a flow is looked up; answers and later packets pass.
        Frames within the network are no matter of policies. Not for the modes V(open) and V(bridged).
    version_added: 1.1.0
    type: dict
  clamp_mss:
    description:
      - Whether TCP segments of guests fit the MTU of the host's routes, such as those over PPPoE or WireGuard. V(true)
        if not given. See M(virtnet.linux.nft_nat). Not for the modes V(open) and V(bridged).
    version_added: 1.1.0
    type: bool
  port_forwards:
    description:
      - Ports of the host that lead to a guest, from outside, from the host itself and from guests, also of the same
        network; not from isolated networks. With O(uplink), only from there and from the network itself.
    type: list
    elements: dict
  extra_addresses:
    description:
      - Further addresses of the host on the bridge, in CIDR notation. Where routers are advertised for a /64 of
        O(ipv6), the prefix of a further /64 is advertised too, as by libvirt, and guests make addresses of it.
    type: list
    elements: str
  routes:
    description:
      - Subnets behind guests. They may send and, where O(mode) lets them, be reached as the guests themselves. Need a
        fixed address of the network. See M(virtnet.linux.bridge).
    type: list
    elements: dict
  bandwidth:
    description: How much all guests together get, in libvirt's units; see M(virtnet.linux.bridge).
    type: dict
  port_security:
    description:
      - Which frames of guests the bridge takes; see O(virtnet.linux.bridge#module:port_security).
      - A string is the O(port_security.level).
    version_added: 1.1.0
    type: raw
  dns:
    description:
      - The name server of the network, its records, and where queries go. A name without a dot is one of the domain.
      - With O(dns.forward_plain_names), O(dns.ttl), a forwarder without domain, or names outside of the domain, the
        network has a private dnsmasq of its own.
      - The name server of an isolated network is always a private dnsmasq, which knows the names of its guests alone.
        Where none can run the run is refused; with O(dns.enabled=false) the network has no name server.
    type: dict
  dnsmasq:
    description: The dnsmasq that serves the network.
    type: dict
  libvirt:
    description:
      - What libvirt is told of the network, so that its guests can have it by name; see
        M(virtnet.linux.libvirt_network).
    type: dict
  managed_by:
    description:
      - V(virtnet) (the default), or V(libvirt) for a network that is libvirt's own, with its rules, its bridge and its
        dnsmasq - only its definition in libvirt is kept as it is here, and whether it runs and starts by itself.
      - O(xml) is then passed on as it is, so that everything is possible that libvirt can do. Without it, the options
        above are said in libvirt's words; what libvirt cannot do is refused.
      - A network that libvirt has already is changed rather than made anew, and stays when the collection is removed;
        O(state=absent) removes it.
    type: str
    choices: [virtnet, libvirt]
  restart:
    description:
      - With O(managed_by=libvirt), restart the network where a change needs that, and plug its guests in again.
        Otherwise such a change takes effect at the next start, and a warning says so. V(false) if not given.
    type: bool
  xml:
    description:
      - The whole network as libvirt's XML, as C(virsh net-dumpxml) writes it, in the place of the options above.
        O(name), O(state), O(autostart) and O(persistent) may stand beside it.
      - What has no meaning here (pools of devices for guests, macvtap) is refused by element, line and reason.
      - Needs the Python library lxml on the host (C(python3-lxml)).
    type: str
  networks:
    description:
      - Several networks, each with the options above. Cannot stand beside them.
      - A list, or a mapping by name, whose keys are the names and whose values are the other options; null for none.
        Inventories can combine mappings.
    type: raw
  pools:
    description:
      - Where subnets for networks with O(ipv4.address=auto) come from - CIDRs that are cut into /24, or mappings. If
        not given, those of the last run that gave some, at first V(192.168.0.0/16).
      - The first that is free is taken, on bare metal from the last but one down, in a virtual machine from the first
        up, in a container from the middle up, so that hosts inside one another do not meet.
      - Occupied are all addresses and on-link routes of the host in all tables, its default gateways and name servers,
        the other end of the SSH connection, and the networks that libvirt, podman and docker have defined. Routes to
        elsewhere, such as the aggregate of a VPN, are overlapped only where there is no choice.
      - The choice is remembered and tried first when the network is defined again.
    type: list
    elements: raw
  fleet:
    description:
      - What is known of the other hosts, so that no two of them get the same subnet. The role C(virtnet.linux.virtnet)
        fills it in where C(virtnet_fleet_unique) is set, by the filter P(virtnet.linux.fleet#filter).
      - A host's claims beyond its share of the pools are ignored where no other subnet is free, with a warning. Those
        with O(fleet.held[].first) count always.
    type: dict
  firewall_integration:
    description:
      - V(true) to ask the firewalls of others to let networks pass - firewalld by a zone and policies, ufw by
        rules, Docker by one rule in DOCKER-USER - and to undo that with the last network; V(false) to leave them alone.
      - If not given, as this host was told last; V(true) if it never was.
    type: bool
  resolver:
    description:
      - What owns C(/etc/resolv.conf) on this host, in the words of M(virtnet.linux.resolvconf_entry); V(none) leaves it
        alone. It is only checked here; that module is given the same.
      - If not given, as this host was told last; V(auto) if it never was.
    version_added: 1.1.0
    type: str
    choices: [auto, none, openresolv, resolvconf, systemd-resolved, networkmanager, plain]
  purge:
    description: Undefine networks of this host that O(networks) does not name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A network with a free subnet, DHCP and DNS is defined
  virtnet.linux.virt_network:
    name: lab

- name: Two networks are defined, and no others
  virtnet.linux.virt_network:
    networks:
      - name: lab
        dns:
          domain: lab.example
      - name: dmz
        mode: routed
        ipv4:
          address: 10.20.30.1/24
          dhcp:
            hosts:
              - mac: "52:54:00:00:00:10"
                name: web
                ip: 10.20.30.10
    purge: true
  register: defined

- name: The same as a mapping by name
  virtnet.linux.virt_network:
    networks:
      lab:
      dmz: {mode: routed, ipv4: {address: 10.20.30.1/24}}
      short: {bridge: br-short, ipv4: {address: 192.168.30.1}}

- name: Guests get addresses of two ranges, DHCP options and what they boot from
  virtnet.linux.virt_network:
    name: lab
    ipv4:
      address: 192.168.30.1/24
      dhcp:
        enabled: true
        lease_time: 12h
        ranges:
          - {start: 192.168.30.20, end: 192.168.30.99}
          - {start: 192.168.30.120, end: 192.168.30.199, lease_time: 10m}
        hosts:
          - {mac: "52:54:00:00:00:10", name: web, ip: 192.168.30.10}
          - {id: "01:52:54:00:00:00:11", name: printer, ip: 192.168.30.11, lease_time: 1d}
        options: {ntp-server: 192.168.30.1}
        boot:
          - {arch: bios, file: undionly.kpxe, server: 192.168.30.5}
          - {ipxe: true, file: "http://192.168.30.1/menu.ipxe"}
        tftp_root: /srv

- name: Clones of a machine get an address each
  virtnet.linux.virt_network:
    name: clones
    ipv4:
      dhcp: {ignore_client_ids: true}

- name: Guests have IPv6, those of DHCPv6 alone
  virtnet.linux.virt_network:
    name: six
    ipv6:
      address: fd00:30::1/64
      ra: true
      ra_param: {preference: high, interval: 60, lifetime: 600, mtu: 1400}
      ra_names: false
      slaac: false
      dhcp:
        enabled: true
        stateless: false
        ranges: [{start: "fd00:30::100", end: "fd00:30::1ff", lease_time: 1h}]
        hosts:
          - {mac: "52:54:00:00:00:10", name: web, ip: "fd00:30::10", lease_time: 1d}
          - {id: "00:03:00:01:52:54:00:00:00:11", name: printer}
        options: {ntp-server: "fd00:30::1"}

- name: Guests of a rented server have addresses of its only prefix, and give up those of an old one
  virtnet.linux.virt_network:
    name: rented
    uplink: eth0
    ipv6:
      address: 2001:db8:1:1::1/64
      ndp_proxy: true
      deprecated: ["fd00:33::/64"]
    extra_addresses: ["fd00:33::1/64"]
    nat:
      ipv6: false

- name: Guests come out with addresses of their own, ports lead to two of them, and a VPN sees their own addresses
  virtnet.linux.virt_network:
    name: lab
    ipv4: {address: 192.168.30.1/24}
    nat:
      source: {start: 203.0.113.5, end: 203.0.113.6}
      ports: {start: 20000, end: 40000}
      except: [10.8.0.0/16]
    port_forwards:
      - {protocol: udp, port: 5353, to: 192.168.30.10, to_port: 53, address: 203.0.113.5}
      - to: 192.168.30.11
        port_range: {start: 8000, end: 8010}
    routes:
      - {to: 10.9.0.0/16, via: 192.168.30.2, metric: 50}
    bandwidth:
      inbound: {average: 12500, peak: 25000, burst: 1024}
      outbound: {average: 12500, peak: 25000, burst: 1024}

- name: Guests reach a database, the web and a port of the host, but no private addresses, and none is the gateway
  virtnet.linux.virt_network:
    networks:
      - name: lab
        ipv4:
          address: 192.168.30.1/24
          dhcp:
            hosts:
              - {mac: "52:54:00:00:00:10", name: app, ip: 192.168.30.10}
        port_security:
          level: gateway
          trusted_ports: [tap-router]
          trusted_hosts: [app]
        policy:
          default: deny
          to_host: [services, {protocol: tcp, port: 9100}]
          allow:
            - {from: app, network: dmz, to: 10.20.30.10, protocol: tcp, port: 5432}
            - {protocol: tcp, port: 443}
          deny:
            - {to: 10.0.0.0/8}
            - {from: 192.168.30.64/26, network: dmz, protocol: udp, port: 8000-8010}
          log: true
      - name: dmz
        ipv4: {address: 10.20.30.1/24}

- name: A network has records, and its queries for a domain go to the servers of that
  virtnet.linux.virt_network:
    name: office
    dns:
      enabled: true
      domain: office.example
      local_only: true
      host_resolver: false
      hosts:
        - {ip: 10.0.0.7, names: [files, backup]}
      srv:
        - {service: ldap, protocol: tcp, domain: office.example, target: ldap.office.example, port: 389, priority: 10,
           weight: 5}
      txt:
        - {name: office.example, value: ["v=spf1 -all"]}
      cname:
        - {name: nas, target: files}
      wildcards:
        - {name: "*.apps.office.example", ip: 10.0.0.8}
      forwarders:
        - {domain: corp.example, address: 10.0.0.53, port: 5353}
      forward_plain_names: false
      local_ptr: true
      ttl: 60
    dnsmasq:
      instance: private
      options: [strict-order]
      redirect: true

- name: A bridge has the settings of Linux
  virtnet.linux.virt_network:
    name: lab
    bridge:
      name: br-lab
      type: linux
      mac: "52:54:00:00:01:01"
      mtu: 9000
      stp: true
      forward_delay: 4
      fdb_max_learned: 4096
      multicast_snooping: false
      hairpin: true
      zone: guests

- name: Guests are in the network that the host itself is in
  virtnet.linux.virt_network:
    name: lan
    mode: open
    bridge:
      ports: [eth0]
      enslave_uplink: true
      confirm_within: 120
    ipv4: {address: none}

- name: Guests are in VLANs of an Open vSwitch bridge, which libvirt knows as portgroups
  virtnet.linux.virt_network:
    name: office
    bridge:
      type: openvswitch
      ports: [eth1]
      rstp: true
      fail_mode: standalone
      vlans:
        - {port: eth1, trunks: [10, 20], mode: trunk}
        - {port: tap-a, tag: 10}
        - {port: tap-b, portgroup: staff}
    libvirt:
      register: true
      virtualport:
        type: openvswitch
        parameters: {profileid: office, interfaceid: 09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f}
      vlan:
        trunk: true
        tags: [{id: 10, native_mode: untagged}, {id: 20}]
      trust_guest_rx_filters: false
      metadata:
        - <team:name xmlns:team="https://example.org/team">office</team:name>
      portgroups:
        - name: staff
          default: true
          trust_guest_rx_filters: true
          vlan:
            trunk: true
            tags: [{id: 10, native_mode: untagged}]
          bandwidth:
            inbound: {average: 1000, peak: 5000, burst: 1024}
            outbound: {average: 1000, peak: 5000, burst: 1024}
          virtualport:
            type: openvswitch
            parameters: {profileid: staff, interfaceid: 09b11c53-8b5c-4eeb-8f00-d84eaa0aaa50}

- name: Guests of a bridge of somebody else's are known to a switch by 802.1Qbg
  virtnet.linux.virt_network:
    name: datacenter
    mode: bridged
    bridge: br0
    libvirt:
      virtualport:
        type: 802.1Qbg
        parameters: {managerid: "11", typeid: "1193047", typeidversion: "2",
                     instanceid: 09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f}
      portgroups:
        - name: production
          virtualport:
            type: 802.1Qbg
            parameters: {managerid: "11", typeid: "1193048", typeidversion: "2",
                         instanceid: 09b11c53-8b5c-4eeb-8f00-d84eaa0aaa50}

- name: Subnets are /26 of one pool, and none is that of another host
  virtnet.linux.virt_network:
    name: lab
    pools:
      - {subnet: 10.128.0.0/16, prefix: 26}
    fleet:
      position: 0
      of: 2
      held:
        - {host: b.example.org, network: lab, subnet: 10.128.4.0/26, first: false}

- name: A network of libvirt's is defined from its XML, stopped
  virtnet.linux.virt_network:
    xml: "{{ lookup('ansible.builtin.file', 'default.xml') }}"
    state: inactive

- name: Their bridges are there
  virtnet.linux.bridge:
    bridges: "{{ defined.bridges }}"
"""

RETURN = r"""
networks:
  description: The definitions of all networks of this host, every default filled in.
  returned: success
  type: list
  elements: dict
bridges:
  description: Options for M(virtnet.linux.bridge).
  returned: success
  type: list
  elements: dict
rules:
  description: Options for M(virtnet.linux.nft_nat).
  returned: success
  type: list
  elements: dict
fragments:
  description: Options for M(virtnet.linux.dnsmasq_fragment).
  returned: success
  type: list
  elements: dict
entries:
  description: Options for M(virtnet.linux.resolvconf_entry).
  returned: success
  type: list
  elements: dict
registrations:
  description: Options for M(virtnet.linux.libvirt_network).
  returned: success
  type: list
  elements: dict
pending:
  description:
    - What those modules would change now, a sentence each. Where it is empty, their tasks can be skipped.
  returned: success
  type: list
  elements: str
  sample: ["bridge vn-lab: created"]
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["network lab: defined"]
"""

from ansible.module_utils.basic import AnsibleModule

# First: it refuses a Python that is too old for the others.
from ..module_utils.tasks.registry import virt_network

# isort: split
from ..module_utils.core.fields import argument_spec
from ..module_utils.network.model import Network

ARGUMENTS = {
    **argument_spec(Network),
    "networks": {"type": "raw"},
    "pools": {"type": "list", "elements": "raw"},
    "fleet": {"type": "dict"},
    "firewall_integration": {"type": "bool"},
    "resolver": {
        "type": "str",
        "choices": ["auto", "none", "openresolv", "resolvconf", "systemd-resolved", "networkmanager", "plain"],
    },
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Entry point."""
    virt_network(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
