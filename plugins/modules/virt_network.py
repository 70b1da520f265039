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
        done, so that only O(bridge) with C(name) and C(type), O(isolate_guests) and O(libvirt) can go with it.
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
      - The bridge of the network - C(name) (V(vn-NAME) if not given; where that has over 15 characters, the first 8 of
        the name and 4 of its hash), C(type), C(mac), C(mtu), C(stp), C(forward_delay), C(ports),
        C(fdb_max_learned), C(multicast_snooping), C(hairpin), C(enslave_uplink), C(confirm_within); see
        M(virtnet.linux.bridge).
      - A string is the C(name).
      - C(zone) - a zone of firewalld that is there, in place of ours; see O(virtnet.linux.nft_nat#module:zone). Refused
        if firewalld does not run.
    type: raw
  ipv4:
    description:
      - C(address) - the host's address in CIDR notation, V(auto) (the default) for a free subnet of O(pools) that is
        then kept, or V(none). V(192.168.30.1) is V(192.168.30.1/24); below 192.0.0.0 the length is required.
      - C(dhcp) - C(enabled) (V(true)), C(lease_time) (V(10m) with V(auto), whose subnet may change, else V(1h)),
        C(ranges) of C(start), C(end), C(lease_time) (if not given, all of the subnet but the host's address; an empty
        list is for static hosts alone, and a warning where there are none),
        C(hosts) of C(mac), one or a list for several interfaces of one guest, or C(id), C(name), C(ip), C(lease_time),
        C(ignore_client_ids) (V(false); with V(true), clones of a machine that send the same client id get an address
        each), C(options), DHCP options by name or number, refused where guests would get another value,
        C(boot) of C(file) and C(server), or a list of these with C(arch) and C(ipxe), and C(tftp_root); see
        M(virtnet.linux.dnsmasq_fragment).
      - Guests are told the bridge's C(mtu) if it is given.
    type: dict
  ipv6:
    description:
      - C(address) - the host's address in CIDR notation (V(/64) if there is no length), V(auto) for a /64 of the
        host's own unique local prefix (RFC 4193), or V(none) (the default). Where the kernel has no IPv6, V(auto) is
        V(none), with a warning.
      - C(ra) - V(true) (the default) to advertise the host as a router, and with it the addresses.
      - C(ra_param) - C(preference), C(interval), C(lifetime) and C(mtu) of the advertisements; see
        O(virtnet.linux.dnsmasq_fragment#module:ipv6.ra_param).
      - C(ra_names) - V(true) (the default) for names of the addresses that guests make.
      - C(slaac) - V(true) (the default) for guests that make addresses of their own, also beside those of C(dhcp). With
        V(false) they have those of DHCPv6 alone, as in networks of libvirt's with DHCPv6.
      - C(ndp_proxy) - V(true) where C(address) is a part of a prefix whose router looks for each address on the link of
        the O(uplink), as with a rented server that has one /64. The host then answers neighbour solicitations there
        for those guests that answer them on the bridge. It is the work of the guard, and for guests that go out with
        their own addresses (mode V(routed), or C(nat.ipv6) V(false)). V(false) is the default.
      - C(deprecated) - prefixes of O(extra_addresses) that guests are to stop using, when the network has another
        C(address) now; see O(virtnet.linux.dnsmasq_fragment#module:ipv6.deprecated).
      - C(dhcp) - C(enabled) (V(false)), C(stateless) (V(false) - with V(true), options alone), and C(ranges), C(hosts)
        and C(options) as for C(ipv4); see M(virtnet.linux.dnsmasq_fragment).
    type: dict
  nat:
    description: C(ipv6), C(source), C(ports) and C(except); see M(virtnet.linux.nft_nat).
    type: dict
  isolate_guests:
    description: Guests reach the host and the outside, but not each other. V(false) if not given.
    type: bool
  connection_rate:
    description:
      - How many new connections all guests of the network may have in a second, V(0) for any number; V(2000) if not
        given. See M(virtnet.linux.nft_nat). Not for the modes V(open) and V(bridged).
    type: int
  conntrack_helpers:
    description:
      - Helpers of conntrack for connections that guests begin, in modes nat and routed, at the usual ports - V(ftp) for
        active FTP, V(sip), V(tftp); see M(virtnet.linux.nft_nat). None if not given.
      - A helper whose module the running kernel lacks is refused.
    type: list
    elements: str
    choices: [ftp, sip, tftp]
  policy:
    description:
      - Which flows of guests pass. An entry of O(policy.deny) is looked up before those of O(policy.allow), and
        O(policy.default) decides the rest. The first packet of a flow is looked up; answers and later packets pass.
        Frames within the network are no matter of policies. Not for the modes V(open) and V(bridged).
    type: dict
    suboptions:
      default:
        description:
          - Whether other flows pass as the mode of the network has it (V(allow), which is meant if not given), or are
            refused (V(deny)).
        type: str
        choices: [allow, deny]
      to_host:
        description:
          - The ports of the host that guests reach, at any of its addresses. V(all) if not given.
          - V(services) stands for those that the network has of DNS, DHCP and TFTP. In a list, this and the words
            V(dns), V(dhcp) and V(tftp) stand beside mappings of C(protocol) and C(port), a number or a range
            such as V(8000-8010).
          - Guests can ping the host in any case.
        type: raw
      allow:
        description:
          - Flows that pass, even into a network that is closed to others, if C(network) names it. That network needs no
            option.
          - C(from) - an address or subnet of the network, or the name of a static host.
          - C(network) - another network, by its name.
          - C(to) - an address or subnet, or with C(network) the name of a static host there.
          - C(protocol) - V(tcp), V(udp), V(sctp), V(icmp) (of both families), V(gre), V(esp) or V(ah).
          - C(port) - a number, or a range such as V(8000-8010).
          - What is not given stands for all.
        type: list
        elements: dict
      deny:
        description: Flows that are refused, as entries of O(policy.allow).
        type: list
        elements: dict
      log:
        description: Whether the kernel logs refused flows, at most 10 in a second.
        type: bool
  clamp_mss:
    description:
      - Whether TCP segments of guests fit the MTU of the host's routes, such as those over PPPoE or WireGuard. V(true)
        if not given. See M(virtnet.linux.nft_nat). Not for the modes V(open) and V(bridged).
    type: bool
  port_forwards:
    description:
      - Ports of the host that lead to a guest, from outside, from the host itself and from guests, also of the same
        network; not from isolated networks. With O(uplink), only from there and from the network itself.
      - C(protocol) - V(tcp) (the default), V(udp) or V(sctp).
      - C(port) and C(to_port) (the same if not given), or C(port_range) of C(start) and C(end), whose ports stay.
      - C(address) - of the host; if not given, all but loopback.
      - C(to) - address of the guest, or the name of a DHCP host with an ip.
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
      - Subnets behind guests - C(to), C(via) and C(metric); see M(virtnet.linux.bridge). They may send and, where
        O(mode) lets them, be reached as the guests themselves. Need a fixed address of the network.
    type: list
    elements: dict
  bandwidth:
    description: C(inbound) and C(outbound), each of C(average), C(peak) and C(burst); see M(virtnet.linux.bridge).
    type: dict
  port_security:
    description:
      - Which frames of guests the bridge takes - C(level), V(off) (the default) or V(gateway), C(trusted_ports) of
        guests, and C(trusted_hosts), names of static hosts or MAC addresses; see
        O(virtnet.linux.bridge#module:port_security).
      - A string is the C(level).
    type: raw
  dns:
    description:
      - C(enabled) (V(true)), C(domain), C(local_only) (V(true) - names of the domain are not asked elsewhere),
        C(host_resolver) (V(true) - the host resolves the guests' names).
      - Without C(domain), a network that is defined first gets C(NAME.internal), in small letters and with V(-) for
        other characters, and with a part of a hash where that is the domain of others. An empty C(domain) is none.
        Networks from XML without a domain, and those that are stored without one, go on without.
      - C(hosts) of C(ip) and C(names), C(srv), C(txt), C(cname), C(wildcards) of C(name) and C(ip), C(forwarders) of
        C(domain), C(address) and C(port), C(local_ptr), and C(ttl), the seconds for which clients may keep an answer;
        see O(virtnet.linux.dnsmasq_fragment#module:names).
      - A name without a dot is one of the domain.
      - With C(forward_plain_names), C(ttl), a forwarder without domain, or names outside of the domain, the network has
        a private dnsmasq of its own.
      - The name server of an isolated network is always a private dnsmasq, which knows the names of its guests alone.
        Where none can run the run is refused; with C(enabled) V(false) the network has no name server.
    type: dict
  dnsmasq:
    description:
      - C(instance) - V(system) is the system's dnsmasq, V(private) one that runs for networks of ours, and V(auto), the
        default, takes the system's where that is enabled and can serve the network, and else a private one.
      - C(options) - further lines of dnsmasq's configuration. Lines of DHCP that take tags hold for the network alone,
        in either dnsmasq; others need a private one. Those about its interfaces, ports and files are refused. Those
        that run programs, change the user, read or write other files, or have dnsmasq answer elsewhere bring a warning
        with DHCP and DNS.
      - C(redirect) - whether a private dnsmasq listens at ports of its own, to which rules redirect the guests, so that
        it runs beside any other server at ports 53 and 67. By default where another one holds these, and then as long
        as it is a private one.
    type: dict
  libvirt:
    description:
      - What libvirt is told of the network, so that its guests can have it by name - C(register) (V(auto), the default,
        where libvirt's network driver is installed; V(true); V(false)), C(portgroups) of C(name), C(default),
        C(trust_guest_rx_filters), C(virtualport), C(vlan) and C(bandwidth), C(virtualport) and C(vlan) of the network,
        C(trust_guest_rx_filters), and C(metadata), a list of XML texts, each an element with a namespace.
      - See M(virtnet.linux.libvirt_network).
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
      - Where subnets for C(address=auto) come from - CIDRs that are cut into /24, or mappings of C(subnet) and
        C(prefix). If not given, those of the last run that gave some, at first V(192.168.0.0/16).
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
      - C(position) of this host among C(of) hosts - every host has its own share of the pools, so that hosts that
        choose at the same moment choose differently.
      - C(held) - a list of C(host), C(network), C(subnet) and C(first). A new network with C(address=auto) takes none
        of these. One that has its subnet keeps it, unless C(first) says that the administrator fixed it on that host.
      - A host's claims beyond its share of the pools are ignored where no other subnet is free, with a warning. Those
        with C(first) count always.
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
