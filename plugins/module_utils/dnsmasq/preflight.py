# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of a plan before anything is changed: would dnsmasq start, and does it accept its configuration?"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from ..core.command import run
from ..core.errors import MissingTool, VirtnetError
from ..core.families import DNSMASQ_PROGRAM, package_of
from ..dhcp.dnsmasq_syntax import Setting, read_lines
from . import probe
from .changes import FragmentsPlan
from .config_check import check_lines, check_start, check_syntax
from .hosts_files import as_config_lines, files_of_networks
from .lease_file import lease_file_fault
from .private_files import SYSTEM_DNSMASQ, Layout, unit_name
from .spec import FragmentSpec
from .state import State, is_forward
from .system_config import BIND_INTERFACES, WILDCARD, Line, fragment_network, lines_of
from .system_service import NoUsableDnsmasq
from .unit_limits import refuse_beyond_unit


def refuse_missing_program(plan: FragmentsPlan) -> None:
    """Raise MissingTool if the dnsmasq that is to serve a network is not installed."""
    if _is_served_by_system(plan) and not plan.current.service.installed:
        raise MissingTool("the system's dnsmasq (dnsmasq.service)", package_of("dnsmasq"))
    if plan.target.members and not plan.current.program:
        raise MissingTool("the program dnsmasq", package_of(DNSMASQ_PROGRAM))


def refuse_missing_interface(plan: FragmentsPlan) -> None:
    """Raise InvalidOption if there is no interface on which the system's dnsmasq has to listen."""
    if _is_served_by_system(plan):
        _refuse_missing_interface(plan.current, plan.target.served_by_system)


def refuse_occupied_ports(plan: FragmentsPlan) -> None:
    """Raise NoUsableDnsmasq if another program holds a port that the system's dnsmasq would need."""
    if plan.current.service.installed and _is_served_by_system(plan):
        _refuse_occupied_port(plan.current, plan.target.served_by_system)


def _is_served_by_system(plan: FragmentsPlan) -> bool:
    """Whether a fragment changes by which the system's dnsmasq serves a network."""
    return any(content and not is_forward(content) for content in plan.fragments.values())


def refuse_unusable_lease_file(path: str, *, dhcp: bool) -> None:
    """Raise VirtnetError if the system's dnsmasq would not start again after a restart: that is everyone's DNS.

    ``dhcp``: whether it serves DHCP then, and so needs the file.
    """
    fault = lease_file_fault(path)
    folder = os.path.dirname(path)
    if dhcp and not fault and not os.path.isdir(folder):
        fault = f"{path} needs the folder {folder}, which does not exist; make it"
    if fault:
        raise VirtnetError(f"the system's dnsmasq would not start again: its lease file {fault}")


def refuse_unwatchable_upstream_files(settings: Sequence[Setting], root: str, *, default: str, owner: str = "") -> None:
    """Raise VirtnetError if a dnsmasq with these settings would not start: it watches the files of upstream servers.

    It watches the folder of the file to which the links of a resolv-file lead, with no-poll too, and does not start
    where there is none (src/inotify.c, inotify_dnsmasq_init()). The file itself may be missing. ``default``: the file
    without a setting, '' for none. ``owner``: the network and the option that name the files.
    """
    values = {setting.name: setting.value or "" for setting in settings}
    if "no-resolv" in values or values.get("port") == "0":
        return
    given = [setting.value or "" for setting in settings if setting.name == "resolv-file"] or [default]
    fault = next((owner + fault for path in given if path and (fault := _unwatchable(path, root))), "")
    if fault:
        raise VirtnetError(f"dnsmasq would not start: {fault}")


def default_upstream_file(root: str) -> str:
    """The file of upstream servers of the system's dnsmasq without a setting; '' if Debian's helper names another.

    /usr/share/dnsmasq/init-system-common names that of resolvconf, in a folder that it makes.
    """
    return "" if os.access(os.path.join(root, "sbin/resolvconf"), os.X_OK) else "/etc/resolv.conf"


def _unwatchable(path: str, root: str) -> str:
    """Why dnsmasq cannot watch a file, with the remedy; '' for nothing."""
    real = os.path.realpath(os.path.join(root, path.lstrip("/")))
    if os.path.islink(real):
        return f"{path} is a link that leads to itself; make it a file, or a link to one"
    folder = os.path.dirname(real)
    if os.path.isdir(folder):
        return ""
    return (
        f"{path} leads to {real}, and there is no folder {folder}; make {path} a file, or a link to one that "
        "exists, or start the service that makes it"
    )


def _refuse_missing_interface(current: State, served: Collection[FragmentSpec]) -> None:
    """With bind-interfaces, dnsmasq does not start if a listed interface does not exist."""
    config = current.config
    if config.binding != BIND_INTERFACES or not config.limits_interfaces:
        return
    for spec in served:
        if not probe.interface_has_address(spec.interface, spec.bridge.ip):
            raise spec.error(
                "interface",
                f"{spec.interface!r} with {spec.bridge.ip} is not there, and with "
                f"{config.named(BIND_INTERFACES)[0]} dnsmasq would not start without it; "
                "make the bridge first, or write bind-dynamic instead",
            )


def _refuse_occupied_port(current: State, served: Collection[FragmentSpec]) -> None:
    """A wildcard socket allows no second one. A restart would show that too, but interrupts the DNS of everyone."""
    if current.config.binding != WILDCARD:
        _refuse_unshared_port(current, served)
        return
    services = (
        ("DHCP", probe.DHCP_PORT, any(spec.dhcp for spec in served)),
        ("DHCPv6", probe.DHCP6_PORT, any(spec.dhcp6 for spec in served)),
        ("TFTP", probe.TFTP_PORT, any(spec.tftp_root for spec in served)),
    )
    for protocol, port, needed in services:
        holder = probe.port_holder(port, current.service.pid, *current.own_pids) if needed else ""
        if holder:
            raise NoUsableDnsmasq(
                f"no usable system dnsmasq: it needs UDP port {port} for {protocol}, and {holder} holds it; "
                f"stop that, or write bind-dynamic into {current.config.main_file} if it is another dnsmasq"
            )


def _refuse_unshared_port(current: State, served: Collection[FragmentSpec]) -> None:
    """Other DHCP servers may share the port, if they asked for that too."""
    for port, needed in (
        (probe.DHCP_PORT, any(spec.dhcp for spec in served)),
        (probe.DHCP6_PORT, any(spec.dhcp6 for spec in served)),
    ):
        holder = current.exclusive_dhcp_holder(port) if needed else ""
        if holder:
            raise NoUsableDnsmasq(f"no usable system dnsmasq: {holder}")


def check_configurations(plan: FragmentsPlan, layout: Layout, reloading: Collection[str]) -> None:
    """Have dnsmasq test each configuration that changes; raises VirtnetError.

    ``reloading``: the instances that will read hosts files again without a restart.
    """
    current, target = plan.current, plan.target
    # A dnsmasq that does not run, and gets nothing new, starts or not whatever we remove.
    restarts = any(plan.fragments.values()) or (plan.fragments and current.service.running)
    if current.service.installed and (restarts or SYSTEM_DNSMASQ in reloading):
        after = {**current.fragments, **plan.fragments}
        fragments = {name: text for name, text in after.items() if text is not None}
        hosts_files = files_of_networks(target.private_files, map(fragment_network, fragments))
        check_syntax(current.config, fragments, hosts_files)
    program = current.program or "dnsmasq"
    with_raw = {placement.spec.name for placement in target.placements if placement.spec.raw}
    compile_options = ""
    for name in sorted(set(target.members) & {*plan.changed_instances, *reloading}):
        path = layout.instance(name)
        own = [layout.fragment(member.network) for member in target.members[name]]
        included = {f"conf-file={fragment}" for fragment in own}
        lines = [line for line in lines_of(path, target.private_files[path]) if line.text not in included]
        for member, fragment in zip(target.members[name], own):
            lines += lines_of(fragment, target.private_files.get(fragment, ""), member.network)
            for hosts_path, text in files_of_networks(target.private_files, [member.network]).items():
                lines += as_config_lines(hosts_path, text)
        check_lines((program,), lines)
        if with_raw & {member.network for member in target.members[name]}:
            units = (layout.template, os.path.join(layout.paths.units, unit_name(name)))
            has_drop_in = any(os.path.isdir(f"{unit}.d") for unit in units)
            compile_options = compile_options or run([program, "--version"]).stdout
            refuse_beyond_unit(lines, compile_options, has_drop_in=has_drop_in)
            check_start(program, lines, name)
        settings = [setting for line in lines for setting in read_lines(line.text, line.file)]
        raw = next((line.network for line in lines if line.network and _sets_upstream_file(line)), "")
        owner = f"network {raw!r}: dnsmasq.options: " if raw else ""
        refuse_unwatchable_upstream_files(settings, layout.paths.root, default="", owner=owner)


def _sets_upstream_file(line: Line) -> bool:
    return any(setting.name == "resolv-file" for setting in read_lines(line.text, line.file))
