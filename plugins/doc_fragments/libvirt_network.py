# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options inside of those of the module libvirt_network. Written by python -m tools.option_docs."""

from __future__ import annotations


class ModuleDocFragment:
    """Options inside of options."""

    DOCUMENTATION = r"""
options:
  libvirt:
    suboptions:
      register:
        description:
          - Whether the network is registered with libvirt. V(auto) does so where libvirt's network
            driver is installed. V(true) insists on it.
        type: str
        choices:
          - auto
          - 'true'
          - 'false'
        default: auto
      portgroups:
        description: Groups of ports that guests can name, each with settings of its own.
        type: list
        elements: dict
        suboptions:
          name:
            description: The name of the portgroup.
            type: str
            required: true
          default:
            description: Whether the portgroup is that of guests that name none.
            type: bool
            default: false
          trust_guest_rx_filters:
            description: Whether the host takes over what a guest sets its network card to receive.
            type: bool
            default: false
          virtualport:
            description: The virtual port of these guests.
            type: dict
            suboptions:
              type:
                description: The type of the virtual port.
                type: str
                choices:
                  - 802.1Qbg
                  - 802.1Qbh
                  - openvswitch
                  - midonet
              parameters:
                description: The parameters that the type has.
                type: dict
                suboptions:
                  managerid:
                    description: The database of virtual stations, of V(802.1Qbg); 0 to 255.
                    type: str
                  typeid:
                    description: The type of the virtual station, of V(802.1Qbg).
                    type: str
                  typeidversion:
                    description: The version of O(libvirt.portgroups[].virtualport.parameters.typeid),
                      of V(802.1Qbg); 0 to 255.
                    type: str
                  instanceid:
                    description: UUID of the virtual station, of V(802.1Qbg).
                    type: str
                  profileid:
                    description: The name of the port profile, of V(802.1Qbh) and V(openvswitch).
                    type: str
                  interfaceid:
                    description: UUID of the interface, of V(openvswitch) and V(midonet).
                    type: str
          bandwidth:
            description: How much each guest of the portgroup gets.
            type: dict
            suboptions:
              inbound:
                description: What a guest receives. No limit if not given.
                type: dict
                suboptions:
                  average:
                    description: Kilobytes a second.
                    type: int
                  peak:
                    description: The most kilobytes a second, at which O(libvirt.portgroups[].bandwidth.inbound.burst)
                      may pass.
                    type: int
                  burst:
                    description: How much may pass at O(libvirt.portgroups[].bandwidth.inbound.peak),
                      in KiB.
                    type: int
              outbound:
                description: What a guest sends. No limit if not given.
                type: dict
                suboptions:
                  average:
                    description: Kilobytes a second.
                    type: int
                  peak:
                    description: The most kilobytes a second, at which O(libvirt.portgroups[].bandwidth.outbound.burst)
                      may pass.
                    type: int
                  burst:
                    description: How much may pass at O(libvirt.portgroups[].bandwidth.outbound.peak),
                      in KiB.
                    type: int
          vlan:
            description: The VLANs of guests' ports. libvirt sets them on bridges of Open vSwitch.
            type: dict
            suboptions:
              trunk:
                description: Whether a port with a single VLAN is a trunk; one with several always
                  is.
                type: bool
                default: false
              tags:
                description: The VLANs.
                type: list
                elements: dict
                suboptions:
                  id:
                    description: The number of the VLAN, 0 to 4095.
                    type: int
                    required: true
                  native_mode:
                    description: That frames of this VLAN are those without a tag, and whether
                      they leave with one.
                    type: str
                    choices:
                      - tagged
                      - untagged
      metadata:
        description: XML texts, each an element with a namespace of its own.
        type: list
        elements: str
      virtualport:
        description: The virtual port of guests that name no portgroup.
        type: dict
        suboptions:
          type:
            description: The type of the virtual port.
            type: str
            choices:
              - 802.1Qbg
              - 802.1Qbh
              - openvswitch
              - midonet
          parameters:
            description: The parameters that the type has.
            type: dict
            suboptions:
              managerid:
                description: The database of virtual stations, of V(802.1Qbg); 0 to 255.
                type: str
              typeid:
                description: The type of the virtual station, of V(802.1Qbg).
                type: str
              typeidversion:
                description: The version of O(libvirt.virtualport.parameters.typeid), of V(802.1Qbg);
                  0 to 255.
                type: str
              instanceid:
                description: UUID of the virtual station, of V(802.1Qbg).
                type: str
              profileid:
                description: The name of the port profile, of V(802.1Qbh) and V(openvswitch).
                type: str
              interfaceid:
                description: UUID of the interface, of V(openvswitch) and V(midonet).
                type: str
      vlan:
        description: The VLANs of guests' ports. libvirt sets them on bridges of Open vSwitch.
        type: dict
        suboptions:
          trunk:
            description: Whether a port with a single VLAN is a trunk; one with several always
              is.
            type: bool
            default: false
          tags:
            description: The VLANs.
            type: list
            elements: dict
            suboptions:
              id:
                description: The number of the VLAN, 0 to 4095.
                type: int
                required: true
              native_mode:
                description: That frames of this VLAN are those without a tag, and whether they
                  leave with one.
                type: str
                choices:
                  - tagged
                  - untagged
      trust_guest_rx_filters:
        description: Whether the host takes over what a guest sets its network card to receive.
        type: bool
        default: false
"""
