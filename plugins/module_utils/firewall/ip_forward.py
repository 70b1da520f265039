# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""IP forwarding of the host: enabled while a network needs it, restored when no network does.

A host that forwards IPv6 ignores router advertisements, and drops the default routes that it has from them, unless
accept_ra is 2 (Documentation/networking/ip-sysctl.rst; addrconf_forward_change() in net/ipv6/addrconf.c). So accept_ra
is set first, on the links that the kernel configures by advertisements. Where systemd-networkd or NetworkManager
process advertisements, accept_ra is 0 and is not changed.

With ip_forward the kernel sets accept_redirects of all links: to 1 when forwarding is disabled (inet_forward_change()
in net/ipv4/devinet.c). A host that refused redirects before refuses them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.command import find, ip_json
from ..core.files import File, list_folder, read_text, write_files
from ..core.notes import read_object
from ..core.paths import Paths
from ..core.reconcile import CHANGE, Change
from ..kernel.link_changes import SetSysctl

IPV4 = "net/ipv4/ip_forward"
IPV6 = "net/ipv6/conf/all/forwarding"
REDIRECTS = "net/ipv4/conf/all/accept_redirects"

_COMMENT = "# Made by virtnet.linux: networks of guests need the host to forward.\n"


@dataclass(frozen=True)
class Forwarding:
    """The current state; ``values``: of the sysctls that may change, by key. ``content``: of our sysctl file.

    ``original``: the values before we changed them, by key. ``ra_links``: links configured by router advertisements.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    content: str | None = None
    original: Mapping[str, str] = field(default_factory=dict)
    ra_links: Sequence[str] = ()


@dataclass(frozen=True)
class ForwardingChange(Change):
    """Files to write, then sysctls to set; in reverse order where the files are removed."""

    files: Sequence[File] = ()
    sysctls: Sequence[SetSysctl] = ()

    def make(self) -> None:
        """Make the change: the original values are on disk as long as a sysctl may differ from them."""
        removes_files = all(file.content is None for file in self.files)
        if not removes_files:
            write_files(self.files)
        for sysctl in self.sysctls:
            sysctl.apply()
        if removes_files:
            write_files(self.files)


def _record_file(paths: Paths) -> str:
    return os.path.join(paths.state, "forwarding.json")


def _accept_ra(link: str) -> str:
    return f"net/ipv6/conf/{link}/accept_ra"


def _is_accept_ra(key: str) -> bool:
    return key.endswith("/accept_ra")


def _dotted(key: str) -> str:
    """A key as sysctl(8) prints it; a key with a dot in the name of a link keeps its slashes."""
    return key if "." in key else key.replace("/", ".")


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{_dotted(key)} = {value}\n" for key, value in values.items())


def read(paths: Paths) -> Forwarding:
    """The current state, without ra_links."""
    original = _read_record(paths)
    keys = list(dict.fromkeys([IPV4, IPV6, REDIRECTS, *original]))
    values = {key: read_text(os.path.join(paths.proc_sys, key)) for key in keys}
    return Forwarding(
        values={key: value.strip() for key, value in values.items() if value is not None},
        content=read_text(paths.sysctl_file),
        original=original,
    )


def read_with_ra_links(paths: Paths) -> Forwarding:
    """The current state with ra_links, which take longer to find."""
    current = read(paths)
    links = _ra_links(paths)
    return replace(current, ra_links=links, values={**current.values, **{_accept_ra(link): "1" for link in links}})


def _read_record(paths: Paths) -> dict[str, str]:
    try:
        return {str(key): str(value) for key, value in read_object(_record_file(paths)).items()}
    except ValueError:
        # The original values are lost; with these, forwarding stays as it is when the networks are removed.
        return {IPV4: "1", IPV6: "1"}


def keep(paths: Paths) -> None:
    """Let forwarding stay enabled when no network of ours needs it any more: something else does from now on."""
    original = _read_record(paths)
    switches = {key: value for key, value in original.items() if key in (IPV4, IPV6)}
    if any(value != "1" for value in switches.values()):
        write_files([File(_record_file(paths), json.dumps({**original, **dict.fromkeys(switches, "1")}) + "\n")])


def _ra_links(paths: Paths) -> list[str]:
    """Links whose addresses or default routes the kernel made from router advertisements."""
    folder = os.path.join(paths.proc_sys, "net/ipv6/conf")
    links = [name for name in list_folder(folder) if name not in ("all", "default", "lo")]
    accepting = [name for name in links if (read_text(os.path.join(folder, name, "accept_ra")) or "").strip() == "1"]
    if not accepting or find("ip") is None:
        return []
    routes = ip_json(["-6", "-j", "route", "show", "default"])
    addresses = ip_json(["-6", "-j", "address", "show"])
    configured = {route.get("dev") for route in routes if route.get("protocol") == "ra"}
    # Addresses from advertisements have a lifetime (dynamic); those that were added by hand have none.
    configured |= {
        link.get("ifname")
        for link in addresses
        if any(address.get("dynamic") and address.get("scope") == "global" for address in link.get("addr_info", ()))
    }
    return [name for name in accepting if name in configured]


def _desired_values(current: Forwarding, *, ipv4: bool, ipv6: bool) -> dict[str, str]:
    """The needed values by key, in the order in which they must be set."""
    desired = {}
    if ipv6 and IPV6 in current.values:
        kept = [key for key in current.original if _is_accept_ra(key) and current.values.get(key) in ("1", "2")]
        desired = {key: "2" for key in sorted({*map(_accept_ra, current.ra_links), *kept})}
        desired[IPV6] = "1"
    if ipv4:
        desired[IPV4] = "1"
    return desired


def _values_to_restore(desired: Mapping[str, str], current: Forwarding) -> dict[str, str]:
    """The original values of what is no longer needed, forwarding before accept_ra.

    A value that differs from ours was set by somebody else, and stays.
    """
    ours = {key: "2" if _is_accept_ra(key) else "1" for key in current.original}
    return {
        key: original
        for key, original in sorted(current.original.items(), key=lambda item: _is_accept_ra(item[0]))
        if key not in desired and key != REDIRECTS and current.values.get(key) == ours[key] and original != ours[key]
    }


def _redirects_record(current: Forwarding) -> dict[str, str]:
    """What the record says of redirects while IPv4 is forwarded: that the host refused them before."""
    first = IPV4 not in current.original and current.values.get(IPV4) != "1"
    refused = current.values.get(REDIRECTS) == "0" if first else REDIRECTS in current.original
    return {REDIRECTS: "0"} if refused else {}


def _redirects_to_restore(desired: Mapping[str, str], changed: Mapping[str, str], current: Forwarding) -> list[str]:
    """The value of accept_redirects to set after ip_forward, also after an interruption between the two."""
    if REDIRECTS not in current.original or IPV4 in desired or current.original.get(IPV4) == "1":
        return []
    disables = IPV4 in changed and current.values.get(REDIRECTS) == "0"
    return ["0"] if disables or current.values.get(IPV4) == "0" else []


def plan(current: Forwarding, paths: Paths, *, ipv4: bool, ipv6: bool) -> list[ForwardingChange]:
    """The changes for a host whose networks need these IP versions. Pure.

    The original values are recorded before any value changes, so that an interrupted run loses none.
    """
    desired = _desired_values(current, ipv4=ipv4, ipv6=ipv6)
    content = _COMMENT + _lines(desired) if desired else None
    changed = {key: value for key, value in desired.items() if current.values.get(key) != value}
    changed.update(_values_to_restore(desired, current))
    original = {key: current.original.get(key, current.values.get(key, "0")) for key in desired}
    if IPV4 in desired:
        original.update(_redirects_record(current))
    if not changed and content == current.content and original == current.original:
        return []
    # The record keeps the values to restore until they are set; a change of its own removes them.
    record = {**current.original, **original}
    record_file = _record_file(paths)
    files = [File(record_file, json.dumps(record) + "\n" if desired else None), File(paths.sysctl_file, content)]
    sysctls = [SetSysctl(os.path.join(paths.proc_sys, key), value) for key, value in changed.items()]
    redirects = _redirects_to_restore(desired, changed, current)
    sysctls += [SetSysctl(os.path.join(paths.proc_sys, REDIRECTS), value) for value in redirects]
    changes = [_change(current, changed, desired, files=files, sysctls=sysctls)]
    if desired and record != original:
        shorter, detail = File(record_file, json.dumps(original) + "\n"), "record of restored values removed"
        changes.append(ForwardingChange(action=CHANGE, name="forwarding", detail=detail, files=[shorter]))
    return changes


def _change(
    current: Forwarding,
    changed: Mapping[str, str],
    desired: Mapping[str, str],
    *,
    files: Sequence[File],
    sysctls: Sequence[SetSysctl],
) -> ForwardingChange:
    # A file of ours without a record concerns at least this key.
    keys = list(dict.fromkeys([*changed, *desired, *current.original])) or [IPV4]
    parts = [
        f"{_dotted(key)}: {current.values.get(key, '')} -> {changed[key]}" if key in changed else _dotted(key)
        for key in (list(changed) or keys)
    ]
    persistence = "kept over reboots" if desired else "no longer kept over reboots"
    name, _colon, detail = parts[0].partition(": ")
    before = {key: current.values.get(key, "") for key in keys}
    return ForwardingChange(
        action=CHANGE,
        name=name,
        before=_text(before, current.content is not None),
        after=_text({**before, **changed}, bool(desired)),
        detail=", ".join([*([detail] if detail else []), *parts[1:], persistence]),
        files=files,
        sysctls=sysctls,
    )


def _text(values: Mapping[str, str], kept: bool) -> str:
    return f"{_lines(values)}kept over reboots by virtnet.linux: {'true' if kept else 'false'}\n"
