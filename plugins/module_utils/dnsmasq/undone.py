# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The message of a deployment that failed and was undone: what is as before, and what to do."""

from __future__ import annotations

from .changes import FragmentsPlan
from .private_files import unit_name
from .state import State
from .system_service import UNIT


def undone_message(failure: str, plan: FragmentsPlan, now: State) -> str:
    """The failure with what was put back. ``now``: the state after the rollback."""
    changed = [placement.spec for placement in plan.target.placements if placement.spec.name in plan.changed_names]
    # Such a server has taken the port when the address appeared: before, nobody could know.
    holders = {str(holder) for spec in changed for holder in now.dns_holders(spec)}
    remedy = "put that right and run again"
    if holders:
        remedy = (
            f"{', '.join(sorted(holders))}: stop that, or leave dnsmasq.redirect out and run again: the network gets "
            "ports of its own then"
        )
    return f"{failure}; put back: the files and leases of DHCP and DNS, and {_running(now)}; {remedy}"


def _running(now: State) -> str:
    units = [UNIT] if now.service.running else []
    units += [unit_name(name) for name, instance in sorted(now.instances.items()) if instance.running]
    if not units:
        return "no dnsmasq runs, as before"
    return f"{', '.join(units)} {'run' if len(units) > 1 else 'runs'} with them"
