# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options inside of those of the module bridge. Written by python -m tools.option_docs."""

from __future__ import annotations


class ModuleDocFragment:
    """Options inside of options."""

    DOCUMENTATION = r"""
options:
  vlans:
    suboptions:
      port:
        description: The port, by the name of its interface.
        type: str
        required: true
      tag:
        description: The VLAN that frames of the port belong to, 0 to 4095; column C(tag) in ovs-vswitchd.conf.db(5).
        type: int
      trunks:
        description: The VLANs that the port carries with a tag, such as V([10, 20]); column C(trunks).
        type: list
        elements: int
      mode:
        description: How the port handles tags; column C(vlan_mode). Open vSwitch decides by O(vlans[].tag)
          and O(vlans[].trunks) if not given.
        type: str
        choices:
          - access
          - trunk
          - native-tagged
          - native-untagged
  routes:
    suboptions:
      to:
        description: The subnet.
        type: str
        required: true
      via:
        description: The address of the guest that leads there.
        type: str
        required: true
      metric:
        description: The metric of the route.
        type: int
        default: 1
  port_security:
    suboptions:
      level:
        description:
          - With V(gateway) no guest answers as DHCP server of IPv4 or IPv6, sends router advertisements
            or redirects, or claims the MAC address or an address of the host on the bridge by
            ARP or neighbour discovery.
        type: str
        choices:
          - 'off'
          - gateway
        default: 'off'
      trusted_ports:
        description: Ports of guests that are not checked, by the names of their interfaces.
        type: list
        elements: str
      trusted_macs:
        description:
          - MAC addresses whose frames are not checked, for a guest that is a router or a DHCP
            server on purpose. Another guest could forge such a MAC address, but not a port.
        type: list
        elements: str
  bandwidth:
    suboptions:
      inbound:
        description: What the guests receive. No limit if not given.
        type: dict
        suboptions:
          average:
            description: Kilobytes a second.
            type: int
            required: true
          peak:
            description: Kilobytes a second at which O(bandwidth.inbound.burst) may pass. As fast
              as the link is if not given.
            type: int
          burst:
            description: How much may pass faster than O(bandwidth.inbound.average), in KiB. V(64)
              if not given.
            type: int
      outbound:
        description: What the guests send. No limit if not given.
        type: dict
        suboptions:
          average:
            description: Kilobytes a second.
            type: int
            required: true
          peak:
            description: Kilobytes a second at which O(bandwidth.outbound.burst) may pass. As
              fast as the link is if not given.
            type: int
          burst:
            description: How much may pass faster than O(bandwidth.outbound.average), in KiB.
              V(64) if not given.
            type: int
"""
