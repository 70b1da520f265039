# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one network wants of dnsmasq as dnsmasq reads it: its fragment, and what is read again on a signal. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..core.options import Interface
from ..dhcp import ranges as dhcp
from ..dhcp.dhcpv6 import Offer6, service_lines
from ..dhcp.netboot import boot_line, tftp_lines
from ..dhcp.options import DNS_SERVER, ROUTER, option_line, option_lines
from ..dhcp.static_hosts import Host, host_words
from .hosts_files import dhcp_file, file_option_lines, names_file
from .record_lines import host_rows, instance_lines, record_lines, reverse_zone_lines
from .reserved_names import STATIC_HOSTS, reserved_lines, static_rows
from .spec import FragmentSpec

# dnsmasq up to 2.91 reads what comes after 1024 bytes as a line of its own (facts of src/option.c, read_file()).
LONGEST_LINE = 1000
HEADER = "# Made by the Ansible collection virtnet.linux; what is changed here by hand is overwritten.\n"


@dataclass(frozen=True)
class RenderContext:
    """What the configuration around a fragment asks it to say.

    ``full_names_only``: plain names of guests are no names for this dnsmasq. ``ipv6_names``: names of guests can have
    AAAA records in the namespace that the network is in. ``others``: names that the administrator's own configuration
    has, in lower case.
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
        """Whether dnsmasq is at least this new; one that is not known is taken for a new one."""
        return not self.version or self.version >= version


def render(spec: FragmentSpec, context: RenderContext) -> str:
    """The fragment's content; raises InvalidOption for a line that dnsmasq would cut."""
    return _text(spec, _lines(spec, context))


def hosts_files(spec: FragmentSpec, context: RenderContext) -> dict[str, str]:
    """What the fragment has dnsmasq read again on a signal, path to content; raises InvalidOption as render()."""
    found = {}
    if spec.dhcp or spec.dhcp6:
        found[dhcp_file(context.hosts_folder, spec.name)] = _text(spec, _host_rows(spec, context))
    if spec.dns and context.serves_dns:
        found[names_file(context.hosts_folder, spec.name)] = _text(spec, _name_rows(spec, context))
    return found


def gives_ipv6_names(fragment: str) -> bool:
    """Whether names of guests can have AAAA records because of a fragment, as FragmentSpec.ipv6_names says it."""
    ranges = [line for line in fragment.splitlines() if line.startswith("dhcp-range=") and ",constructor:" in line]
    return any(",ra-only," not in line or ",ra-names," in line for line in ranges)


def _text(spec: FragmentSpec, lines: Iterable[tuple[str, str]]) -> str:
    found = []
    for option, line in lines:
        if len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE:
            raise spec.error(option, f"makes a line of more than {LONGEST_LINE} bytes for dnsmasq; shorten it")
        found.append(f"{line}\n")
    return HEADER + "".join(found)


def _lines(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    """Each line with the option that it comes from."""
    tag = f"tag:{spec.interface}"
    yield from _interface_lines(spec, context)
    for bridge in spec.addresses:
        yield from _domain_lines(spec, context, bridge)
    for option, line in record_lines(spec.names):
        yield f"names.{option}", line
    yield from (("names", line) for line in file_option_lines(hosts_files(spec, context)))
    if context.private:
        yield from instance_lines(spec.names, spec.raw)
    if context.exempt_from_ignore and (spec.dhcp or spec.dhcp6):
        yield "interface", f"tag-if=set:known,{tag}"
    if spec.dhcp or spec.dhcp6:
        ipv6_names = context.ipv6_names or spec.ipv6_names
        lines = reserved_lines(
            spec,
            ipv6_names=ipv6_names,
            full_names_only=context.full_names_only,
            rows=spec.dns and context.serves_dns,
            others=context.administrator_names,
        )
        yield from (("hosts", line) for line in lines)
    if spec.dhcp:
        yield from _dhcp_lines(spec, context, tag)
    if spec.ipv6 is not None:
        offer = Offer6(spec.interface, spec.router, spec.dns and context.serves_dns, spec.domain)
        for option, line in service_lines(spec.ipv6, offer):
            yield f"ipv6.{option}", line


def _interface_lines(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    if context.list_interface:
        yield "interface", f"interface={spec.interface}"
    if context.exclude_loopback:
        # interface= brings loopback along; an address of it that is listed is served all the same.
        yield "interface", "except-interface=lo"
    if context.bind_dynamic:
        yield "interface", "bind-dynamic"


def _dhcp_lines(spec: FragmentSpec, context: RenderContext, tag: str) -> Iterator[tuple[str, str]]:
    yield from _range_lines(spec, tag)
    yield from _option_lines(spec, context, tag)
    if spec.boot is not None:
        yield "boot", boot_line(tag, spec.boot)
    if spec.tftp_root and context.serves_tftp:
        for line in tftp_lines(spec.interface, spec.tftp_root, open_to_all=context.tftp_open_to_all):
            yield "tftp_root", line


def _host_rows(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    # Filtering by tag came with 2.81; before, the row holds wherever the guest shows up.
    tags = [f"tag:{spec.interface}"] if context.since(2, 81) else []
    families: list[tuple[str, Sequence[Host]]] = [("hosts", spec.hosts)]
    families += [("ipv6.hosts", spec.ipv6.hosts)] if spec.ipv6 is not None else []
    for option, hosts in families:
        for i, host in enumerate(hosts):
            yield f"{option}[{i}]", host_words(tags, host)


def _name_rows(spec: FragmentSpec, context: RenderContext) -> Iterator[tuple[str, str]]:
    yield from ((f"names.{option}", row) for option, row in host_rows(spec.names))
    static = list(static_rows(spec, context.administrator_names)) if spec.dhcp or spec.dhcp6 else []
    if static:
        yield static[0][0], STATIC_HOSTS
        yield from static


def _domain_lines(spec: FragmentSpec, context: RenderContext, bridge: Interface) -> Iterator[tuple[str, str]]:
    network = bridge.network
    names_stay, ptr = bool(spec.domain) and spec.local_only, spec.names.local_ptr
    # Older ones refuse, or in 2.88 and 2.89 get wrong, a reverse zone whose length is no multiple of 8.
    both_in_one = names_stay and ptr is not False and (network.prefixlen % 8 == 0 or context.since(2, 90))
    if spec.domain:
        yield "domain", f"domain={spec.domain},{network}{',local' if both_in_one else ''}"
    if names_stay and not both_in_one:
        yield "domain", f"local=/{spec.domain}/"
    if ptr and not both_in_one:
        yield from (("names.local_ptr", line) for line in reverse_zone_lines(bridge))


def _range_lines(spec: FragmentSpec, tag: str) -> Iterator[tuple[str, str]]:
    # tag: makes it hold for this interface alone; interface: is the older spelling of the same wish, and since
    # 2.63 the tag that the range sets.
    start = f"dhcp-range={tag},interface:{spec.interface}"
    network = spec.bridge.network
    for i, one in enumerate(spec.ranges):
        yield f"ranges[{i}]", f"{start},{one.start},{one.end},{network.netmask},{one.lease_time}"
    if not spec.ranges:
        yield "hosts", f"{start},{network.network_address},static,{network.netmask},{dhcp.DEFAULT_LEASE_TIME}"


def _option_lines(spec: FragmentSpec, context: RenderContext, tag: str) -> Iterator[tuple[str, str]]:
    """The DHCP options; router and DNS server always, for without them dnsmasq would send its own or the system's."""
    offered = ((ROUTER, "router", spec.router), (DNS_SERVER[4], "dns", spec.dns and context.serves_dns))
    for names, option, wanted in offered:
        if not any(name in spec.options for name in names):
            yield option, option_line(tag, 4, names[0], [str(spec.bridge.ip)] if wanted else [])
    yield from option_lines(tag, 4, spec.options)
