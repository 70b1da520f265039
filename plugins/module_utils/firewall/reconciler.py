# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of the table ``inet virtnet``, of IP forwarding, and of the integrations with other firewalls."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.command import find, run
from ..core.errors import CommandFailed
from ..core.files import File, write_files
from ..core.notes import read_object
from ..core.paths import Paths
from ..core.reconcile import CHANGE, DELETE, Change, Plan
from ..kernel import conntrack
from ..kernel.links import has_address, interface_named, read_links
from ..kernel.nft_table import list_table
from ..nft import elements as nft_elements
from ..nft import script as nft_script
from ..nft.chains import MARK
from ..nft.listing import Table, parse
from ..nft.policy import Policy
from ..nft.script import Delta
from ..nft.sets import FAMILY, SETS, TABLE, Elements
from ..nft.spec import RulesSpec, refuse_conflicts
from . import integrations, integrations_read, ip_forward, mark
from .connections import FlowsToFlush, is_of_subnets, marked_subnets
from .flows import GuestNetwork
from .helper_modules import load_nat_modules, missing_notes, read_missing
from .integrations import FirewallChange, Setting
from .integrations_read import Firewalls
from .ip_forward import Forwarding, ForwardingChange
from .policy_flows import PolicyFlows
from .rules_differences import rules_differences
from .way_out import WayOut, closed_uplinks, find_ways_out
from .zones import RunningZones, desired_zones, unbound_notes


@dataclass(frozen=True)
class RulesPlan(Plan[Change]):
    """A plan with the changes of the table for nft, and with the connections to end once these are loaded.

    ``subnets_to_mark``: connections that exist there get the mark for other firewalls. ``helpers``: those of conntrack
    that the table declares.
    """

    table: Delta = Delta()
    flows_to_flush: FlowsToFlush = field(default_factory=FlowsToFlush)
    subnets_to_mark: Sequence[str] = ()
    helpers: Collection[str] = ()


@dataclass(frozen=True)
class RulesState:
    """The host's rules, forwarding and firewalls.

    ``table``: None where there is none. ``loaded_digests``: the digest of the rules right after they were loaded, by
    version of the chains. ``setting``: how other firewalls are asked. ``uplinks``: the interface of each uplink that a
    network names, by its name or an alternative one; '' for one that does not exist. ``missing_addresses``: those of
    port forwards that are not the host's. ``missing_helpers``: see helper_modules.py. ``ways``: by which packets of
    guests leave.
    """

    table: Table | None = None
    loaded_digests: Mapping[str, str] = field(default_factory=dict)
    forwarding: Forwarding = field(default_factory=Forwarding)
    firewalls: Firewalls = field(default_factory=Firewalls)
    setting: Setting = field(default_factory=Setting)
    uplinks: Mapping[str, str] = field(default_factory=dict)
    missing_helpers: Mapping[str, str] = field(default_factory=dict)
    missing_addresses: Collection[str] = ()
    ways: Sequence[WayOut] = ()

    @property
    def sets_mark(self) -> bool:
        """Whether the table marks connections for other firewalls, as this version decided: older ones always did."""
        table = self.table
        if table is None or not table.marks:
            return False
        return nft_script.version(table.elements, marks=True) in self.loaded_digests

    @property
    def passes_unmarked(self) -> bool:
        """Whether there are connections that the table let pass without a mark."""
        return self.table is not None and not self.table.marks


class RulesReconciler:
    """The reconciler of rules."""

    def __init__(
        self, desired: Sequence[RulesSpec], purge: bool, paths: Paths, *, integrate: bool | None = None
    ) -> None:
        """``integrate``: whether other firewalls are to let networks pass; None: keep the setting of this host."""
        self.desired = desired
        self.integrate = integrate
        self.purge = purge
        self.paths = paths
        self._present = [spec for spec in desired if spec.state == "present"]
        self._digests_file = os.path.join(paths.runtime, "rules.json")
        refuse_conflicts(self._present)

    def read(self) -> RulesState:
        """The table as the kernel lists it, the host's forwarding, and the other firewalls."""
        table = None if find("nft") is None else read_table()
        try:
            digests = read_object(self._digests_file)
        except ValueError:
            digests = {}
        ipv6 = any(spec.rules.ipv6 for spec in self.desired) or (table and table.elements.get("vn_subnets6"))
        setting = integrations.read_setting(self.paths)
        read_forwarding = ip_forward.read_with_ra_links if ipv6 else ip_forward.read
        return RulesState(
            table=table,
            loaded_digests=digests,
            forwarding=read_forwarding(self.paths),
            firewalls=integrations_read.read(
                self.paths, zones=bool(setting.zones) or any(spec.zone for spec in self._present)
            ),
            setting=setting,
            uplinks={uplink: interface_named(uplink) for spec in self._present for uplink in spec.rules.uplinks},
            missing_helpers=read_missing({helper for spec in self._present for helper in spec.rules.helpers}),
            missing_addresses={
                forward.address
                for spec in self._present
                for forward in spec.rules.forwards
                if forward.address and not has_address(forward.address)
            },
            ways=[way for spec in self._present for way in find_ways_out(GuestNetwork.from_rules(spec.rules), ())],
        )

    def plan(self, current: RulesState) -> RulesPlan:
        """The changes of the table, of forwarding and of other firewalls."""
        elements = {} if current.table is None else current.table.elements
        desired = self._desired_elements(elements, current)
        differences = rules_differences(elements, desired)
        networks = [nft_elements.rules_of(own, bridge) for bridge, own in nft_elements.by_bridge(desired).items()]
        integrate = current.setting.integrate if self.integrate is None else self.integrate
        marks = mark.is_needed(current.firewalls, integrate=integrate, is_set=current.sets_mark)
        rules, table = _plan_table([network.change() for network in differences], current, desired, marks=marks)
        forwards_ipv4 = any(network.forwarded for network in networks)
        forwards_ipv6 = any(network.forwarded and network.ipv6 for network in networks)
        switch = ip_forward.plan(current.forwarding, self.paths, ipv4=forwards_ipv4, ipv6=forwards_ipv6)
        # Forwarding is enabled before the rules apply to any network, and disabled after they are gone.
        changes: list[Change] = [*switch, *rules] if forwards_ipv4 else [*rules, *switch]
        bridges = [key[0] for key in desired["vn_bridges"]]
        recorded = current.setting.zones
        zones = desired_zones(self._present, recorded, bridges) if integrate else {}
        setting = integrations.plan_setting(Setting(integrate, zones), self.paths, current.setting)
        redirected = {network.bridge for network in networks if network.redirect_dns or network.redirect_dhcp}
        others = integrations.plan(
            bridges if integrate else (),
            current.firewalls,
            self.paths,
            redirected=redirected if integrate else (),
            zones=zones,
            recorded=recorded,
        )
        # A bridge is recorded before it is in a zone, and until it no longer is.
        changes += [*others, *setting] if recorded.keys() - zones.keys() else [*setting, *others]
        return RulesPlan(
            changes=changes,
            result=[spec.as_options() for spec in self._present],
            notes=[
                *self._missing_uplinks(current.uplinks),
                *self._unanswered_forwards(current.missing_addresses),
                *missing_notes(self._present, current.missing_helpers),
                *closed_uplinks(current.ways),
                *unbound_notes(self._present, current.firewalls.zones, integrate=integrate),
                *integrations.remaining_drops(
                    current.firewalls,
                    networks,
                    integrate=integrate,
                    marks=marks,
                    zones=_bound(zones, current.firewalls),
                ),
            ],
            table=table,
            helpers={helper for network in networks for helper in network.helpers},
            flows_to_flush=FlowsToFlush(
                forwards=[forward for network in differences for forward in network.removed_forwards],
                subnets=[subnet for network in differences for subnet in network.closed_subnets],
                new_forwards=[forward for network in differences for forward in network.new_forwards],
                redirected={address for network in differences for address in network.redirected},
                policies=[
                    PolicyFlows(network.desired, {rules.bridge: rules for rules in networks})
                    for network in differences
                    if network.desired is not None and network.has_new_policy
                ],
            ),
            subnets_to_mark=marked_subnets(networks) if marks and current.passes_unmarked else (),
        )

    def _missing_uplinks(self, uplinks: Mapping[str, str]) -> Iterator[str]:
        for spec in self._present:
            rules = spec.rules
            missing = [uplink for uplink in rules.uplinks if uplinks.get(uplink) == ""]
            if rules.mode == "isolated" or not missing:
                continue
            existing = [uplink for uplink in rules.uplinks if uplink not in missing]
            reached = f"leave by {', '.join(existing)} alone" if existing else "reach nothing outside"
            is_missing, they_exist = ("does not exist", "it does") if len(missing) == 1 else ("do not exist", "they do")
            yield (
                f"network {rules.name!r}: the uplink{'s' * (len(missing) > 1)} {', '.join(missing)} {is_missing}, and "
                f"until {they_exist}, guests {reached}"
            )

    def _unanswered_forwards(self, missing: Collection[str]) -> Iterator[str]:
        for spec in self._present:
            for forward in spec.rules.forwards:
                if forward.address in missing:
                    yield (
                        f"network {spec.rules.name!r}: {forward.address} is not an address of this host, and until it "
                        f"is, the port forward {forward} answers nobody; add the address to an interface"
                    )

    def _desired_elements(self, loaded: Elements, current: RulesState) -> dict[str, dict[tuple[str, ...], str]]:
        """The elements of the desired networks; without purge also those of networks that no spec names."""
        names = {spec.rules.name for spec in self.desired}
        bridges = {spec.rules.bridge for spec in self._present}
        policed = self._bridges_by_name(loaded)
        rules = [
            replace(
                spec.rules,
                policy=_resolved_policy(spec, policed),
                # Rules match names alone, not alternative ones.
                uplinks=[current.uplinks.get(name) or name for name in spec.rules.uplinks],
                helpers=[helper for helper in spec.rules.helpers if helper not in current.missing_helpers],
            )
            for spec in self._present
        ]
        parts: list[Elements] = list(map(nft_elements.elements_of, rules))
        if not self.purge:
            for bridge, own in nft_elements.by_bridge(loaded).items():
                name = own.get("vn_bridges", {}).get((bridge,))
                if name is not None and name not in names and bridge not in bridges:
                    parts.append(own)
        return nft_elements.merged(parts)

    def _bridges_by_name(self, loaded: Elements) -> dict[str, str]:
        """The bridges of networks, also of those that no spec names."""
        bridges = {name: bridge for (bridge,), name in loaded.get("vn_bridges", {}).items()}
        if self.purge:
            bridges = {}
        absent = {spec.rules.name for spec in self.desired if spec.state == "absent"}
        bridges = {name: bridge for name, bridge in bridges.items() if name not in absent}
        return {**bridges, **{spec.rules.name: spec.rules.bridge for spec in self._present}}

    def preflight(self, plan: RulesPlan) -> None:
        """Raise VirtnetError for what other firewalls would refuse."""
        integrations.refuse_panic(plan.changes)

    def apply(self, plan: RulesPlan) -> None:
        """Make the changes in their order, those of the table at the first of them; then end connections."""
        table = plan.table
        for change in plan.changes:
            if isinstance(change, (ForwardingChange, FirewallChange)):
                change.make()
            elif table.script:
                load_nat_modules(plan.helpers)
                self._load(table)
                table = Delta()
        flows = plan.flows_to_flush
        if flows.new_forwards or flows.policies:
            cidrs = (cidr for link in read_links().values() for cidr in link.addresses)
            flows = replace(flows, own_addresses={cidr.partition("/")[0] for cidr in cidrs})
        if flows:
            conntrack.delete_entries(flows.includes)
        if plan.subnets_to_mark:
            conntrack.add_mark(lambda connection: is_of_subnets(connection, plan.subnets_to_mark), MARK)

    def _load(self, change: Delta) -> None:
        """Load the changes and note the digest of the result; a script that nft refuses changes nothing."""
        if change.first:
            run(["nft", "-f", "-"], stdin=change.first)
        try:
            run(["nft", "-f", "-"], stdin=change.script)
        except CommandFailed:
            if change.first:
                run(["nft", "-f", "-"], stdin=change.revert, check=False)
            raise
        table = read_table()
        digests = {nft_script.version(table.elements, marks=table.marks): table.digest} if table else {}
        write_files([File(self._digests_file, json.dumps(digests) if table else None)])


def read_table() -> Table | None:
    """The table inet virtnet, or None; raises CommandFailed where nft is older than 1.0 or refuses."""
    listed = list_table(FAMILY, TABLE)
    try:
        return None if listed is None else parse(listed)
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"the table {FAMILY} {TABLE} that nft listed cannot be parsed: {error!r}") from error


def _resolved_policy(spec: RulesSpec, bridges: Mapping[str, str]) -> Policy:
    """The policy with bridges in place of networks; raises InvalidOption for a network without rules."""
    policy = spec.rules.policy
    for entry in policy.entries:
        if entry.network and entry.network not in bridges:
            entry.refuse(
                "network",
                f"{entry.network!r} is no network with rules of ours; use one of {', '.join(sorted(bridges))}",
                f"network {spec.rules.name!r}",
            )
    return policy.with_networks(bridges)


def _bound(zones: Mapping[str, str], current: Firewalls) -> list[str]:
    """The bridges that are in their zone already: rules about others are those of the default zone."""
    running = RunningZones() if current.zones is None else current.zones
    return [bridge for bridge, zone in zones.items() if running.of_interfaces.get(bridge) == zone]


def _plan_table(
    changes: Sequence[Change], current: RulesState, desired: Elements, *, marks: bool
) -> tuple[Sequence[Change], Delta]:
    """The changes of the table, for the diff and for nft; a table that was altered is replaced as a whole."""
    name = f"table {FAMILY} {TABLE}"
    if not desired["vn_bridges"]:
        if current.table is None:
            return [], Delta()
        return changes or [Change(DELETE, name)], Delta(nft_script.delete())
    if current.table is None:
        return changes, Delta(nft_script.render(desired, marks=marks))
    repairs = []
    faults = _chain_faults(current.table, current.loaded_digests)
    if faults:
        before = "".join(f"{fault}\n" for fault in faults)
        detail = f"repaired ({'; '.join(faults)})"
        repairs.append(Change(CHANGE, name, before, "as this version of virtnet.linux defines it\n", detail))
    if marks != current.table.marks:
        before, after = (f"mark for other firewalls: {'yes' if one else 'no'}\n" for one in (not marks, marks))
        detail = f"{'a mark' if marks else 'no mark'} for other firewalls"
        repairs.append(Change(CHANGE, name, before, after, detail))
    changes = [*changes, *repairs]
    if faults:
        return changes, Delta(nft_script.render(desired, marks=marks))
    if not changes:
        return [], Delta()
    return changes, nft_script.render_delta(current.table.elements, desired, marks=marks, marked=current.table.marks)


def _chain_faults(table: Table, loaded_digests: Mapping[str, str]) -> list[str]:
    """How chains and sets of the loaded table differ from those of this version."""
    desired = nft_script.static_comments(table.elements, marks=table.marks)
    faults = [
        f"chain {chain}: {'rules differ' if chain in table.comments else 'missing'}"
        for chain, comments in desired.items()
        if list(table.comments.get(chain, ["?"])) != list(comments)
    ]
    faults += [f"chain {chain}: not ours" for chain in table.comments if chain not in desired]
    faults += [f"set {name}: missing" for name in SETS if name not in table.elements]
    digest = loaded_digests.get(nft_script.version(table.elements, marks=table.marks))
    if not faults and digest != table.digest:
        faults.append(
            "loaded by another version, or by an interrupted run" if digest is None else "a rule was altered by hand"
        )
    return faults
