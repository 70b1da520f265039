#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: DHCP and DNS of virtual networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dnsmasq_fragment
short_description: dnsmasq gives a virtual network DHCP and DNS
version_added: 0.1.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - The system's dnsmasq serves a network where it is enabled and its configuration lets it, else a private one.
  - For the system's, keeps one file for each network, C(/etc/dnsmasq.d/virtnet-NAME.conf). Whatever else it is
    configured to do stays as it is, and is read first, in dnsmasq's own syntax, since what the file must say depends
    on it. Where the engine is installed (M(virtnet.linux.host)), that is decided anew before each start of
    C(dnsmasq.service).
  - A private one is C(virtnet-dnsmasq@NAME.service). Networks share the one named C(_shared), except those without
    O(dns) or without O(upstream), those without O(domain) where others have one, and all of them where another DHCP
    server is not bound to its interfaces; these have one each, of their own name. The files are
    C(/etc/virtnet/dnsmasq.d/NAME.conf) for a network and C(/etc/virtnet/dnsmasq/NAME.conf) for an instance.
  - Where a network goes from one dnsmasq to another, its leases go along.
  - dnsmasq itself tests the whole configuration before a file is replaced. Then it is restarted, once and only when
    something changed, and has to answer on each changed bridge that is there. Where it does not, the old files come
    back, and the error says what dnsmasq said. Leases survive.
  - Where only O(hosts), O(ipv6.hosts) or O(names.hosts) change, which are in files of their own,
    C(/etc/virtnet/dnsmasq.hosts/NAME.dhcp) and C(NAME.names), it reads these again on a signal instead, and no query
    is lost. Where it does not do that as it should, it is restarted.
  - Where no dnsmasq can serve a network, nothing is touched, and the error names the cause, as the line of the
    configuration or the process that holds a port, and the cure.
extends_documentation_fragment:
  - virtnet.linux.attributes
  - virtnet.linux.dnsmasq_fragment
requirements:
  - dnsmasq >= 2.80
  - systemd
options:
  name:
    description: The network's name. Required unless O(fragments) is given.
    type: str
  interface:
    description: The network's bridge. Required when the fragment is present. It may be made later.
    type: str
  state:
    description: V(present) (the default) or V(absent).
    type: str
    choices: [present, absent]
  instance:
    description:
      - Which dnsmasq. V(auto) (the default) is the system's where C(dnsmasq.service) is enabled and can serve the
        network, else a private one.
    type: str
    choices: [auto, system, private]
  redirect:
    description:
      - Whether its private dnsmasq has ports of its own, 23053 for DNS and 23067 for DHCP, so that it can run beside
        other servers at ports 53 and 67. V(false) if not given.
      - M(virtnet.linux.nft_nat) redirects the guests to them, with C(redirect_dns) and C(redirect_dhcp). DHCPv6 has no
        other port.
    version_added: 1.1.0
    type: bool
  address:
    description:
      - The host's IPv4 address on the bridge with its prefix length.
      - Required when the fragment is present, unless O(ipv6) is given.
    type: str
  ranges:
    description: Addresses that are handed out. With neither ranges nor O(hosts) there is no DHCP.
    type: list
    elements: dict
  hosts:
    description:
      - Guests with a fixed address, name or lease time. The address may lie outside the ranges, within the subnet.
      - A guest is known by its O(hosts[].mac), by its O(hosts[].id), or by the O(hosts[].name) that it says it has.
    type: list
    elements: dict
  ignore_client_ids:
    description:
      - Guests are known by their MAC addresses, whatever client id they send (RFC 2132 section 9.14). Otherwise guests
        that send the same one, as clones of a machine do, get the same address. V(false) if not given.
      - Needs a private dnsmasq, or C(dhcp-ignore-clid) in the system's own configuration, and no O(hosts[].id).
      - Client ids of static hosts with O(hosts[].mac) are ignored always.
    version_added: 1.1.0
    type: bool
  options:
    description:
      - DHCP options by the name that C(dnsmasq --help dhcp) lists, or by number. A list is several values.
      - One that O(router) or O(dns) speaks of goes before it. An empty one of V(1), V(3), V(6), V(12),
        V(15) or V(28) is not sent at all; any other empty one is sent with a length of 0.
      - Clients ignore the router where they get static routes (V(121), RFC 3442), so these get the default route
        through it, if they have none.
      - The value V("\\n") of V(252) says that there is no proxy (WPAD).
    type: dict
  boot:
    description:
      - What guests load that start from the network. A mapping is for all guests; a list is for guests of several
        kinds, each item for those of an architecture, those that run iPXE already, or all others.
      - Their order does not matter. An item with O(boot.ipxe) goes before those for firmware, and one with O(boot.arch)
        before one without.
    type: raw
  tftp_root:
    description:
      - A folder of the host, readable for everybody, that guests of this bridge can load files from by TFTP, also
        without DHCP.
      - Where dnsmasq serves TFTP already, its other clients keep their own folder.
      - A folder that is not for the public, such as V(/etc), or that holds one, such as V(/), brings a warning.
    type: str
  ipv6:
    description: What guests get over IPv6. Nothing if not given.
    type: dict
  domain:
    description: The domain of the guests' names.
    type: str
  local_only:
    description: Names of O(domain) that nobody has are not asked for elsewhere. V(true) if not given.
    type: bool
  router:
    description: Guests are told that the host is their way out. V(true) if not given; V(false) tells them no router.
    type: bool
  dns:
    description: Guests are told that the host is their DNS server. V(true) if not given; V(false) tells them none.
    type: bool
  names:
    description:
      - DNS records, and where queries go. A name without a dot is one of O(domain), and others have to be.
      - What would hold for everybody whom dnsmasq serves needs a private one, in which the network then is alone.
    type: dict
  upstream:
    description:
      - Guests may also ask for names of the outside. V(true) if not given.
      - With V(false), a private dnsmasq knows only its network's names. The system's answers names of others to
        everybody, so it serves such a network with O(dns=false) alone.
    type: bool
  raw:
    description:
      - Further lines of dnsmasq's configuration, which dnsmasq tests. They win over what other options fill in.
      - The system's dnsmasq gets lines of DHCP that a tag can limit to this network, such as C(dhcp-option),
        C(dhcp-boot) and C(dhcp-ignore). Other lines need a private one, or have to be in the
        administrator's own configuration.
      - Lines that reach beyond DHCP and DNS of the network bring a warning that names them. They run programs (such as
        C(dhcp-script)), change the user, read or write other files, or have dnsmasq answer elsewhere.
    type: list
    elements: str
  fragments:
    description: Several networks, each with the options above. Cannot stand beside them.
    type: list
    elements: dict
  purge:
    description: Remove fragments of ours that the task does not name.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Guests of the network lab get addresses and names
  virtnet.linux.dnsmasq_fragment:
    name: lab
    interface: vn-lab
    address: 192.168.30.1/24
    domain: lab.example
    ranges:
      - start: 192.168.30.2
        end: 192.168.30.200
        lease_time: 12h
    hosts:
      - mac: "52:54:00:00:00:10"
        name: web
        ip: 192.168.30.210
      - id: "01:52:54:00:00:00:11"
        name: printer
        lease_time: 1d
    options:
      ntp-server: 192.168.30.1
      mtu: 1400
    boot:
      - {arch: bios, file: undionly.kpxe, server: 192.168.30.5}
      - {arch: x86_64-uefi, file: ipxe.efi, server: 192.168.30.5}
      - {arch: x86_64-http, file: "http://192.168.30.1/ipxe.efi"}
      - {ipxe: true, file: "http://192.168.30.1/menu.ipxe"}
    names:
      hosts:
        - ip: 192.168.30.1
          names: [gateway]
      cname:
        - name: www
          target: web
      wildcards:
        - name: "*.apps.lab.example"
          ip: 192.168.30.210

- name: Guests make IPv6 addresses, and one of them has a fixed one
  virtnet.linux.dnsmasq_fragment:
    name: six
    interface: vn-six
    domain: six.example
    ipv6:
      address: fd00:30::1/64
      hosts:
        - id: "00:03:00:01:52:54:00:00:00:10"
          name: web
          ip: fd00:30::10

- name: Guests get IPv6 addresses by DHCPv6 alone
  virtnet.linux.dnsmasq_fragment:
    name: managed
    instance: private
    interface: vn-managed
    domain: managed.example
    ipv6:
      address: fd00:31::1/64
      ra: true
      ra_param: {preference: high, interval: 60, lifetime: 600, mtu: 1400}
      slaac: false
      ranges: [{start: "fd00:31::100", end: "fd00:31::1ff", lease_time: 1h}]
      hosts: [{mac: "52:54:00:00:00:10", name: web, ip: "fd00:31::10", lease_time: 1d}]
      options: {ntp-server: "fd00:31::1"}

- name: Guests make IPv6 addresses of a new prefix, and are to stop using those of the old one
  virtnet.linux.dnsmasq_fragment:
    name: moved
    interface: vn-moved
    domain: moved.example
    ipv6:
      address: fd00:32::1/64
      ra_names: false
      stateless: true
      deprecated: ["fd00:33::/64"]

- name: A network has records, and its queries for a domain go to the servers of that
  virtnet.linux.dnsmasq_fragment:
    name: office
    instance: private
    interface: vn-office
    address: 192.168.32.1/24
    domain: office.example
    names:
      srv:
        - {service: ldap, protocol: tcp, domain: office.example, target: ldap.office.example, port: 389, priority: 10,
           weight: 5}
      txt:
        - {name: office.example, value: ["v=spf1 -all"]}
      forwarders:
        - {domain: corp.example, address: 10.0.0.53, port: 5353}
      forward_plain_names: false
      local_ptr: true
      ttl: 60

- name: Two networks are served, and no others of ours
  virtnet.linux.dnsmasq_fragment:
    fragments:
      - name: lab
        interface: vn-lab
        address: 192.168.30.1/24
        ranges: [{start: 192.168.30.2, end: 192.168.30.254}]
      - name: closed
        interface: vn-closed
        address: 192.168.31.1/24
        router: false
        ranges: [{start: 192.168.31.2, end: 192.168.31.254}]
    purge: true

- name: The network lab is no longer served
  virtnet.linux.dnsmasq_fragment:
    name: lab
    state: absent
"""

RETURN = r"""
fragments:
  description: The fragments that are there, every default filled in.
  returned: success
  type: list
  elements: dict
  sample:
    - name: lab
      state: present
      instance: system
      interface: vn-lab
      address: 192.168.30.1/24
      ranges: [{start: 192.168.30.2, end: 192.168.30.254, lease_time: 1h}]
      hosts: []
      options: {}
      boot: null
      tftp_root: null
      ipv6: null
      domain: lab.example
      local_only: true
      router: true
      dns: true
      names: {hosts: [], srv: [], txt: [], cname: [], wildcards: [], forwarders: [], forward_plain_names: null,
              local_ptr: null, ttl: null}
      upstream: true
      raw: []
changes:
  description: What was changed, or would be, a sentence each.
  returned: success
  type: list
  elements: str
  sample: ["lab: virtnet-lab.conf created"]
"""

from ansible.module_utils.basic import AnsibleModule

# First: it refuses a Python that is too old for the others.
from ..module_utils.tasks.registry import dnsmasq_fragment

# isort: split
from ..module_utils.core.fields import argument_spec
from ..module_utils.dnsmasq.spec import FragmentSpec

ARGUMENTS = {
    **argument_spec(FragmentSpec),
    "fragments": {"type": "list", "elements": "dict"},
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Entry point."""
    dnsmasq_fragment(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
