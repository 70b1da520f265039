# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options inside of those of the module nft_nat. Written by python -m tools.option_docs."""

from __future__ import annotations


class ModuleDocFragment:
    """Options inside of options."""

    DOCUMENTATION = r"""
options:
  nat:
    suboptions:
      ipv6:
        description:
          - Whether there is NAT of IPv6 too. With V(false), IPv6 is routed to the outside with
            the guests' own addresses, and still nobody gets in.
        type: bool
        default: true
      source:
        description:
          - The IPv4 addresses that guests come out with, which must lead to this host. If not
            given, the address of the interface that a packet leaves by.
        type: dict
        suboptions:
          start:
            description: The first address.
            type: str
          end:
            description: The last address. The first alone if not given.
            type: str
      ports:
        description: The source ports of guests' connections over TCP and UDP.
        type: dict
        suboptions:
          start:
            description: The first port.
            type: int
            default: 1024
          end:
            description: The last port.
            type: int
            default: 65535
      except:
        description:
          - Subnets in CIDR notation, IPv4 and IPv6, such as V([10.8.0.0/16]) of a VPN, or those
            of a neighbouring router that has a route to the guests. New connections of guests
            reach them with the guests' own addresses. Still nobody gets in.
        type: list
        elements: str
        version_added: 1.1.0
  port_forwards:
    suboptions:
      to:
        description: Address of the guest.
        type: str
        required: true
      protocol:
        description: The protocol.
        type: str
        choices:
          - tcp
          - udp
          - sctp
        default: tcp
      port:
        description: The port of the host. Either this or O(port_forwards[].port_range) is given.
        type: int
      port_range:
        description: Ports of the host, which are those of the guest too.
        type: dict
        suboptions:
          start:
            description: The first port.
            type: int
            required: true
          end:
            description: The last port.
            type: int
            required: true
      to_port:
        description: The port of the guest. O(port_forwards[].port) if not given.
        type: int
      address:
        description: The address of the host. All but loopback if not given.
        type: str
  policy:
    suboptions:
      default:
        description: Whether other flows pass as the mode of the network has it (V(allow)), or
          are refused (V(deny)).
        type: str
        choices:
          - allow
          - deny
        default: allow
      to_host:
        description:
          - The ports of the host that guests reach, at any of its addresses - V(all), V(services)
            for DNS and DHCP, or a list.
          - A list has the words V(services), V(dns), V(dhcp) and V(tftp), and mappings of O(policy.to_host.protocol)
            and O(policy.to_host.port).
          - Guests can ping the host in any case.
        type: raw
        default: all
        suboptions:
          port:
            description: A number, or a range such as V(8000-8010).
            type: str
            required: true
          protocol:
            description: The protocol of the port.
            type: str
            choices:
              - tcp
              - udp
              - sctp
            default: tcp
      allow:
        description:
          - Flows that pass, even into a network that is closed to others, if C(network) names
            it. That network needs no option.
          - What an entry does not say stands for all.
        type: list
        elements: dict
        suboptions:
          from:
            description: An address or subnet of the network.
            type: str
          network:
            description: Another network, by its name.
            type: str
          to:
            description: An address or subnet.
            type: str
          protocol:
            description: The protocol. V(icmp) is that of both families.
            type: str
            choices:
              - tcp
              - udp
              - sctp
              - icmp
              - gre
              - esp
              - ah
          port:
            description: A number, or a range such as V(8000-8010).
            type: str
      deny:
        description: Flows that are refused, as entries of O(policy.allow).
        type: list
        elements: dict
        suboptions:
          from:
            description: An address or subnet of the network.
            type: str
          network:
            description: Another network, by its name.
            type: str
          to:
            description: An address or subnet.
            type: str
          protocol:
            description: The protocol. V(icmp) is that of both families.
            type: str
            choices:
              - tcp
              - udp
              - sctp
              - icmp
              - gre
              - esp
              - ah
          port:
            description: A number, or a range such as V(8000-8010).
            type: str
      log:
        description: Whether the kernel logs refused flows, at most 10 in a second.
        type: bool
        default: false
"""
