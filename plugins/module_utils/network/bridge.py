# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``bridge`` of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from ..bridge.spec import VLANS, BridgeOptions, check_bridge, on_openvswitch
from ..core import kinds
from ..core.fields import option, read
from ..core.identity import bridge_mac, bridge_name
from ..core.options import Options
from ..libvirt.bridged import MODE as BRIDGED
from ..libvirt.options import Libvirt
from ..nft.spec import ZONE_NAME
from ..openvswitch.port_vlans import NetworkPortVlanOptions, PortVlan, read_port_vlans

_NETWORK_VLANS = replace(VLANS, table=NetworkPortVlanOptions)


@dataclass(frozen=True)
class NetworkBridge(BridgeOptions):
    """The bridge of a network; ``zone``: the zone of firewalld that it is in, empty for ours."""

    name: str = option(kinds.interface, "")
    vlans: Sequence[PortVlan] = option(_NETWORK_VLANS, (), is_written=on_openvswitch)
    zone: str = option(ZONE_NAME, "", is_written=attrgetter("zone"))


# Ansible would refuse a name in place of the options.
BRIDGE = replace(kinds.group_by_caller(NetworkBridge), type="raw")


def read_bridge(options: Options, identity: str, network: str, mode: str, libvirt: Libvirt) -> NetworkBridge:
    """The option of a network with this name; raises InvalidOption. Name and MAC address follow from the network's."""
    options.owner = f"network {network!r}"
    with_vlan = [str(group["name"]) for group in libvirt.portgroups if "vlan" in group]
    bridge = read(
        NetworkBridge,
        options,
        name=options.interface("name", bridge_name(network)),
        mac="" if mode == BRIDGED else options.mac("mac", bridge_mac(identity, network)),
        vlans=read_port_vlans(options, "vlans", with_vlan),
        **({} if options.raw("zone", None) else {"zone": ""}),
    )
    check_bridge(options, bridge)
    options.reject_unknown()
    return bridge
