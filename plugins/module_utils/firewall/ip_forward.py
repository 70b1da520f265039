# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""IP forwarding of the host: switched on while a network needs it, put back when none does.

A host that forwards IPv6 ignores router advertisements, and forgets the default routes that it has from them, unless
accept_ra is 2 (Documentation/networking/ip-sysctl.rst; addrconf_forward_change() in net/ipv6/addrconf.c). So that is
set first, on the links that live by the kernel's handling of advertisements. Where systemd-networkd or NetworkManager
handle them, accept_ra is 0, and is left alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.command import find, run
from ..core.errors import CommandFailed
from ..core.files import File, put, read_note, read_text
from ..core.paths import Paths
from ..core.reconcile import CHANGE, Change
from ..kernel.link_changes import SetSysctl

IPV4 = "net/ipv4/ip_forward"
IPV6 = "net/ipv6/conf/all/forwarding"

_COMMENT = "# Made by virtnet.linux: networks of guests need the host to forward.\n"


@dataclass(frozen=True)
class Needs:
    """What networks need the host to forward."""

    ipv4: bool = False
    ipv6: bool = False


@dataclass(frozen=True)
class Forwarding:
    """``values`` now by key, of what could matter; ``content`` of our sysctl file.

    ``was``: values before we changed them, by key; ``advised``: links that live by router advertisements.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    content: str | None = None
    was: Mapping[str, str] = field(default_factory=dict)
    advised: Sequence[str] = ()


@dataclass(frozen=True)
class ForwardingChange(Change):
    """The files to write and the values to set, in this order."""

    files: Sequence[File] = ()
    sysctls: Sequence[SetSysctl] = field(default_factory=tuple)

    def make(self) -> None:
        """Write the record and the file, then switch; on the way back the other way round."""
        back = all(file.content is None for file in self.files)
        if not back:
            put(self.files)
        for sysctl in self.sysctls:
            sysctl.write()
        if back:
            put(self.files)


def _record(paths: Paths) -> str:
    return os.path.join(paths.state, "forwarding.json")


def _accept_ra(link: str) -> str:
    return f"net/ipv6/conf/{link}/accept_ra"


def _dotted(key: str) -> str:
    """A key as sysctl(8) prints it, unless a link's name has a dot in it."""
    return key if "." in key else key.replace("/", ".")


def _content(values: Mapping[str, str]) -> str:
    return _COMMENT + "".join(f"{_dotted(key)} = {value}\n" for key, value in values.items())


def read(paths: Paths) -> Forwarding:
    """The present state."""
    was = _read_record(paths)
    keys = [IPV4, IPV6, *was]
    values = {key: read_text(os.path.join(paths.proc_sys, key)) for key in keys}
    return Forwarding(
        values={key: value.strip() for key, value in values.items() if value is not None},
        content=read_text(paths.sysctl_file),
        was=was,
    )


def read_with_advised(paths: Paths) -> Forwarding:
    """The present state with the links that live by router advertisements, which takes longer to find out."""
    current = read(paths)
    advised = _advised(paths)
    return replace(current, advised=advised, values={**current.values, **{_accept_ra(link): "1" for link in advised}})


def _read_record(paths: Paths) -> dict[str, str]:
    try:
        return {str(key): str(value) for key, value in (read_note(_record(paths)) or {}).items()}
    except (ValueError, AttributeError):
        # Not knowing what was before, the cautious way is to leave the values alone on removal.
        return {IPV4: "1", IPV6: "1"}


def keep(paths: Paths) -> None:
    """Somebody else needs the host to forward from now on: nothing is put back when our networks do not."""
    was = _read_record(paths)
    if any(value != "1" for key, value in was.items() if key in (IPV4, IPV6)):
        put([File(_record(paths), json.dumps({**was, **{key: "1" for key in was if key in (IPV4, IPV6)}}) + "\n")])


def _advised(paths: Paths) -> list[str]:
    """Links with addresses or default routes from router advertisements, where the kernel handles those."""
    folder = os.path.join(paths.proc_sys, "net/ipv6/conf")
    try:
        links = [name for name in sorted(os.listdir(folder)) if name not in ("all", "default", "lo")]
    except FileNotFoundError:
        return []
    accepting = [name for name in links if (read_text(os.path.join(folder, name, "accept_ra")) or "").strip() == "1"]
    if not accepting or find("ip") is None:
        return []
    routes = _listed("ip", "-6", "-j", "route", "show", "default")
    addresses = _listed("ip", "-6", "-j", "address", "show")
    living = {route.get("dev") for route in routes if route.get("protocol") == "ra"}
    # The kernel gives an address of its own making a lifetime; one that was set by hand has none.
    living |= {
        link.get("ifname")
        for link in addresses
        if any(one.get("dynamic") and one.get("scope") == "global" for one in link.get("addr_info", ()))
    }
    return [name for name in accepting if name in living]


def _listed(*command: str) -> list[dict[str, Any]]:
    text = run(command).stdout.strip()
    try:
        found: list[dict[str, Any]] = json.loads(text or "[]")
        return found
    except ValueError as error:
        raise CommandFailed(f"{' '.join(command)} printed no JSON ({error}); iproute2 5.0 or newer is needed") from None


def _wanted(needs: Needs, current: Forwarding) -> dict[str, str]:
    """Keys with the values that are needed, in the order in which they must be set."""
    wanted = {}
    if needs.ipv6 and IPV6 in current.values:
        kept = [key for key in current.was if key.endswith("/accept_ra") and current.values.get(key) in ("1", "2")]
        wanted = {key: "2" for key in sorted({*map(_accept_ra, current.advised), *kept})}
        wanted[IPV6] = "1"
    if needs.ipv4:
        wanted[IPV4] = "1"
    return wanted


def plan(needs: Needs, current: Forwarding, paths: Paths) -> list[ForwardingChange]:
    """Pure. What was before is recorded before anything is switched, so that a run cut short loses nothing."""
    wanted = _wanted(needs, current)
    content = _content(wanted) if wanted else None
    # What we set and nobody needs any more goes back, forwarding before accept_ra, unless another hand set it since.
    ours = {key: "2" if key.endswith("/accept_ra") else "1" for key in current.was}
    back = {
        key: was
        for key, was in sorted(current.was.items(), key=lambda item: item[0].endswith("/accept_ra"))
        if key not in wanted and current.values.get(key) == ours[key] and was != ours[key]
    }
    switch = {key: value for key, value in wanted.items() if current.values.get(key) != value}
    was = {key: current.was.get(key, current.values.get(key, "0")) for key in wanted}
    if not switch and not back and content == current.content and was == current.was:
        return []
    if not wanted and current.content is None and not current.was:
        return []
    record = json.dumps(was) + "\n" if was else None
    # A record that loses keys is written after they are back; until then it holds them.
    early = {**current.was, **was}
    files = [File(_record(paths), json.dumps(early) + "\n" if wanted else None), File(paths.sysctl_file, content)]
    sysctls = [SetSysctl(os.path.join(paths.proc_sys, key), value) for key, value in {**switch, **back}.items()]
    change = _change(current, {**switch, **back}, wanted, files, sysctls)
    if wanted and early != was:
        return [change, _forget(current, [File(_record(paths), record)])]
    return [change]


def _forget(current: Forwarding, files: Sequence[File]) -> ForwardingChange:
    return ForwardingChange(CHANGE, "forwarding", "", "", "what is back is forgotten", files)


def _change(
    current: Forwarding,
    changed: Mapping[str, str],
    wanted: Mapping[str, str],
    files: Sequence[File],
    sysctls: Sequence[SetSysctl],
) -> ForwardingChange:
    keys = [*changed, *(key for key in (*wanted, *current.was) if key not in changed)]
    keys = sorted(set(keys), key=keys.index)
    parts = [
        f"{_dotted(key)}: {current.values.get(key, '')} -> {changed[key]}" if key in changed else f"{_dotted(key)}"
        for key in (list(changed) or keys)
    ]
    kept = "kept over reboots" if wanted else "no longer kept by us"
    name, _colon, detail = parts[0].partition(": ")
    return ForwardingChange(
        CHANGE,
        name,
        _text({key: current.values.get(key, "") for key in keys}, current.content is not None),
        _text({key: changed.get(key, current.values.get(key, "")) for key in keys}, bool(wanted)),
        ", ".join([*([detail] if detail else []), *parts[1:], kept]),
        files,
        sysctls,
    )


def _text(values: Mapping[str, str], kept: bool) -> str:
    lines = [f"{_dotted(key)} = {value}\n" for key, value in values.items()]
    return "".join([*lines, f"kept over reboots by virtnet.linux: {'true' if kept else 'false'}\n"])
