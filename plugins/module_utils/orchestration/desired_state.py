# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From definitions to what each part has to do: the only place that knows all parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..bridge.network_managers import ManagedBridges
from ..bridge.reconciler import Bridges
from ..bridge.spec import BridgeSpec
from ..bridge.uplink import uplink_options
from ..core.memory import Remembered
from ..core.options import Options
from ..core.paths import Paths
from ..core.reconcile import Reconciler
from ..dhcp.options import MTU
from ..dnsmasq.reconciler import Fragments, FragmentSpec
from ..firewall.reconciler import NatRules
from ..kernel.links import OPENVSWITCH
from ..libvirt.definition import RegistrationSpec
from ..libvirt.managed import LIBVIRT
from ..libvirt.options import NEVER
from ..libvirt.reconciler import Registrations
from ..network.model import Network
from ..nft.spec import RulesSpec
from ..resolver.reconciler import Entries
from ..resolver.spec import EntrySpec

SWITCHES = "switches"
LINUX = "linux"

# The parts, rules first, so that no guest is ever on a bridge without them. Bridges of Open vSwitch are apart, since
# they may have to wait for it.
KINDS = ("rules", "bridges", SWITCHES, "fragments", "entries")
# The tasks of a play that bring them; one task does all bridges.
TASKS = tuple(kind for kind in KINDS if kind != SWITCHES)

Specs = Mapping[str, Sequence[Mapping[str, Any]]]


def specs(networks: Iterable[Network], remembered: Mapping[str, Remembered]) -> Specs:
    """The options of the parts' modules: present for what shall run, absent for what is stopped or gone."""
    registered = list(networks)
    defined = [network for network in registered if network.has_own_bridge]
    running = [network for network in defined if network.state == "active"]
    names = {network.name for network in running}
    in_use = {network.bridge.name for network in running}
    stopped = {name: one for name, one in remembered.items() if name not in names}
    idle = {bridge: mac for one in remembered.values() for bridge, mac in one.bridges.items() if bridge not in in_use}
    types = {bridge: kind for one in remembered.values() for bridge, kind in one.types.items()}
    return {
        "bridges": [
            *(
                {"name": bridge, "mac": mac, "state": "absent", "type": types.get(bridge, LINUX)}
                for bridge, mac in sorted(idle.items())
            ),
            *(_bridge(network) for network in running),
        ],
        "rules": [
            *({"name": name, "state": "absent"} for name in sorted(set(remembered) - {one.name for one in defined})),
            # A stopped network keeps its rules, so that its guests find them in place when it is started.
            *(_rules(network) for network in defined),
        ],
        "fragments": [
            *({"name": name, "state": "absent"} for name in sorted(stopped)),
            *(_fragment(network) for network in running),
        ],
        "entries": [
            *({"interface": bridge, "state": "absent"} for bridge in sorted(idle)),
            *(_entry(network) for network in running),
        ],
        "registrations": [
            *({"name": name, "state": "absent"} for name in sorted(set(remembered) - {one.name for one in registered})),
            *(_registration(network) for network in registered),
        ],
    }


def _bridge(network: Network) -> dict[str, Any]:
    own = [str(address) for address in (network.ipv4.address, network.ipv6.address) if address]
    return {
        "name": network.bridge.name,
        "type": network.bridge.type,
        "mac": network.bridge.mac,
        "mtu": network.bridge.mtu,
        "stp": network.bridge.stp,
        "forward_delay": network.bridge.forward_delay,
        "ports": list(network.bridge.ports),
        "addresses": [*own, *network.extra_addresses],
        "routes": [route.as_options() for route in network.routes],
        "isolate_guests": network.isolate_guests,
        "fdb_max_learned": network.bridge.fdb_max_learned,
        **(_of_openvswitch(network) if network.bridge.type == OPENVSWITCH else {}),
        "bandwidth": network.bandwidth.as_options(),
        **uplink_options(network.bridge.enslave_uplink, network.bridge.confirm_within),
        "state": "present",
    }


def _of_openvswitch(network: Network) -> dict[str, Any]:
    return {
        "rstp": network.bridge.rstp,
        "fail_mode": network.bridge.fail_mode,
        "vlans": [one.as_options() for one in network.resolved_vlans],
    }


def _rules(network: Network) -> dict[str, Any]:
    # On such a bridge is the outside, which the guests of other networks may reach.
    if network.bridge.enslave_uplink:
        return {"name": network.name, "state": "absent"}
    return {
        "name": network.name,
        "bridge": network.bridge.name,
        "mode": network.mode,
        "uplink": network.uplink or None,
        "subnets": [str(subnet) for subnet in network.reached],
        "nat": network.nat.as_options(),
        "port_forwards": [forward.as_options() for forward in network.resolved_forwards],
        # Rules do not see which ports a frame comes from and goes to, and those of the host must be reached.
        "isolate_guests": network.isolate_guests and not network.bridge.ports,
        "connection_rate": network.connection_rate,
        # The name server of an isolated network is a private one at the host's address there, or none.
        "dns": network.dns.enabled or network.mode != "isolated",
        "state": "present",
    }


def _fragment(network: Network) -> dict[str, Any]:
    ipv6 = _service6(network)
    asked = network.dns.enabled or network.ipv4.dhcp or (ipv6 and (ipv6["ra"] or network.ipv6.dhcp.enabled))
    if not asked or not (network.ipv4.address or ipv6):
        return {"name": network.name, "state": "absent"}
    return {
        "name": network.name,
        "interface": network.bridge.name,
        "instance": network.dnsmasq_instance,
        "address": str(network.ipv4.address) if network.ipv4.address else None,
        "ranges": [one.as_options() for one in network.ipv4.ranges],
        "hosts": [host.as_options() for host in network.ipv4.hosts] if network.ipv4.dhcp else [],
        "options": _options4(network),
        "boot": network.ipv4.boot.as_options() if network.ipv4.boot and network.ipv4.dhcp else None,
        "tftp_root": network.ipv4.tftp_root or None if network.ipv4.dhcp else None,
        "ipv6": ipv6,
        "domain": network.dns.domain or None,
        "local_only": network.dns.local_only,
        # A way out that does not exist would only cost guests with a second network their default route.
        "router": network.mode != "isolated",
        "dns": network.dns.enabled,
        "names": network.dns.names.as_options() if network.dns.enabled else {},
        # Names of the outside are a way out too.
        "upstream": network.mode != "isolated",
        "raw": list(network.dnsmasq_options),
        "state": "present",
    }


def _options4(network: Network) -> dict[str, str]:
    """With the bridge's MTU, which a guest's own must not exceed; over IPv6 dnsmasq advertises it by itself."""
    if not network.ipv4.dhcp:
        return {}
    mtu = network.bridge.mtu
    given = any(name in network.ipv4.options for name in MTU)
    return {**({MTU[0]: str(mtu)} if mtu and not given else {}), **network.ipv4.options}


def _service6(network: Network) -> dict[str, Any] | None:
    if network.ipv6.address is None:
        return None
    dhcp6 = network.ipv6.dhcp
    addresses = dhcp6.gives_addresses
    return {
        "address": str(network.ipv6.address),
        "ra": network.ipv6.ra,
        "ra_names": network.ipv6.ra_names and network.dns.enabled,
        "stateless": dhcp6.enabled and dhcp6.stateless,
        "ranges": [one.as_options() for one in dhcp6.ranges] if addresses else [],
        "hosts": [host.as_options() for host in dhcp6.hosts] if addresses else [],
        "options": dict(dhcp6.options),
    }


def _entry(network: Network) -> dict[str, Any]:
    address = network.ipv4.address or network.ipv6.address
    forwards = network.mode != "isolated"
    # One that forwards asks the host's servers, whether it is among them or not.
    if not (network.dns.enabled and address and (network.dns.host_resolver or forwards)):
        return {"interface": network.bridge.name, "state": "absent"}
    return {
        "interface": network.bridge.name,
        "addresses": [str(address.ip)],
        "domain": network.dns.domain or None,
        "subnets": [str(subnet) for subnet in network.subnets],
        # The server of an isolated network knows its own names and refuses all others.
        "forwards": forwards,
        **({} if network.dns.host_resolver else {"asked": False}),
        # The system's dnsmasq serves the host as well, or is told where the names of a private one are. Where a network
        # of its own accord has a private one, the host has no dnsmasq that its resolver could ask.
        "loopback_serves": network.dnsmasq_instance != "private",
        "state": "present",
    }


def _registration(network: Network) -> dict[str, Any]:
    if network.managed_by == LIBVIRT:
        return {
            "name": network.name,
            "xml": network.xml,
            "restart": network.restart,
            "active": network.state == "active",
            "autostart": network.autostart,
            "persistent": network.persistent,
            "state": "present",
        }
    if network.libvirt.register == NEVER:
        return {"name": network.name, "state": "absent"}
    return {
        "name": network.name,
        "uuid": network.uuid,
        "bridge": network.bridge.name,
        "title": network.title,
        "description": network.description,
        # libvirt can isolate ports of Linux bridges alone; those of Open vSwitch the guard protects.
        "isolate_guests": network.isolate_guests and network.bridge.type != OPENVSWITCH,
        "libvirt": {**network.libvirt.as_options(), "virtualport": _virtualport(network)},
        "active": network.state == "active",
        "autostart": network.autostart,
        "persistent": network.persistent,
        "state": "present",
    }


def _virtualport(network: Network) -> dict[str, Any]:
    """libvirt takes a bridge for one of Linux unless it is told."""
    said = dict(network.libvirt.virtualport)
    return said or ({"type": "openvswitch"} if network.bridge.type == "openvswitch" else {})


def registrations(wanted: Specs, paths: Paths) -> Registrations:
    """The part that tells libvirt. Not among the others: at boot libvirt starts after the networks."""
    each = [Options(dict(spec), f"registrations[{i}]") for i, spec in enumerate(wanted["registrations"])]
    return Registrations([RegistrationSpec.from_options(options) for options in each], False, paths)


# Where the options of a part stand in the options of a network, so that an error names what the user wrote.
_INSIDE = {"bridges": "bridge", SWITCHES: "bridge", "rules": "", "fragments": "ipv4.dhcp", "entries": "dns"}


def parts(
    wanted: Specs,
    paths: Paths,
    networks: Iterable[Network] = (),
    *,
    integrate: bool | None = None,
    resolver: str | None = None,
    may_move: bool = False,
) -> list[Reconciler[Any, Any]]:
    """The parts in the order of KINDS; raises InvalidOption.

    ``networks`` are those that the user wrote, for the paths in errors; ``integrate`` is for the rules (nft.NatRules),
    ``resolver`` for the entries (resolvconf.Entries), ``may_move`` for the bridges (bridge.Bridges).
    """
    where = {key: network.path for network in networks for key in (network.name, network.bridge.name) if network.path}

    of_switch = [spec for spec in wanted["bridges"] if spec.get("type") == OPENVSWITCH]
    of_linux = [spec for spec in wanted["bridges"] if spec not in of_switch]
    split = {**wanted, "bridges": of_linux, SWITCHES: of_switch}

    def read(kind: str) -> Iterator[Options]:
        for i, spec in enumerate(split[kind]):
            path = where.get(spec.get("name") or spec["interface"])
            inside = f"{path}.{_INSIDE[kind]}".rstrip(".") if path else f"{kind}[{i}]"
            yield Options(dict(spec), inside)

    return [
        NatRules([RulesSpec.from_options(options) for options in read("rules")], False, paths, integrate=integrate),
        *(
            ManagedBridges(Bridges([BridgeSpec.from_options(o) for o in read(kind)], False, paths, may_move), paths)
            for kind in ("bridges", SWITCHES)
        ),
        Fragments([FragmentSpec.from_options(options) for options in read("fragments")], False, paths),
        Entries([EntrySpec.from_options(options) for options in read("entries")], False, paths, resolver),
    ]


def pending(
    wanted: Specs, paths: Paths, integrate: bool | None = None, resolver: str | None = None
) -> tuple[list[str], list[str]]:
    """What the parts would change now, and their notes; where it is nothing, none of their tasks needs to run."""
    settings: dict[str, Any] = {"integrate": integrate, "resolver": resolver, "may_move": True}
    every = [*parts(wanted, paths, **settings), registrations(wanted, paths)]
    plans = [part.plan(part.read()) for part in every]
    return [str(change) for plan in plans for change in plan.changes], [note for plan in plans for note in plan.notes]
