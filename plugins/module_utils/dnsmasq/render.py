# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fragment and the hosts files of a network, in dnsmasq's syntax. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from ..core.options import Interface
from ..dhcp.dhcpv6 import service_lines
from ..dhcp.dnsmasq_syntax import read_lines
from ..dhcp.netboot import boot_lines, tftp_lines
from ..dhcp.options import DNS_SERVER, ROUTER, option_line, option_lines, with_default_route
from ..dhcp.ranges import DEFAULT_LEASE_TIME
from ..dhcp.static_hosts import host_words
from .hosts_files import dhcp_file, file_option_lines, names_file
from .raw_lines import can_be_limited, defaults_first, limited_lines, prioritized
from .record_lines import host_rows, instance_lines, record_lines, reverse_zone_lines
from .reserved_names import STATIC_HOSTS, plain_rows, reserved_lines, reserved_names, static_rows
from .spec import IGNORE_CLIENT_IDS, FragmentSpec
from .system_config import serves_ipv6

# dnsmasq up to 2.91 reads the rest of a line after 1024 bytes as a line of its own (src/option.c, read_file()).
LONGEST_LINE = 1000
HEADER = "# Made by the Ansible collection virtnet.linux; what is changed here by hand is overwritten.\n"


@dataclass(frozen=True)
class RenderContext:
    """What a fragment depends on besides its network.

    - ``list_interface``: dnsmasq serves listed interfaces only. ``exclude_loopback``: and loopback is not one of them.
    - ``bind_dynamic``: dnsmasq has to bind to the addresses of interfaces.
    - ``exempt_from_ignore``: dnsmasq ignores unknown guests; those of this network are exempt.
    - ``private``: a private instance serves the network.
    - ``tftp_open_to_all``: dnsmasq serves TFTP on all interfaces already.
    - ``serves_tftp``: the TFTP folder exists. ``serves_dns``: the instance serves DNS on port 53.
    - ``full_names_only``: the instance knows guests by their full names alone.
    - ``ipv6_names``: names of guests can have AAAA records in the namespace of the network.
    - ``administrator_names``: names in the administrator's own configuration, in lower case.
    - ``version``: () if it is unknown.
    """

    list_interface: bool = False
    exclude_loopback: bool = False
    bind_dynamic: bool = False
    exempt_from_ignore: bool = False
    private: bool = False
    tftp_open_to_all: bool = False
    serves_tftp: bool = True
    serves_dns: bool = True
    full_names_only: bool = False
    ipv6_names: bool = False
    administrator_names: Collection[str] = ()
    hosts_folder: str = "/etc/virtnet/dnsmasq.hosts"
    version: tuple[int, ...] = ()

    def since(self, *version: int) -> bool:
        """Whether dnsmasq has at least this version; an unknown version counts as new."""
        return not self.version or self.version >= version


def render(spec: FragmentSpec, context: RenderContext) -> str:
    """The content of the fragment; raises InvalidOption for a line that dnsmasq would split."""
    return _text(spec, _lines(spec, context))


def hosts_files(spec: FragmentSpec, context: RenderContext) -> dict[str, str]:
    """The hosts files of the network, path to content; raises InvalidOption as render() does."""
    files = {}
    if spec.any_dhcp:
        files[dhcp_file(context.hosts_folder, spec.name)] = _text(spec, _host_rows(spec, context))
    if spec.dns and context.serves_dns:
        files[names_file(context.hosts_folder, spec.name)] = _text(spec, _name_rows(spec, context))
    return files


def gives_ipv6_names(fragment: str) -> bool:
    """Whether a fragment gives names of guests AAAA records: FragmentSpec.ipv6_names, but from the fragment."""
    ranges = [one for one in read_lines(fragment, "") if one.name == "dhcp-range" and serves_ipv6(one)]
    return any("ra-only" not in one.fields or "ra-names" in one.fields for one in ranges)


def _text(spec: FragmentSpec, lines: Iterable[tuple[str, str]]) -> str:
    rows = []
    for option, line in lines:
        if len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE:
            raise spec.error(option, f"makes a line of more than {LONGEST_LINE} bytes for dnsmasq; shorten it")
        rows.append(f"{line}\n")
    return HEADER + "".join(rows)


def _lines(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    """The lines of the fragment, each with its option."""
    tag = f"tag:{spec.interface}"
    yield from _interface_lines(spec, context)
    for bridge in spec.addresses:
        yield from _domain_lines(spec, context, bridge)
    for option, line in record_lines(spec.names):
        yield f"names.{option}", line
    yield from (("names", line) for line in file_option_lines(hosts_files(spec, context)))
    if context.private:
        yield from lines_of_instance(spec)
    if context.exempt_from_ignore and spec.any_dhcp:
        yield "interface", f"tag-if=set:known,{tag}"
    if spec.any_dhcp:
        names = reserved_names(
            spec,
            ipv6_names=context.ipv6_names or spec.ipv6_names,
            full_names_only=context.full_names_only,
            rows=spec.dns and context.serves_dns,
            administrator_names=context.administrator_names,
        )
        lines = reserved_lines(spec, names, full_names_only=context.full_names_only)
        yield from (("hosts", line) for line in lines)
    if spec.dhcp:
        yield from _dhcp_lines(spec, context, tag)
    yield from _tftp_lines(spec, context)
    if spec.ipv6 is not None:
        dns = spec.dns and context.serves_dns
        for option, line in service_lines(spec.ipv6, spec.interface, router=spec.router, dns=dns, domain=spec.domain):
            yield f"ipv6.{option}", line
    # Of two lines on the same option the last one wins: what the user says.
    yield from _raw_lines(spec, context)


def lines_of_instance(spec: FragmentSpec) -> Iterator[tuple[str, str]]:
    """The lines that hold for all whom a dnsmasq serves, each with its option."""
    yield from instance_lines(spec.names)
    if spec.ignore_client_ids:
        yield "ignore_client_ids", IGNORE_CLIENT_IDS
    if spec.ipv6 is not None and spec.ipv6.forbids_slaac:
        yield "ipv6.slaac", "enable-ra"


def _raw_lines(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    lines = defaults_first(spec.raw)
    if context.private:
        yield from ((f"raw[{i}]", prioritized(line, spec.interface)) for i, line in lines.items())
        return
    # The others are in the administrator's configuration already, or a private instance would serve the network.
    limited = {i: line for i, line in lines.items() if can_be_limited(line)}
    for i, line in zip(limited, limited_lines(list(limited.values()), spec.interface)):
        yield f"raw[{i}]", line


def _interface_lines(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    if context.list_interface:
        yield "interface", f"interface={spec.interface}"
    if context.exclude_loopback:
        # interface= adds loopback; its listed addresses are served without that.
        yield "interface", "except-interface=lo"
    if context.bind_dynamic:
        yield "interface", "bind-dynamic"


def _dhcp_lines(spec: FragmentSpec, context: RenderContext, tag: str) -> Iterator[tuple[str, str]]:
    # tag: limits the range to this interface. interface: is the old syntax for that, and since 2.63 the tag that the
    # range sets.
    start = f"dhcp-range={tag},interface:{spec.interface}"
    network = spec.bridge.network
    for i, addresses in enumerate(spec.ranges):
        limits = f"{addresses.start},{addresses.end},{network.netmask},{addresses.lease_time}"
        yield f"ranges[{i}]", f"{start},{limits}"
    if not spec.ranges:
        yield "hosts", f"{start},{network.network_address},static,{network.netmask},{DEFAULT_LEASE_TIME}"
    # Router and DNS server are always given: without them dnsmasq sends its own or the system's.
    defaults = ((ROUTER, "router", spec.router), (DNS_SERVER[4], "dns", spec.dns and context.serves_dns))
    for names, option, is_sent in defaults:
        if not any(name in spec.options for name in names):
            yield option, option_line(tag, 4, names[0], [str(spec.bridge.ip)] if is_sent else [])
    yield from option_lines(tag, 4, with_default_route(spec.options, str(spec.bridge.ip) if spec.router else ""))
    yield from (("boot", line) for line in boot_lines(spec.interface, spec.boot))


def _tftp_lines(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    if spec.tftp_root and context.serves_tftp:
        for line in tftp_lines(spec.interface, spec.tftp_root, open_to_all=context.tftp_open_to_all):
            yield "tftp_root", line


def _host_rows(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    # Since 2.81 a row can be limited to a tag; before, it is in effect on every network.
    tags = [f"tag:{spec.interface}"] if context.since(2, 81) else []
    for option, host in spec.static_hosts:
        yield option, host_words(tags, host, by_mac=option.startswith("hosts"))


def _name_rows(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    yield from ((f"names.{option}", row) for option, row in host_rows(spec.names))
    more = list(static_rows(spec, context.administrator_names)) if spec.any_dhcp else []
    more += plain_rows(spec, is_shared=context.full_names_only) if context.private else []
    if more:
        yield more[0][0], STATIC_HOSTS
        yield from more


def _domain_lines(spec: FragmentSpec, context: RenderContext, bridge: Interface) -> Iterator[tuple[str, str]]:
    network = bridge.network
    local_domain, local_ptr = bool(spec.domain) and spec.local_only, spec.names.local_ptr
    # Before 2.90, dnsmasq refuses reverse zones whose length is no multiple of 8, or (2.88, 2.89) gets them wrong.
    one_line = local_domain and local_ptr is not False and (network.prefixlen % 8 == 0 or context.since(2, 90))
    if spec.domain:
        yield "domain", f"domain={spec.domain},{network}{',local' if one_line else ''}"
    if local_domain and not one_line:
        yield "domain", f"local=/{spec.domain}/"
    if local_ptr and not one_line:
        yield from (("names.local_ptr", line) for line in reverse_zone_lines(bridge))
