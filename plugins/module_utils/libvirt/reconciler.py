# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part that keeps networks known to libvirt, so that guests can have them by ``<source network='lab'/>``.

libvirt is told of a bridge that is there (forward mode='bridge') and does nothing to it; rules, DHCP and DNS stay ours.
What we registered has our mark in its metadata; a network of libvirt's without it is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.errors import VirtnetError
from ..core.files import put
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Change, Plan
from ..libvirt_xml.values import Version
from .connection import Driver, Found, driver_installed
from .definition import RegistrationSpec, differs, registered_by_us, shape, xml_of
from .live_update import Update, updates
from .managed import uuid_in
from .managed_update import (
    Made,
    SectionUpdate,
    completed,
    digest,
    is_live,
    is_stored,
    live_updates,
    made_file,
    read_made,
)
from .options import ALWAYS
from .ports import plug_in, ports_of

# Steps of a change, in the order in which they are taken.
STOP, UNDEFINE, DEFINE, CREATE_TRANSIENT, START, AUTOSTART, NO_AUTOSTART = (
    "stop",
    "undefine",
    "define",
    "create transient",
    "start",
    "autostart",
    "no autostart",
)


# Before, virNetworkDefParseXML() (src/conf/network_conf.c) takes vlan for virtualport type='openvswitch' alone.
_VLAN_SINCE: Version = (11, 0)


@dataclass(frozen=True)
class RegistrationChange(Change):
    """What is done to one network of libvirt's.

    ``given``: the digest of a definition that is libvirt's own; ``fresh``: afterwards that is what runs.
    """

    network: str = ""
    steps: Sequence[str | Update | SectionUpdate] = ()
    xml: str = ""
    given: str = ""
    fresh: bool = True


@dataclass(frozen=True)
class State:
    """libvirt's networks by name; ``problem`` where it cannot be asked; ``made``: what became of definitions."""

    networks: Mapping[str, Found] = field(default_factory=dict)
    version: Version = (0, 0)
    problem: str = ""
    made: Mapping[str, Made] = field(default_factory=dict)


class Registrations:
    """Networks as libvirt shall know them."""

    def __init__(self, wanted: Sequence[RegistrationSpec], purge: bool, paths: Paths) -> None:
        self.wanted = wanted
        self.purge = purge
        self.paths = paths

    def read(self) -> State:
        """libvirt's networks, where it has a driver for them."""
        if not driver_installed(self.paths.root):
            return State(problem="libvirt's network driver is not installed" if self._must() else "")
        if not self.wanted and not self.purge:
            return State()
        try:
            with Driver() as driver:
                return State(driver.networks(), driver.version, made=read_made(self.paths))
        except VirtnetError as error:
            return State(problem=str(error))

    def _must(self) -> bool:
        return any(spec.register == ALWAYS and spec.state == "present" for spec in self.wanted)

    def plan(self, current: State) -> Plan[RegistrationChange]:
        """What libvirt has to be told; raises VirtnetError where it cannot be and must be."""
        if current.problem:
            if self._must():
                raise VirtnetError(f"{current.problem}; put it right, or set libvirt.register to auto or false")
            return Plan(notes=[f"networks are not registered with libvirt: {current.problem}"])
        if current.version == (0, 0):
            return Plan()
        changes, notes = [], []
        for spec in self.wanted:
            found = current.networks.get(spec.name)
            if spec.managed and spec.state == "present":
                change, note = _managed(spec, found, current)
            elif spec.managed:
                change, note = (_removed(found) if found else None), ""
            elif spec.state == "present":
                _refuse_foreign(spec, current)
                _refuse_vlan(spec, current.version)
                change, note = _present(spec, found, current.version)
            else:
                change, note = (_absent(found) if found else None), ""
            changes += [change] if change else []
            notes += [note] if note else []
        named = {spec.name for spec in self.wanted}
        if self.purge:
            gone = [_absent(found) for name, found in sorted(current.networks.items()) if name not in named]
            changes += [change for change in gone if change]
        holds = [spec.as_options() for spec in self.wanted if spec.state == "present"]
        return Plan(changes, holds, notes)

    def apply(self, plan: Plan[RegistrationChange]) -> None:
        """Tell libvirt."""
        with Driver() as driver:
            for change in plan.changes:
                ports = ports_of(driver, change.network) if {STOP, START} <= {*map(str, change.steps)} else None
                for step in change.steps:
                    _take(driver, step, change)
                if ports is not None:
                    plug_in(driver, change.network, ports)
                if change.given or not change.xml:
                    self._remember(change, driver.networks().get(change.network))

    def _remember(self, change: RegistrationChange, found: Found | None) -> None:
        made = read_made(self.paths)
        before = made.pop(change.network, Made())
        if change.given and found is not None:
            live = digest(found.live) if change.fresh else ""
            made[change.network] = Made(change.given, digest(found.xml), live)
        if made or before != Made():
            put([made_file(made, self.paths)])


def _take(driver: Driver, step: str | Update | SectionUpdate, change: RegistrationChange) -> None:
    if isinstance(step, (Update, SectionUpdate)):
        step.make(driver, change.network)
    elif step == DEFINE:
        driver.define(change.xml)
    elif step == CREATE_TRANSIENT:
        driver.create(change.xml)
    elif step == STOP:
        driver.stop(change.network)
    elif step == UNDEFINE:
        driver.undefine(change.network)
    elif step == START:
        driver.start(change.network)
    else:
        driver.autostart(change.network, step == AUTOSTART)


def _refuse_foreign(spec: RegistrationSpec, current: State) -> None:
    for found in current.networks.values():
        same = "name" if found.name == spec.name else "uuid" if found.uuid == spec.uuid else ""
        if same and not registered_by_us(found.xml):
            raise VirtnetError(
                f"network {spec.name!r}: {same}: libvirt has a network of this {same} that is not ours "
                f"({found.name!r}); give ours another {same}, set libvirt.register to false, or remove libvirt's "
                f"(virsh net-undefine {found.name})"
            )


def _refuse_vlan(spec: RegistrationSpec, version: Version) -> None:
    """libvirt would refuse the definition, but only when the other parts are done."""
    if version >= _VLAN_SINCE or spec.libvirt.virtualport.get("type") == "openvswitch":
        return
    tagged = [f"portgroups[{i}].vlan" for i, group in enumerate(spec.libvirt.portgroups) if "vlan" in group]
    for option in [*(["vlan"] if spec.libvirt.vlan else []), *tagged]:
        raise VirtnetError(
            f"network {spec.name!r}: libvirt.{option}: libvirt {version[0]}.{version[1]} knows VLANs on Open vSwitch "
            "alone; leave it out, or use libvirt 11.0 or newer"
        )


def _absent(found: Found) -> RegistrationChange | None:
    return _removed(found) if registered_by_us(found.xml) else None


def _removed(found: Found) -> RegistrationChange:
    steps = _removal(found)
    before = shape(found.xml) + found.status()
    return RegistrationChange(DELETE, f"libvirt network {found.name}", before, "", "unregistered", found.name, steps)


def _present(spec: RegistrationSpec, found: Found | None, version: Version) -> tuple[RegistrationChange | None, str]:
    """The steps from what libvirt has to what it shall have, and a note on what has to wait for guests."""
    xml = xml_of(spec, version)
    wanted = Found(spec.name, spec.uuid, xml, xml, spec.active, spec.persistent, spec.persistent and spec.autostart)
    steps, note = _steps(wanted, found, version)
    after = shape(xml) + wanted.status()
    what = f"libvirt network {spec.name}"
    if not steps:
        return None, note
    if found is None:
        return RegistrationChange(CREATE, what, "", after, "registered", spec.name, steps, xml), note
    before = shape(found.xml) + found.status()
    if before == after:
        before = shape(found.live) + found.status()
    return RegistrationChange(CHANGE, what, before, after, ", ".join(map(str, steps)), spec.name, steps, xml), note


def _managed(spec: RegistrationSpec, found: Found | None, current: State) -> tuple[RegistrationChange | None, str]:
    """The steps for a network that is libvirt's own, and a note on what has to wait for its next start."""
    xml, given = completed(spec.name, spec.xml, found), digest(spec.xml)
    wanted = Found(spec.name, uuid_in(xml), xml, xml, spec.active, spec.persistent, spec.persistent and spec.autostart)
    made = current.made.get(spec.name, Made())
    what = f"libvirt network {spec.name}"
    if found is not None and found.uuid != wanted.uuid:
        raise VirtnetError(
            f"network {spec.name!r}: uuid: libvirt's network has {found.uuid}, and libvirt does not change that; "
            "leave the uuid out, or remove the network first (state: absent)"
        )
    old = found or replace(wanted, active=False, persistent=False, autostart=False)
    stale = old.active and wanted.active and not is_live(old, xml, given, made)
    calls = live_updates(old.live, xml, current.version) if stale else None
    restart = stale and calls is None and spec.restart
    late = stale and calls is None and not spec.restart
    steps: list[str | Update | SectionUpdate] = [STOP] if old.active and (restart or not wanted.active) else []
    runs = old.active and not steps
    if wanted.persistent:
        steps += [] if old.persistent and is_stored(old, xml, given, made) else [DEFINE]
        steps += [START] if wanted.active and not runs else []
        if wanted.autostart != old.autostart:
            steps.append(AUTOSTART if wanted.autostart else NO_AUTOSTART)
    else:
        steps += [UNDEFINE] if old.persistent else []
        steps += [CREATE_TRANSIENT] if wanted.active and not runs else []
    steps += calls or ()
    note = f"{what}: what has changed takes effect at its next start (virsh net-destroy, net-start, or restart: true)"
    if not steps:
        return None, note if late else ""
    shown = old.xml if DEFINE in steps or not old.active else old.live
    before = "" if found is None else shape(shown) + old.status()
    after = shape(xml) + wanted.status()
    return RegistrationChange(
        CREATE if found is None else CHANGE,
        what,
        before,
        after,
        ", ".join(map(str, steps)),
        spec.name,
        steps,
        xml,
        given,
        not late,
    ), note if late else ""


def _removal(found: Found) -> list[str | Update]:
    return [*([STOP] if found.active else []), *([UNDEFINE] if found.persistent else [])]


def _steps(wanted: Found, found: Found | None, version: Version) -> tuple[list[str | Update], str]:
    steps: list[str | Update] = []
    note = ""
    old = found or replace(wanted, active=False, persistent=False, autostart=False, xml="")
    if found is not None and found.uuid != wanted.uuid:
        # libvirt does not change the uuid of a network that is there.
        steps = _removal(found)
        old = replace(old, active=False, persistent=False, autostart=False, xml="")
    active = old.active
    stale = active and wanted.active and differs(old.live, wanted.live)
    in_place = updates(old.live, wanted.live, version) if stale else None
    if stale and in_place is None and old.guests:
        note = (
            f"libvirt network {wanted.name} has guests ({old.guests}) and changes for them only once it was stopped "
            "and started (virsh net-destroy, net-start)"
        )
    if active and (not wanted.active or (stale and in_place is None and not old.guests)):
        steps.append(STOP)
        active = False
    if wanted.persistent:
        if not old.persistent or differs(old.xml, wanted.xml):
            steps.append(DEFINE)
        steps += [START] if wanted.active and not active else []
        if wanted.autostart != old.autostart:
            steps.append(AUTOSTART if wanted.autostart else NO_AUTOSTART)
    else:
        steps += [UNDEFINE] if old.persistent else []
        steps += [CREATE_TRANSIENT] if wanted.active and not active else []
    return [*steps, *(in_place or ())], note
