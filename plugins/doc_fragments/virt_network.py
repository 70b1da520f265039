# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options inside of those of the module virt_network. Written by python -m tools.option_docs."""

from __future__ import annotations


class ModuleDocFragment:
    """Options inside of options."""

    DOCUMENTATION = r"""
options:
  bridge:
    suboptions:
      name:
        description: Name of the bridge. V(vn-NAME) if not given; where that has over 15 characters,
          the first 8 and 4 of its hash.
        type: str
      type:
        description:
          - V(linux), the default, or V(openvswitch), which needs the package openvswitch-switch
            on the host.
          - Where the kernel has no datapath of Open vSwitch, its userspace datapath is used,
            and a warning says so.
          - A bridge keeps its type while it is there.
        type: str
        choices:
          - linux
          - openvswitch
        default: linux
      mac:
        description: MAC address. If not given, one that is derived from the host and the network's
          O(name), and therefore stable.
        type: str
      mtu:
        description:
          - Largest packet in bytes, 68 to 65535. With less than 1280 the kernel has no IPv6 on
            the bridge.
          - If not given, the kernel decides, which takes that of the port with the smallest one,
            or 1500. A value that was given before, or set by hand, is reset to that; the kernel
            does not follow the ports of such a bridge by itself any more, and each run does.
        type: int
      stp:
        description: Spanning tree protocol. V(false) if not given, so that a new guest is on
          the network at once.
        type: bool
        default: false
      forward_delay:
        description:
          - Seconds, 0 to 30, that a new port listens and learns. V(0) if not given; with O(bridge.stp),
            at least 2.
          - With Open vSwitch it counts for O(bridge.stp) and O(bridge.rstp) alone, and is at
            least 4.
        type: int
        default: 0
      ports:
        description:
          - Interfaces of the host to enslave. Others that are ports already stay.
          - A port that a run attached, since boot or with Open vSwitch at any time, and that
            the list does not name any more, is detached.
        type: list
        elements: str
      fdb_max_learned:
        description:
          - How many MAC addresses the bridge learns, V(0) for any number, at most 1000000. If
            not given, V(8192) where the kernel can do it (Linux 6.7), but any number with O(bridge.ports),
            behind which may be a whole LAN.
          - Frames to addresses that are not learned go to all ports, as at any bridge. A number
            that the kernel cannot do is refused.
          - Of a bridge of Open vSwitch the size of its table (C(other_config:mac-table-size)),
            10 at least; V(0), and if not given, leaves it to Open vSwitch, which has a limit
            of its own.
        type: int
        version_added: 1.1.0
      multicast_snooping:
        description:
          - Whether the bridge learns by IGMP and MLD which ports want a multicast group, and
            sends its packets there alone. V(false) sends them to all ports. If not given, it
            is V(true), as by default of the kernel. Only for Linux bridges.
        type: bool
        version_added: 1.1.0
      hairpin:
        description:
          - Whether the bridge may send a frame back through the port that it came from, for ports
            that are not O(bridge.ports). With it a guest reaches its own port forward where the
            host's br_netfilter passes bridged frames to the rules (C(net.bridge.bridge-nf-call-iptables)
            is 1).
          - A guest then hears its own broadcasts, and takes its IPv6 addresses for duplicates
            unless it knows its own solicitations again (RFC 7527), as Linux does by default.
          - Links that are plugged in later are set by the guard at once, or by the next run.
            A port that another program set keeps its mode when the option goes.
          - Only for Linux bridges, and not with O(virtnet.linux.bridge#module:isolate_guests).
        type: bool
        default: false
        version_added: 1.1.0
      rstp:
        description: Rapid spanning tree protocol, of Open vSwitch alone. V(false) if not given;
          not together with O(bridge.stp).
        type: bool
        default: false
      fail_mode:
        description:
          - What a bridge of Open vSwitch does without a controller. V(standalone), the default,
            switches as any bridge does; V(secure) passes only what flows allow that somebody
            else has set.
        type: str
        choices:
          - standalone
          - secure
        default: standalone
      vlans:
        description:
          - VLANs of ports, of bridges of type V(openvswitch) alone.
          - A port is one of O(bridge.ports), the bridge itself for the host's own leg, or a guest's
            link, whenever it is plugged in.
        type: list
        elements: dict
        suboptions:
          port:
            description: The port, by the name of its interface.
            type: str
            required: true
          tag:
            description: The VLAN that frames of the port belong to, 0 to 4095; column C(tag)
              in ovs-vswitchd.conf.db(5).
            type: int
          trunks:
            description: The VLANs that the port carries with a tag, such as V([10, 20]); column
              C(trunks).
            type: list
            elements: int
          mode:
            description: How the port handles tags; column C(vlan_mode). Open vSwitch decides
              by O(bridge.vlans[].tag) and O(bridge.vlans[].trunks) if not given.
            type: str
            choices:
              - access
              - trunk
              - native-tagged
              - native-untagged
          portgroup:
            description: A portgroup of the network that has the VLAN, in the place of O(bridge.vlans[].tag),
              O(bridge.vlans[].trunks) and O(bridge.vlans[].mode).
            type: str
      enslave_uplink:
        description:
          - One of O(bridge.ports) may carry the host's default route, or the connection by which
            this run came. Its addresses and routes move to the bridge, which takes its MAC address;
            connections go on. V(false) if not given, and such a port is then refused.
          - They go back to it when the bridge goes, or the port is not asked for any more. A
            boot makes the bridge with them.
          - An interface whose addresses are renewed (DHCP, router advertisements), or that a
            network manager gives addresses to, is refused. Only for Linux bridges.
          - Until another task of this collection has come over the connection, nobody knows that
            the host is still reached. Without one within O(bridge.confirm_within), the interface
            gets back what it had.
        type: bool
        default: false
        version_added: 1.1.0
      confirm_within:
        description: Seconds, 5 to 3600, for O(bridge.enslave_uplink).
        type: int
        default: 60
        version_added: 1.1.0
      zone:
        description:
          - A zone of firewalld that is there, in the place of ours; see O(virtnet.linux.nft_nat#module:zone).
          - Refused where firewalld does not run.
        type: str
        version_added: 1.1.0
  ipv4:
    suboptions:
      address:
        description:
          - The host's address in CIDR notation, such as V(192.168.30.1/24), V(auto) for a free
            subnet that is then kept, or V(none).
          - V(192.168.30.1) is V(192.168.30.1/24); below 192.0.0.0 the length is required.
        type: str
        default: auto
      dhcp:
        description: DHCP for the guests. They are told the MTU of the bridge if it is given.
        type: dict
        suboptions:
          enabled:
            description: Whether guests get addresses by DHCP.
            type: bool
            default: true
          lease_time:
            description:
              - Seconds, or a number with C(m), C(h), C(d) or C(w), or V(infinite); at least two
                minutes.
              - If not given, V(10m) where the subnet is chosen, since it may change, and else
                V(1h).
            type: str
          ranges:
            description:
              - Addresses that are handed out. If not given, all of the subnet but the host's
                address.
              - An empty list is for static hosts alone, and brings a warning where there are
                none.
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
                  - Seconds, or a number with C(m), C(h), C(d) or C(w), or V(infinite); at least
                    two minutes.
                  - If not given, that of the network; V(1h) where it has none.
                type: str
          hosts:
            description: Guests with a fixed address, name or lease time. A fixed address needs
              a fixed O(ipv4.address).
            type: list
            elements: dict
            suboptions:
              mac:
                description: The guest's MAC address, or those of several interfaces of one guest
                  of which one is in use at a time.
                type: list
                elements: str
              id:
                description: The client id of the guest, as bytes such as V(01:52:54:00:12:34:56),
                  or as a word.
                type: str
              name:
                description: The guest's name, such as V(web), V(web_1) or V(web.lab.example).
                  The domain is always that of the network.
                type: str
              ip:
                description: The guest's address. It may lie outside the ranges, within the subnet.
                type: str
              lease_time:
                description: As for ranges. That of the range if not given.
                type: str
          ignore_client_ids:
            description:
              - Guests are known by their MAC addresses, whatever client id they send. Otherwise
                guests that send the same one, as clones of a machine do, get the same address.
            type: bool
            default: false
            version_added: 1.1.0
          options:
            description:
              - DHCP options by the name that C(dnsmasq --help dhcp) lists, or by number, such
                as C(ntp-server). A list is several values.
              - Refused where guests would get another value.
            type: dict
          boot:
            description:
              - What guests load that start from the network. A mapping is for all guests, a list
                for guests of several kinds.
            type: raw
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
                    V(arm-uefi), V(aarch64-uefi), V(riscv64-uefi), V(loongarch64-uefi), the same
                    with V(-http) in the place of V(-uefi) for firmware that loads a URL, V(bios-http),
                    or a number of IANA's registry.
                  - All if not given.
                type: str
                version_added: 1.1.0
              ipxe:
                description: Whether the file is for guests that run iPXE already.
                type: bool
                default: false
                version_added: 1.1.0
          tftp_root:
            description: A folder of the host, readable for everybody, that guests can load files
              from by TFTP.
            type: str
  ipv6:
    suboptions:
      address:
        description:
          - The host's address in CIDR notation (V(/64) if there is no length), such as V(fd00:1::1/64),
            V(auto) for a /64 of the host's own unique local prefix (RFC 4193), or V(none).
          - Where the kernel has no IPv6, V(auto) is V(none), with a warning.
        type: str
        default: none
      ra:
        description: Whether the host is advertised as a router, and with it the addresses.
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
          - Whether guests make addresses of their own (RFC 4862), also beside those of O(ipv6.dhcp).
            With V(false) they have those of DHCPv6 alone, as in networks of libvirt's with DHCPv6.
        type: bool
        default: true
        version_added: 1.1.0
      ndp_proxy:
        description:
          - Whether the host answers neighbour solicitations for guests on the uplink, where O(ipv6.address)
            is a part of a prefix whose router looks for each address there, as with a rented
            server that has one /64.
          - It is the work of the guard, and for guests that go out with their own addresses.
        type: bool
        default: false
        version_added: 1.1.0
      deprecated:
        description:
          - Prefixes of the network's further addresses, each a /64, whose addresses guests keep,
            and use for no new connections, as after a network was renumbered.
          - See O(virtnet.linux.dnsmasq_fragment#module:ipv6.deprecated).
        type: list
        elements: str
        version_added: 1.1.0
      dhcp:
        description: DHCPv6 for the guests.
        type: dict
        suboptions:
          enabled:
            description: Whether guests get anything by DHCPv6.
            type: bool
            default: false
          stateless:
            description: Whether guests get O(ipv6.dhcp.options) alone, and make their addresses
              themselves.
            type: bool
            default: false
          ranges:
            description: Addresses that are handed out. If not given, a part of the subnet.
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
                  - Seconds, or a number with C(m), C(h), C(d) or C(w), or V(infinite); at least
                    two minutes.
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
        description: Address of the guest, or the name of a static host of the network with an
          O(ipv4.dhcp.hosts[].ip).
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
      trusted_hosts:
        description: Guests whose frames are not checked, as names of static hosts or MAC addresses.
        type: list
        elements: str
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
            for those that the network has of DNS, DHCP and TFTP, or a list.
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
            description: An address or subnet of the network, or the name of a static host.
            type: str
          network:
            description: Another network, by its name.
            type: str
          to:
            description: An address or subnet, or with O(policy.allow[].network) the name of a
              static host there.
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
            description: An address or subnet of the network, or the name of a static host.
            type: str
          network:
            description: Another network, by its name.
            type: str
          to:
            description: An address or subnet, or with O(policy.deny[].network) the name of a
              static host there.
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
  dns:
    suboptions:
      enabled:
        description: Whether the network has a name server.
        type: bool
        default: true
      domain:
        description:
          - The domain of the guests' names. Empty for none.
          - If not given, a network that is defined first gets V(NAME.internal), in small letters
            and with V(-) for other characters, and with a part of a hash where that is the domain
            of others. Networks from XML without a domain, and those that are stored without one,
            go on without.
        type: str
      local_only:
        description: Whether names of the domain that nobody has are not asked for elsewhere.
        type: bool
        default: true
      host_resolver:
        description: Whether the host resolves the guests' names.
        type: bool
        default: true
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
            description: The port. Required with O(dns.srv[].target).
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
  dnsmasq:
    suboptions:
      instance:
        description:
          - V(system) is the system's dnsmasq, V(private) one that runs for networks of ours,
            and V(auto) takes the system's where that is enabled and can serve the network, and
            else a private one.
        type: str
        choices:
          - auto
          - system
          - private
        default: auto
      options:
        description:
          - Further lines of dnsmasq's configuration. Lines of DHCP that take tags hold for the
            network alone, in either dnsmasq; others need a private one.
          - Those about its interfaces, ports and files are refused. Those that run programs,
            change the user, read or write other files, or have dnsmasq answer elsewhere bring
            a warning with DHCP and DNS.
        type: list
        elements: str
      redirect:
        description:
          - Whether a private dnsmasq listens at ports of its own, to which rules redirect the
            guests, so that it runs beside any other server at ports 53 and 67. If not given,
            where another one holds these, and then as long as it is a private one.
        type: bool
        version_added: 1.1.0
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
  pools:
    suboptions:
      subnet:
        description: The addresses that subnets are cut from, in CIDR notation.
        type: str
        required: true
      prefix:
        description: The prefix length of the subnets, 8 to 30. V(24) if not given, or that of
          O(pools[].subnet) where that is longer.
        type: int
  fleet:
    suboptions:
      position:
        description:
          - The place of this host among O(fleet.of) hosts, from 0. Every host has its own share
            of the pools, so that hosts that choose at the same moment choose differently.
        type: int
        default: 0
      of:
        description: How many hosts there are.
        type: int
        default: 1
      held:
        description:
          - Subnets of the other hosts. A new network with an automatic address takes none of
            these. One that has its subnet keeps it, unless C(first) says that it is fixed on
            the other host.
        type: list
        elements: dict
        suboptions:
          host:
            description: The host that has the subnet.
            type: str
            required: true
          network:
            description: The network there.
            type: str
            required: true
          subnet:
            description: The subnet.
            type: str
            required: true
          first:
            description: Whether the administrator fixed the subnet there.
            type: bool
            default: false
"""
