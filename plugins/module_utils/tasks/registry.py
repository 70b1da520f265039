# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each Ansible module does, by its name. PRIVATE to this collection; it imports nothing of Ansible.

Each imports its part when it is called: what one does not need, it does not wait for. Of the object called ``module``
the same members are used as in module.py.
"""

from __future__ import annotations

from typing import Any

from . import python_version  # noqa: F401

# isort: split
from ..core.errors import VirtnetError
from ..core.options import Options
from ..core.paths import Paths
from .module import answer, execute, leave, result, run_part


def bridge(module: Any) -> None:
    """Links and addresses."""
    from ..bridge.network_managers import ManagedBridges
    from ..bridge.reconciler import Bridges
    from ..bridge.spec import BridgeSpec

    execute(
        module,
        "bridges",
        lambda wanted, purge, paths: ManagedBridges(
            Bridges([BridgeSpec.from_options(one) for one in wanted], purge, paths, may_move=True), paths
        ),
        kind="bridges",
    )


def dnsmasq_fragment(module: Any) -> None:
    """DHCP and DNS."""
    from ..dnsmasq.reconciler import Fragments, FragmentSpec

    execute(
        module,
        "fragments",
        lambda wanted, purge, paths: Fragments([FragmentSpec.from_options(one) for one in wanted], purge, paths),
        kind="fragments",
    )


def host(module: Any) -> None:
    """The host itself."""
    from ..host.reconciler import set_up

    try:
        plan = set_up(module.params["state"], Paths(), check=module.check_mode, guard=module.params["guard"])
    except VirtnetError as error:
        module.fail_json(msg=str(error))
        return
    told = result(plan, "host")
    (held,) = told.pop("host")
    leave(module, {**told, **held})


def libvirt_adopt(module: Any) -> None:
    """Networks that change hands."""
    from ..adoption.adopt import Adoptions
    from ..adoption.give_back import Returns

    def build(paths: Paths) -> Adoptions | Returns:
        names = module.params["names"]
        return Adoptions(names, paths) if module.params["state"] == "adopted" else Returns(names, paths)

    run_part(module, "adopted", build)


def libvirt_network(module: Any) -> None:
    """What libvirt is told."""
    from ..libvirt.definition import RegistrationSpec
    from ..libvirt.reconciler import Registrations

    execute(
        module,
        "networks",
        lambda wanted, purge, paths: Registrations(
            [RegistrationSpec.from_options(one) for one in wanted], purge, paths
        ),
    )


def nft_nat(module: Any) -> None:
    """Forwarding, NAT, port forwards."""
    from ..firewall.reconciler import NatRules
    from ..nft.spec import RulesSpec

    execute(
        module,
        "networks",
        lambda wanted, purge, paths: NatRules(
            [RulesSpec.from_options(one) for one in wanted],
            purge,
            paths,
            integrate=module.params["firewall_integration"],
        ),
        beside=("firewall_integration",),
        kind="rules",
    )


def resolvconf_entry(module: Any) -> None:
    """The host's resolver."""
    from ..resolver.reconciler import Entries
    from ..resolver.spec import EntrySpec

    execute(
        module,
        "entries",
        lambda wanted, purge, paths: Entries(
            [EntrySpec.from_options(one) for one in wanted], purge, paths, module.params["resolver"]
        ),
        beside=("resolver",),
        kind="entries",
    )


def virt_network(module: Any) -> None:
    """Definitions."""
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
            [read_network(one, host_identity(paths.root)) for one in wanted],
            purge,
            paths,
            None if pools is None else read_pools(Options({"pools": pools}), "pools"),
            None if fleet is None else read_fleet(Options({"fleet": fleet}), "fleet"),
            module.params["resolver"],
        )

    def finish(plan: Any, paths: Paths) -> dict[str, Any]:
        chosen = module.params["firewall_integration"], module.params["resolver"]
        left, notes = pending_changes(plan.return_values, paths, *chosen)
        # Where nothing is left to the parts, the guard has nothing to leave to this run.
        if not left and not module.check_mode:
            clear_pending_run(paths)
        # Where something is left, the parts say themselves what there is to say.
        warnings = list(dict.fromkeys([*plan.notes, *(notes if not left else ())]))
        return {"pending": left, **({"warnings": warnings} if warnings else {})}

    execute(module, "networks", build, beside=("pools", "fleet", "firewall_integration", "resolver"), finish=finish)


def virt_network_info(module: Any) -> None:
    """Networks as they are."""
    from ..orchestration.status import described

    answer(module, lambda paths: described(paths, module.params["names"] or ()))


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
