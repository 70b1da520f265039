# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done to a network of libvirt, step by step, and the way back."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Union

from ..core.errors import VirtnetError
from ..core.reconcile import Change
from .connection import Driver, LibvirtNetwork
from .live_update import LiveUpdate, live_updates
from .managed_update import managed_live_updates
from .ports import ports_kept


class Action(str, Enum):
    """What is done to a network of libvirt."""

    STOP = "stop"
    UNDEFINE = "undefine"
    DEFINE = "define"
    CREATE_TRANSIENT = "create transient"
    START = "start"
    AUTOSTART = "autostart"
    NO_AUTOSTART = "no autostart"

    def __str__(self) -> str:
        return self.value


Step = Union[Action, LiveUpdate]


@dataclass(frozen=True)
class RegistrationChange(Change):
    """The steps for one network of libvirt, in order; ``xml`` is the definition that they use.

    ``former``: the network before, None if there was none. Of a network with managed_by: libvirt, ``definition_digest``
    is that of the user's definition, and ``is_live`` tells whether the running network has this definition after the
    steps.
    """

    network: str = ""
    steps: Sequence[Step] = ()
    xml: str = ""
    former: LibvirtNetwork | None = None
    definition_digest: str = ""
    is_live: bool = True


def removal_steps(network: LibvirtNetwork) -> list[Step]:
    """The steps that remove a network."""
    stop: list[Step] = [Action.STOP] if network.active else []
    return [*stop, *([Action.UNDEFINE] if network.persistent else [])]


def absent(desired: LibvirtNetwork) -> LibvirtNetwork:
    """The state of a network that libvirt does not have."""
    return replace(desired, active=False, persistent=False, autostart=False, xml="")


def lifecycle_steps(desired: LibvirtNetwork, current: LibvirtNetwork, *, restart: bool, redefine: bool) -> list[Step]:
    """From the current to the desired state of a network, without updates of the running network."""
    starts = desired.active and (restart or not current.active)
    steps: list[Step] = [Action.STOP] if current.active and (restart or not desired.active) else []
    if desired.persistent:
        steps += [Action.DEFINE] if redefine or not current.persistent else []
        steps += [Action.START] if starts else []
        if desired.autostart != current.autostart:
            steps.append(Action.AUTOSTART if desired.autostart else Action.NO_AUTOSTART)
    else:
        steps += [Action.UNDEFINE] if current.persistent else []
        steps += [Action.CREATE_TRANSIENT] if starts else []
    return steps


def make(driver: Driver, change: RegistrationChange) -> None:
    """Carry out the steps of a change. Guests are kept; if a step fails, the network is as before, if possible."""
    with _guests_kept(driver, change):
        try:
            for step in change.steps:
                _carry_out(driver, step, change)
        except VirtnetError:
            with contextlib.suppress(VirtnetError):
                restore(driver, change)
            raise


def restore(driver: Driver, change: RegistrationChange) -> None:
    """Bring a network back to what it was before a change; does nothing where it is. Raises VirtnetError."""
    former, current = change.former, driver.networks().get(change.network)
    steps: list[Step] = []
    if current is not None and (former is None or current.uuid != former.uuid):
        steps, current = removal_steps(current), None
    if former is not None:
        current = current or absent(former)
        outdated = current.active and former.active and current.live != former.live
        find_updates = managed_live_updates if change.definition_digest else live_updates
        updates = find_updates(current.live, former.live, driver.version) if outdated else ()
        redefine = current.xml != former.xml
        steps += [*lifecycle_steps(former, current, restart=updates is None, redefine=redefine), *(updates or ())]
    back = replace(change, steps=steps, xml=former.xml if former else "")
    with _guests_kept(driver, back):
        for step in steps:
            _carry_out(driver, step, back)


def _guests_kept(driver: Driver, change: RegistrationChange) -> contextlib.AbstractContextManager[None]:
    return ports_kept(driver, change.network) if Action.STOP in change.steps else contextlib.nullcontext()


def _carry_out(driver: Driver, step: Step, change: RegistrationChange) -> None:
    if isinstance(step, LiveUpdate):
        step.make(driver, change.network)
    elif step == Action.DEFINE:
        driver.define(change.xml)
    elif step == Action.CREATE_TRANSIENT:
        driver.create(change.xml)
    elif step == Action.STOP:
        driver.stop(change.network)
    elif step == Action.UNDEFINE:
        driver.undefine(change.network)
    elif step == Action.START:
        driver.start(change.network)
    else:
        driver.autostart(change.network, step == Action.AUTOSTART)
