# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of libvirt's networks, which guests use with ``<source network='lab'/>``.

Our networks are registered with the bridge that we made (forward mode='bridge'): libvirt does nothing to the bridge,
and rules, DHCP and DNS stay ours. A network that we register has our mark in its metadata; networks of libvirt without
it are never changed, unless the user manages them here (managed_by: libvirt).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Union

from ..core.errors import VirtnetError
from ..core.files import write_files
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Plan, verify
from ..libvirt_xml.values import Version
from .connection import Driver, LibvirtNetwork, driver_installed
from .definition import RegistrationSpec, differs, registered_by_us, registration_xml, text_for_diff
from .live_update import live_updates
from .managed import uuid_in
from .managed_update import (
    DefinitionDigests,
    complete_definition,
    digest,
    digests_file,
    is_equivalent,
    managed_live_updates,
    read_digests,
)
from .options import ALWAYS
from .steps import Action, RegistrationChange, Step, absent, lifecycle_steps, make, removal_steps, restore

# Older versions accept <vlan> with virtualport type='openvswitch' only (virNetworkDefParseXML() in
# src/conf/network_conf.c).
_VLAN_SINCE: Version = (11, 0)


@dataclass(frozen=True)
class RegistrationState:
    """libvirt's networks by name, or the ``problem`` why libvirt cannot be queried.

    ``digests``: for networks with managed_by: libvirt, what libvirt made of their definitions.
    """

    networks: Mapping[str, LibvirtNetwork] = field(default_factory=dict)
    version: Version = (0, 0)
    problem: str = ""
    digests: Mapping[str, DefinitionDigests] = field(default_factory=dict)


class Registrations:
    """The reconciler of libvirt's networks."""

    def __init__(self, desired: Sequence[RegistrationSpec], purge: bool, paths: Paths) -> None:
        self.desired = desired
        self.purge = purge
        self.paths = paths

    def read(self) -> RegistrationState:
        """libvirt's networks, if its network driver is installed."""
        if not driver_installed(self.paths.root):
            return RegistrationState(problem="libvirt's network driver is not installed" if self._is_required() else "")
        if not self.desired and not self.purge:
            return RegistrationState()
        try:
            with Driver() as driver:
                return RegistrationState(driver.networks(), driver.version, digests=read_digests(self.paths))
        except VirtnetError as error:
            return RegistrationState(problem=str(error))

    def _is_required(self) -> bool:
        return any(spec.register == ALWAYS and spec.state == "present" for spec in self.desired)

    def plan(self, current: RegistrationState) -> Plan[RegistrationChange]:
        """The changes of libvirt's networks; raises VirtnetError if libvirt is required and cannot be used."""
        if current.problem:
            if self._is_required():
                raise VirtnetError(f"{current.problem}; put it right, or set libvirt.register to auto or false")
            return Plan(notes=[f"networks are not registered with libvirt: {current.problem}"])
        if current.version == (0, 0):
            return Plan()
        planned = [_plan_network(spec, current.networks.get(spec.name), current) for spec in self.desired]
        changes = [change for change, _note in planned if change]
        if self.purge:
            names = {spec.name for spec in self.desired}
            unlisted = [network for name, network in sorted(current.networks.items()) if name not in names]
            changes += [_removal(network) for network in unlisted if registered_by_us(network.xml)]
        result = [spec.as_options() for spec in self.desired if spec.state == "present"]
        return Plan(changes, result, [note for _change, note in planned if note])

    def apply(self, plan: Plan[RegistrationChange]) -> None:
        """Carry out the steps; raises VirtnetError, and then all networks are as before, or the error says so."""
        digests = read_digests(self.paths)
        with Driver() as driver:
            try:
                for change in plan.changes:
                    make(driver, change)
                    if change.definition_digest or not change.xml:
                        self._store_digests(change, driver.networks().get(change.network))
                verify(self)
            except VirtnetError as error:
                try:
                    for change in reversed(plan.changes):
                        restore(driver, change)
                    if read_digests(self.paths) != digests:
                        write_files([digests_file(digests, self.paths)])
                except VirtnetError as second_error:
                    raise VirtnetError(f"{error}; libvirt's networks are not as before: {second_error}") from error
                raise

    def _store_digests(self, change: RegistrationChange, network: LibvirtNetwork | None) -> None:
        digests = read_digests(self.paths)
        before = digests.pop(change.network, DefinitionDigests())
        if change.definition_digest and network is not None:
            live = digest(network.live) if change.is_live else ""
            digests[change.network] = DefinitionDigests(change.definition_digest, digest(network.xml), live)
        if digests or before != DefinitionDigests():
            write_files([digests_file(digests, self.paths)])


def _refuse_foreign(spec: RegistrationSpec, current: RegistrationState) -> None:
    for network in current.networks.values():
        same = "name" if network.name == spec.name else "uuid" if network.uuid == spec.uuid else ""
        if same and not registered_by_us(network.xml):
            raise VirtnetError(
                f"network {spec.name!r}: {same}: libvirt has a network of this {same} that is not ours "
                f"({network.name!r}); give ours another {same}, set libvirt.register to false, or remove libvirt's "
                f"(virsh net-undefine {network.name})"
            )


def _refuse_vlan(spec: RegistrationSpec, version: Version) -> None:
    """Refuse what libvirt would refuse too, but only after the other reconcilers have applied their plans."""
    if version >= _VLAN_SINCE or spec.libvirt.virtualport.get("type") == "openvswitch":
        return
    tagged = [f"portgroups[{i}].vlan" for i, group in enumerate(spec.libvirt.portgroups) if "vlan" in group]
    for option in [*(["vlan"] if spec.libvirt.vlan else []), *tagged]:
        raise VirtnetError(
            f"network {spec.name!r}: libvirt.{option}: libvirt {version[0]}.{version[1]} knows VLANs on Open vSwitch "
            "alone; leave it out, or use libvirt 11.0 or newer"
        )


# A change, None for no change, and a note for the user, '' for none.
_Planned = tuple[Union[RegistrationChange, None], str]


def _plan_network(spec: RegistrationSpec, network: LibvirtNetwork | None, current: RegistrationState) -> _Planned:
    if spec.state == "absent":
        if network is None or not (spec.managed or registered_by_us(network.xml)):
            return None, ""
        return _removal(network), ""
    if spec.managed:
        return _plan_managed(spec, network, current)
    _refuse_foreign(spec, current)
    _refuse_vlan(spec, current.version)
    return _plan_registration(spec, network, current.version)


def _removal(network: LibvirtNetwork) -> RegistrationChange:
    return RegistrationChange(
        action=DELETE,
        name=f"libvirt network {network.name}",
        before=text_for_diff(network.xml) + network.status(),
        detail="unregistered",
        network=network.name,
        former=network,
        steps=removal_steps(network),
    )


def desired_network(spec: RegistrationSpec, uuid: str, xml: str) -> LibvirtNetwork:
    """The network that libvirt has with this definition."""
    return LibvirtNetwork(
        name=spec.name,
        uuid=uuid,
        xml=xml,
        live=xml,
        active=spec.active,
        persistent=spec.persistent,
        autostart=spec.persistent and spec.autostart,
    )


def _plan_registration(spec: RegistrationSpec, network: LibvirtNetwork | None, version: Version) -> _Planned:
    """The change for a network of ours, and a note if it has to wait because guests use the network."""
    desired = desired_network(spec, spec.uuid, registration_xml(spec, version))
    steps: list[Step] = []
    current = network or absent(desired)
    if network is not None and network.uuid != desired.uuid:
        # libvirt cannot change the UUID of a network.
        steps, current = removal_steps(network), absent(desired)
    outdated = current.active and desired.active and differs(current.live, desired.live)
    updates = live_updates(current.live, desired.live, version) if outdated else ()
    restart = updates is None and not current.guests
    redefine = differs(current.xml, desired.xml)
    steps += lifecycle_steps(desired, current, restart=restart, redefine=redefine)
    steps += updates or ()
    note = (
        f"libvirt network {desired.name} has guests ({current.guests}) and changes for them only once it was stopped "
        "and started (virsh net-destroy, net-start)"
    )
    change = _change(desired, network, network.xml if network else "", steps)
    if network is not None and change.before == change.after:
        change = replace(change, before=text_for_diff(network.live) + network.status())
    if network is None:
        change = replace(change, detail="registered")
    return change if steps else None, note if updates is None and not restart else ""


def _plan_managed(spec: RegistrationSpec, network: LibvirtNetwork | None, state: RegistrationState) -> _Planned:
    """The change for a network with managed_by: libvirt, and a note if it takes effect at the network's next start."""
    xml, definition_digest = complete_definition(spec.name, spec.xml, network), digest(spec.xml)
    desired = desired_network(spec, uuid_in(xml), xml)
    if network is not None and network.uuid != desired.uuid:
        raise VirtnetError(
            f"network {spec.name!r}: uuid: libvirt's network has {network.uuid}, and libvirt does not change that; "
            "leave the uuid out, or remove the network first (state: absent)"
        )
    digests = state.digests.get(spec.name, DefinitionDigests())
    if digests.given != definition_digest:
        digests = DefinitionDigests()
    current = network or absent(desired)
    outdated = current.active and desired.active and not _is_current(current.live, xml, digests.live)
    updates = managed_live_updates(current.live, xml, state.version) if outdated else ()
    restart = updates is None and spec.restart
    is_delayed = updates is None and not spec.restart
    redefine = not (current.persistent and _is_current(current.xml, xml, digests.stored))
    steps = [*lifecycle_steps(desired, current, restart=restart, redefine=redefine), *(updates or ())]
    note = (
        f"libvirt network {spec.name}: what has changed takes effect at its next start (virsh net-destroy, net-start, "
        "or restart: true)"
    )
    old_xml = current.xml if Action.DEFINE in steps or not current.active else current.live
    change = _change(desired, network, old_xml, steps)
    change = replace(change, definition_digest=definition_digest, is_live=not is_delayed)
    return change if steps else None, note if is_delayed else ""


def _is_current(current: str, desired: str, stored_digest: str) -> bool:
    """Whether a definition of libvirt has the desired meaning, or is what libvirt made of it when it was stored."""
    return is_equivalent(current, desired) or (stored_digest != "" and stored_digest == digest(current))


def _change(
    desired: LibvirtNetwork, network: LibvirtNetwork | None, old_xml: str, steps: Sequence[Step]
) -> RegistrationChange:
    return RegistrationChange(
        action=CREATE if network is None else CHANGE,
        name=f"libvirt network {desired.name}",
        before="" if network is None else text_for_diff(old_xml) + network.status(),
        after=text_for_diff(desired.xml) + desired.status(),
        detail=", ".join(map(str, steps)),
        network=desired.name,
        steps=steps,
        xml=desired.xml,
        former=network,
    )
