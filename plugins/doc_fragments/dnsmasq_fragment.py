# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options inside of those of the module dnsmasq_fragment. Written by python -m tools.option_docs."""

from __future__ import annotations


class ModuleDocFragment:
    """Options inside of options."""

    DOCUMENTATION = r"""
options:
  ranges:
    suboptions:
      start:
        description: The first address.
        type: str
        required: true
      end:
        description: The last address.
        type: str
        required: true
      lease_time:
        description:
          - Seconds, or a number with C(m), C(h), C(d) or C(w), or V(infinite); at least two minutes.
          - If not given, that of the network; V(1h) where it has none.
        type: str
  hosts:
    suboptions:
      mac:
        description: The guest's MAC address, or those of several interfaces of one guest of which
          one is in use at a time.
        type: list
        elements: str
      id:
        description: The client id of the guest, as bytes such as V(01:52:54:00:12:34:56), or
          as a word.
        type: str
      name:
        description: The guest's name, such as V(web), V(web_1) or V(web.lab.example). The domain
          is always that of the network.
        type: str
      ip:
        description: The guest's address. It may lie outside the ranges, within the subnet.
        type: str
      lease_time:
        description: As for ranges. That of the range if not given.
        type: str
  boot:
    suboptions:
      file:
        description: Name or URL of the file, at most 127 bytes.
        type: str
        required: true
      server:
        description: IPv4 address or name of the TFTP server. The host itself if not given.
        type: str
      arch:
        description:
          - The architecture of the guests (RFC 4578) - V(bios), V(x86-uefi), V(x86_64-uefi),
            V(arm-uefi), V(aarch64-uefi), V(riscv64-uefi), V(loongarch64-uefi), the same with
            V(-http) in the place of V(-uefi) for firmware that loads a URL, V(bios-http), or
            a number of IANA's registry.
          - All if not given.
        type: str
        version_added: 1.1.0
      ipxe:
        description: Whether the file is for guests that run iPXE already.
        type: bool
        default: false
        version_added: 1.1.0
  ipv6:
    suboptions:
      address:
        description: The host's IPv6 address on the bridge with its prefix length.
        type: str
        required: true
      ra:
        description:
          - Router advertisements, on this bridge alone, of which guests make addresses.
          - Where O(ipv6.ranges) or O(ipv6.hosts) hand out addresses, guests make one of their
            own besides, unless O(ipv6.slaac=false).
        type: bool
        default: true
      ra_param:
        description: What router advertisements say besides.
        type: dict
        version_added: 1.1.0
        suboptions:
          preference:
            description: For guests with several routers (RFC 4191).
            type: str
            choices:
              - high
              - medium
              - low
            default: medium
          interval:
            description: Seconds between two advertisements, 4 to 1800. dnsmasq's default is 600.
            type: int
          lifetime:
            description:
              - For how many seconds the host is the guests' default router, V(0) for not at all;
                at most 9000. Three intervals if not given.
            type: int
          mtu:
            description: The MTU of the guests, 1280 to 65535. That of the bridge if not given.
            type: int
      ra_names:
        description:
          - Whether the addresses that guests make get the names that the guests have over IPv4.
          - dnsmasq finds out such an address from the MAC address and a ping; it misses random
            ones.
        type: bool
        default: true
      slaac:
        description:
          - Whether guests make addresses of their own (RFC 4862).
          - With V(false) they have those of DHCPv6 alone, so O(ipv6.ranges) or O(ipv6.hosts)
            are needed. dnsmasq can do that only for all of its networks, so the network gets
            a private one, unless the system's has C(enable-ra).
        type: bool
        default: true
        version_added: 1.1.0
      deprecated:
        description:
          - Further prefixes of the bridge, each a /64, whose addresses guests keep for two hours,
            and use for no new connections (a preferred lifetime of 0, RFC 4862), as after a network
            was renumbered (RFC 9096). The bridge needs an address of each.
          - For guests that make their own addresses, without O(ipv6.ranges) and O(ipv6.hosts).
        type: list
        elements: str
        version_added: 1.1.0
      stateless:
        description: Guests make their addresses, and get O(ipv6.options) by DHCPv6.
        type: bool
        default: false
      ranges:
        description: Addresses that DHCPv6 hands out. With neither these nor O(ipv6.hosts) there
          are none.
        type: list
        elements: dict
        suboptions:
          start:
            description: The first address.
            type: str
            required: true
          end:
            description: The last address.
            type: str
            required: true
          lease_time:
            description:
              - Seconds, or a number with C(m), C(h), C(d) or C(w), or V(infinite); at least two
                minutes.
              - If not given, that of the network; V(1h) where it has none.
            type: str
      hosts:
        description: Guests with a fixed address, name or lease time.
        type: list
        elements: dict
        suboptions:
          mac:
            description: The guest's MAC address, a single one.
            type: list
            elements: str
          id:
            description: The guest's DUID, as bytes such as V(00:03:00:01:52:54:00:12:34:56).
            type: str
          name:
            description: The guest's name, one label.
            type: str
          ip:
            description: The guest's address. It may lie outside the ranges, within the subnet.
            type: str
          lease_time:
            description: As for ranges. That of the range if not given.
            type: str
      options:
        description:
          - DHCPv6 options by the name that C(dnsmasq --help dhcp6) lists, or by number.
        type: dict
  names:
    suboptions:
      hosts:
        description: Names of addresses. The first name is also what is told of the address.
        type: list
        elements: dict
        suboptions:
          ip:
            description: The address.
            type: str
            required: true
          names:
            description: The names of the address. One without a dot is of the domain.
            type: list
            elements: str
            required: true
      srv:
        description: Where services are (RFC 2782).
        type: list
        elements: dict
        suboptions:
          service:
            description: The service, such as V(ldap).
            type: str
            required: true
          protocol:
            description: The protocol, such as V(tcp).
            type: str
            required: true
          domain:
            description: The domain that has the service. That of the network if not given.
            type: str
          target:
            description: The host that provides the service. If not given, or V(.), the record
              says that there is none.
            type: str
          port:
            description: The port. Required with O(names.srv[].target).
            type: int
          priority:
            description: The lowest is asked first.
            type: int
            default: 0
          weight:
            description: The share among the hosts of one priority.
            type: int
            default: 0
      txt:
        description: Texts.
        type: list
        elements: dict
        suboptions:
          name:
            description: The name that has the text.
            type: str
            required: true
          value:
            description: One text or several, each of at most 255 bytes.
            type: list
            elements: str
            required: true
      cname:
        description: Aliases. dnsmasq answers for those whose target it knows itself.
        type: list
        elements: dict
        suboptions:
          name:
            description: The alias.
            type: str
            required: true
          target:
            description: The name that it stands for.
            type: str
            required: true
      wildcards:
        description: Names of which all below have one address, and they themselves too.
        type: list
        elements: dict
        version_added: 1.1.0
        suboptions:
          name:
            description:
              - The name, such as V(*.apps.lab.example); the V(*.) may be left out.
              - A name below that a static host, a lease or a record has, keeps its own address.
            type: str
            required: true
          ip:
            description: The address, or several, of either family. Queries of other types get
              an empty answer.
            type: list
            elements: str
            required: true
      forwarders:
        description:
          - Whom queries for a domain are sent to. A domain may have several servers, of which
            dnsmasq asks the one that answers fastest.
          - It asks them in the order of the list with the line C(strict-order) of its own configuration,
            which needs a private dnsmasq.
        type: list
        elements: dict
        suboptions:
          domain:
            description: The domain. If not given, all queries, which needs a private dnsmasq.
            type: str
          address:
            description: The server. If not given, the servers that all other queries are sent
              to.
            type: str
          port:
            description: The port of the server. 53 if not given.
            type: int
            version_added: 1.1.0
      forward_plain_names:
        description:
          - Whether names without a dot are asked for elsewhere.
          - If not given, a private dnsmasq does not, and that of the system does as its configuration
            says. If given, the system's serves the network where it has (V(false)) or has not
            (V(true)) C(domain-needed).
        type: bool
      local_ptr:
        description:
          - Whether names of the network's addresses that nobody has are not asked for elsewhere.
          - If not given, as for names of the domain, where there is one; else V(false).
        type: bool
      ttl:
        description:
          - For how many seconds clients may keep an answer about names of guests and records,
            0 to 2147483647; for a lease that ends earlier, until then. dnsmasq's C(local-ttl).
          - In a private dnsmasq V(0) if not given; in the system's, its configuration decides.
            If given, the system's serves the network where it has the same C(local-ttl).
        type: int
        version_added: 1.1.0
"""
