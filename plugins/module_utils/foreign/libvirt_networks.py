# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's own networks, by the reader that the playbook adopt.yml uses too. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.errors import VirtnetError
from ..libvirt.connection import LibvirtNetwork
from ..libvirt.definition import registered_by_us
from ..libvirt.managed import bridge_in
from ..libvirt_xml.convert import from_xml, with_domain_of_libvirt
from .model import LIBVIRT, Foreign, network_name

_ADOPT = "the playbook adopt.yml takes it over while its guests run"
_MANAGED = "it can be defined here with managed_by: libvirt and its XML"


def libvirt_networks(networks: Mapping[str, LibvirtNetwork]) -> list[Foreign]:
    """The networks that libvirt runs or has stored, without those that we registered."""
    return [_network(one) for _name, one in sorted(networks.items()) if not registered_by_us(one.xml)]


def _network(network: LibvirtNetwork) -> Foreign:
    xml = network.live if network.active else network.xml
    name = network_name(network.name)
    try:
        options = with_domain_of_libvirt(from_xml(xml, f"libvirt network {network.name}"))
        bridge = bridge_in(xml)
    except VirtnetError as error:
        return Foreign(name, LIBVIRT, "", stays=f"{error}; {_MANAGED}")
    state = {} if network.active else {"state": "inactive"}
    autostart = {} if network.autostart else {"autostart": False}
    persistent = {} if network.persistent else {"persistent": False}
    return Foreign(name, LIBVIRT, bridge, {"name": name, **state, **autostart, **persistent, **options}, notes=[_ADOPT])
