# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of each Ansible module, by its name. PRIVATE to this collection; it imports nothing of Ansible.

Each function imports its reconciler when it is called, so that no module waits for the imports of another. ``module``
is as in module.py.
"""

from __future__ import annotations

from typing import Any

from . import python_version  # noqa: F401  # pylint: disable=unused-import

# isort: split
from ..core.errors import VirtnetError
from ..core.options import Options
from ..core.paths import Paths
from .module import as_return_values, exit_module, run_query, run_reconciler, run_single


def bridge(module: Any) -> None:
    """Bridges with their ports and addresses."""
    from ..bridge.network_managers import ManagedBridgeReconciler
    from ..bridge.reconciler import BridgeReconciler
    from ..bridge.spec import BridgeSpec

    run_reconciler(
        module,
        "bridges",
        lambda wanted, purge, paths: ManagedBridgeReconciler(
            BridgeReconciler([BridgeSpec.from_options(options) for options in wanted], purge, paths, may_move=True),
            paths,
        ),
        kind="bridges",
    )


def dnsmasq_fragment(module: Any) -> None:
    """DHCP and DNS."""
    from ..dnsmasq.reconciler import Fragments, FragmentSpec

    run_reconciler(
        module,
        "fragments",
        lambda wanted, purge, paths: Fragments(
            [FragmentSpec.from_options(options) for options in wanted], purge, paths
        ),
        kind="fragments",
    )


def host(module: Any) -> None:
    """The preparation of the host."""
    from ..host.reconciler import set_up

    try:
        plan = set_up(module.params["state"], Paths(), check=module.check_mode, guard=module.params["guard"])
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    values = as_return_values(plan, "host")
    (host_values,) = values.pop("host")
    exit_module(module, {**values, **host_values})


def libvirt_adopt(module: Any) -> None:
    """Take networks over from libvirt, or give them back."""
    from ..adoption.adopt import Adoptions
    from ..adoption.give_back import Returns

    def build(paths: Paths) -> Adoptions | Returns:
        names = module.params["names"]
        return Adoptions(names, paths) if module.params["state"] == "adopted" else Returns(names, paths)

    run_single(module, "adopted", build)


def libvirt_network(module: Any) -> None:
    """Register networks with libvirt."""
    from ..libvirt.definition import RegistrationSpec
    from ..libvirt.reconciler import Registrations

    run_reconciler(
        module,
        "networks",
        lambda wanted, purge, paths: Registrations(
            [RegistrationSpec.from_options(options) for options in wanted], purge, paths
        ),
    )


def nft_nat(module: Any) -> None:
    """Forwarding, NAT, port forwards."""
    from ..firewall.reconciler import RulesReconciler
    from ..nft.spec import RulesSpec

    run_reconciler(
        module,
        "networks",
        lambda wanted, purge, paths: RulesReconciler(
            [RulesSpec.from_options(options) for options in wanted],
            purge,
            paths,
            integrate=module.params["firewall_integration"],
        ),
        task_options=("firewall_integration",),
        kind="rules",
    )


def resolvconf_entry(module: Any) -> None:
    """Entries of the host's resolver."""
    from ..resolver.reconciler import ResolverEntries
    from ..resolver.spec import EntrySpec

    run_reconciler(
        module,
        "entries",
        lambda wanted, purge, paths: ResolverEntries(
            [EntrySpec.from_options(options) for options in wanted], purge, paths, module.params["resolver"]
        ),
        task_options=("resolver",),
        kind="entries",
    )


def virt_network(module: Any) -> None:
    """Definitions of networks."""
    from ..core.identity import host_identity
    from ..ipam.allocator import read_fleet
    from ..ipam.subnets import read_pools
    from ..network.model import read_network
    from ..network.runtime import clear_pending_run
    from ..orchestration.parts import pending_changes
    from ..orchestration.reconciler import Networks

    def build(wanted: Any, purge: bool, paths: Paths) -> Networks:
        pools, fleet = module.params["pools"], module.params["fleet"]
        return Networks(
            [read_network(options, host_identity(paths.root)) for options in wanted],
            purge,
            paths,
            None if pools is None else read_pools(Options({"pools": pools})),
            None if fleet is None else read_fleet(Options({"fleet": fleet}), "fleet"),
            module.params["resolver"],
        )

    def finish(plan: Any, paths: Paths) -> dict[str, Any]:
        chosen = module.params["firewall_integration"], module.params["resolver"]
        pending_parts, notes = pending_changes(plan.return_values, paths, *chosen, check=module.check_mode)
        # Without pending parts the run is complete, and the guard may repair these networks again.
        if not pending_parts and not module.check_mode:
            clear_pending_run(paths)
        # A module that does a pending part warns itself.
        warnings = list(dict.fromkeys([*plan.notes, *(notes if not pending_parts else ())]))
        return {"pending": pending_parts, **({"warnings": warnings} if warnings else {})}

    run_reconciler(
        module, "networks", build, task_options=("pools", "fleet", "firewall_integration", "resolver"), finish=finish
    )


def virt_network_info(module: Any) -> None:
    """The current state of networks."""
    from ..orchestration.status import described

    run_query(module, lambda paths: described(paths, module.params["names"] or ()))


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
