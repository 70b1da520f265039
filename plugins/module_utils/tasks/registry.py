# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of each Ansible module, by its name. PRIVATE to this collection; it imports nothing of Ansible.

Each function imports its reconciler when it is called, so that no module waits for the imports of another. ``module``
is as in module.py.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from . import python_version  # noqa: F401  # pylint: disable=unused-import

# isort: split
from ..core.errors import InvalidOption, MissingTool, VirtnetError
from ..core.options import Options
from ..core.paths import Paths
from ..core.reconcile import converge
from .module import as_return_values, confirm_uplink_move, requested_objects, run, run_objects


def bridge(module: Any) -> None:
    """Bridges with their ports and addresses."""
    from ..bridge.network_managers import ManagedBridgeReconciler
    from ..bridge.reconciler import BridgeReconciler
    from ..bridge.spec import BridgeSpec

    def build(specs: list[BridgeSpec], purge: bool, paths: Paths) -> ManagedBridgeReconciler:
        return ManagedBridgeReconciler(BridgeReconciler(specs, purge, paths, may_move=True), paths)

    run_objects(module, "bridges", BridgeSpec.from_options, build, kind="bridges")


def dnsmasq_fragment(module: Any) -> None:
    """DHCP and DNS."""
    from ..dnsmasq.reconciler import Fragments, FragmentSpec

    run_objects(module, "fragments", FragmentSpec.from_options, Fragments, kind="fragments")


def host(module: Any) -> None:
    """The preparation of the host."""
    from ..host.reconciler import set_up

    def work(paths: Paths) -> dict[str, Any]:
        guard = module.params["guard"]
        if module.params["state"] == "present" and not (guard and os.path.isdir(paths.engine)):
            _refuse_wrong_networks(module.params.get("networks"), guard=guard)
        plan = set_up(module.params["state"], paths, check=module.check_mode, guard=guard)
        values = as_return_values(plan, "host")
        (host_values,) = values.pop("host")
        return {**values, **host_values}

    run(module, work)


def _refuse_wrong_networks(networks: Any, *, guard: bool = True) -> None:
    """Raise InvalidOption for an error in the list, before the first run installs anything for it.

    A host without the guard has none of what the guard alone does.
    """
    from ..core.identity import host_identity
    from ..network.model import read_network
    from ..orchestration.validation import refuse_option, validate_together

    identity = host_identity()
    read = []
    for options in requested_objects({"networks": networks or []}, "networks"):
        # XML needs a library that the run may be about to install.
        with contextlib.suppress(MissingTool):
            read.append(read_network(options, identity))
    present = [network for network in read if network.state != "absent"]
    validate_together(present)
    for network in present:
        if network.ipv6.ndp_proxy and not guard:
            refuse_option(network, "ipv6.ndp_proxy", "is done by the guard; use virtnet_guard: true, or leave it out")


def libvirt_adopt(module: Any) -> None:
    """Take networks over from libvirt, or give them back."""
    from ..adoption.adopt import Adoptions
    from ..adoption.give_back import Returns

    def work(paths: Paths) -> dict[str, Any]:
        confirm_uplink_move(module, paths)
        names = module.params["names"]
        reconciler: Any = Adoptions(names, paths) if module.params["state"] == "adopted" else Returns(names, paths)
        return as_return_values(converge(reconciler, paths, check=module.check_mode), "adopted")

    run(module, work)


def libvirt_network(module: Any) -> None:
    """Register networks with libvirt."""
    from ..libvirt.definition import RegistrationSpec
    from ..libvirt.reconciler import Registrations

    run_objects(module, "networks", RegistrationSpec.from_options, Registrations, kind="registrations")


def nft_nat(module: Any) -> None:
    """Forwarding, NAT, port forwards."""
    from ..firewall.reconciler import RulesReconciler
    from ..nft.spec import RulesSpec

    def build(specs: list[RulesSpec], purge: bool, paths: Paths) -> RulesReconciler:
        return RulesReconciler(specs, purge, paths, integrate=module.params["firewall_integration"])

    run_objects(module, "networks", RulesSpec.from_options, build, task_options=("firewall_integration",), kind="rules")


def resolvconf_entry(module: Any) -> None:
    """Entries of the host's resolver."""
    from ..resolver.reconciler import ResolverEntries
    from ..resolver.spec import EntrySpec

    def build(specs: list[EntrySpec], purge: bool, paths: Paths) -> ResolverEntries:
        return ResolverEntries(specs, purge, paths, module.params["resolver"])

    run_objects(module, "entries", EntrySpec.from_options, build, task_options=("resolver",), kind="entries")


def virt_network(module: Any) -> None:
    """Definitions of networks."""
    from ..core.identity import host_identity
    from ..ipam.allocator import read_fleet
    from ..ipam.subnets import read_pools
    from ..network.model import Network, read_network
    from ..network.runtime import clear_pending_run
    from ..orchestration.parts import pending_changes
    from ..orchestration.reconciler import Networks

    def build(networks: list[Network], purge: bool, paths: Paths) -> Networks:
        pools, fleet = module.params["pools"], module.params["fleet"]
        return Networks(
            networks,
            purge,
            paths,
            None if pools is None else read_pools(Options({"pools": pools})),
            None if fleet is None else read_fleet(Options({"fleet": fleet}), "fleet"),
            module.params["resolver"],
        )

    def finish(plan: Any, paths: Paths) -> dict[str, Any]:
        chosen = module.params["firewall_integration"], module.params["resolver"]
        pending_parts, notes = pending_changes(
            plan.return_values, paths, *chosen, networks=plan.networks, check=module.check_mode
        )
        # Without pending parts the run is complete, and the guard may repair these networks again.
        if not pending_parts and not module.check_mode:
            clear_pending_run(paths)
        # A module that does a pending part warns itself.
        warnings = list(dict.fromkeys([*plan.notes, *(notes if not pending_parts else ())]))
        return {"pending": pending_parts, **({"warnings": warnings} if warnings else {})}

    identity = host_identity()
    run_objects(
        module,
        "networks",
        lambda options: read_network(options, identity),
        build,
        task_options=("pools", "fleet", "firewall_integration", "resolver"),
        finish=finish,
    )


def virt_network_info(module: Any) -> None:
    """The current state of networks, or the networks of others."""

    def work(paths: Paths) -> dict[str, Any]:
        names = module.params["names"] or ()
        if module.params.get("gather") == "foreign":
            from ..foreign.gather import foreign_networks

            if names:
                raise InvalidOption("names", "is for networks of ours; leave it out with gather: foreign")
            if os.geteuid() != 0:
                raise VirtnetError("only root can read this host's rules; run the play as root, or with --become")
            return {"changed": False, **foreign_networks(paths)}
        from ..orchestration.status import described

        return {"changed": False, **described(paths, names)}

    run(module, work, only_reads=True)


TASKS = {
    task.__name__: task
    for task in (
        bridge,
        dnsmasq_fragment,
        host,
        libvirt_adopt,
        libvirt_network,
        nft_nat,
        resolvconf_entry,
        virt_network,
        virt_network_info,
    )
}


def run_order(module: Any) -> None:
    """Run the task that the options ``task`` and ``arguments`` of a module name, as the module of that task would."""
    name = module.params["task"]
    if name not in TASKS:
        module.fail_json(msg=f"task: {name!r} is no module of this collection; use one of {', '.join(sorted(TASKS))}")
        return
    module.params = module.params["arguments"]
    TASKS[name](module)
