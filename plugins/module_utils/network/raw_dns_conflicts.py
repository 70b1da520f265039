# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines about DNS that contradict another option of their network. Pure.

An address of a file of hosts wins over ``address=``, an alias over any address (src/rfc1035.c, answer_request()). Of
what stands for one domain, the strongest alone is in force (src/domain-match.c, lookup_domain() and filter_servers()).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.options import Address
from ..dhcp.dnsmasq_syntax import Setting, address_in, read_lines
from ..dnsmasq.record_lines import aliases_in
from ..dnsmasq.records import alias_loop

if TYPE_CHECKING:
    from .model import Network

_KEEP_ONE = "keep one of them"
# By digest types of DS records (RFC 3658, RFC 4509, RFC 6605), in bytes.
_DIGEST_SIZES = {"1": 20, "2": 32, "4": 48}
_ALL, _EVERY_ADDRESS = "#", "#"


def dns_conflicts(network: Network, setting: Setting) -> Iterator[str]:
    """What contradicts a line, each with the remedy."""
    check = _CHECKS.get(setting.name)
    if check is not None:
        yield from check(network, setting)


def _domain(network: Network, setting: Setting) -> Iterator[str]:
    """Ours has the subnet, and so wins over one without."""
    if network.dns.domain and len(setting.fields) == 1 and setting.fields[0] != network.dns.domain:
        remedy = "leave it out" if setting.fields[0] == _ALL else f"use dns.domain: {setting.fields[0]}"
        yield f"loses to the network's domain {network.dns.domain}; {remedy}"


def _server(network: Network, setting: Setting) -> Iterator[str]:
    domains, target = _domains(setting)
    names = network.dns.names
    for domain in domains:
        yield from _forwarder_of(network, domain, beside_addresses=target in ("", _ALL))
        for i, wildcard in enumerate(names.wildcards):
            if wildcard.name == domain and target:
                yield f"loses to dns.wildcards[{i}], which answers for {domain}; {_KEEP_ONE}"
        if target and network.dns.local_only and domain == network.dns.domain:
            yield f"is about {domain}, which is kept here by dns.local_only; set that to false"


def _forwarder_of(network: Network, domain: str, *, beside_addresses: bool = True) -> Iterator[str]:
    """The forwarders for a domain; several servers for one domain are possible, unless ``beside_addresses``."""
    for i, forwarder in enumerate(network.dns.names.forwarders):
        if forwarder.domain == domain and (beside_addresses or forwarder.address is None):
            yield f"is about {domain}, which dns.forwarders[{i}] has too; {_KEEP_ONE}"


def _address(network: Network, setting: Setting) -> Iterator[str]:
    domains, target = _domains(setting)
    names = network.dns.names
    for domain in domains:
        yield from _forwarder_of(network, domain)
        for i, wildcard in enumerate(names.wildcards):
            if wildcard.name == domain and target == _EVERY_ADDRESS:
                yield f"loses to dns.wildcards[{i}], which has an address for {domain}; {_KEEP_ONE}"
        for option, addresses in _given_addresses(network, domain):
            ip = address_in(target)
            same_family = [one for one in addresses if ip is None or one.version == ip.version]
            if target and same_family and ip not in addresses:
                yield (
                    f"loses to {option}, the name's own address; leave one of them out, or use dns.wildcards for the "
                    "names below it"
                )
        yield from _alias_of(network, domain)


def _cname(network: Network, setting: Setting) -> Iterator[str]:
    for alias in aliases_in(setting):
        for option, _addresses in _given_addresses(network, alias):
            yield f"would hide {option}, which has the name {alias} too; {_KEEP_ONE}"
        for i, given in enumerate(network.dns.names.cname):
            if given.name.lower() == alias:
                yield f"is about {alias}, which dns.cname[{i}] has too; {_KEEP_ONE}"
        loop = alias_loop(alias, _aliases(network))
        if loop:
            yield loop


def _aliases(network: Network) -> dict[str, str]:
    """All aliases of a network with their targets, those of lines too."""
    lines = (setting for line in network.dnsmasq_options for setting in read_lines(line, ""))
    targets = {alias: target for setting in lines for alias, target in aliases_in(setting).items()}
    return {**targets, **{alias.name.lower(): alias.target.lower() for alias in network.dns.names.cname}}


def _host_record(network: Network, setting: Setting) -> Iterator[str]:
    """Several addresses of a name are all answered, unless one is in the subnet of who asks (localise-queries)."""
    own = [ip for field in setting.fields if (ip := address_in(field)) is not None and ip.version == 4]
    names = [field.lower() for field in setting.fields if address_in(field) is None and not field.isdecimal()]
    for name in names:
        yield from _alias_of(network, name)
        for option, addresses in _given_addresses(network, name):
            others = [ip for ip in addresses if ip.version == 4]
            if network.subnet and len({ip in network.subnet for ip in (*own, *others)}) > 1 and own and others:
                yield (
                    f"is about {name}, which {option} has too, and of these addresses guests get those in their subnet "
                    "alone; give all of them in dns.hosts"
                )


def _alias_of(network: Network, name: str) -> Iterator[str]:
    for i, alias in enumerate(network.dns.names.cname):
        if alias.name.lower() == name:
            yield f"loses to dns.cname[{i}], which has the name {name} too; {_KEEP_ONE}"


def _domain_needed(network: Network, _setting: Setting) -> Iterator[str]:
    if network.dns.names.forward_plain_names:
        yield "contradicts dns.forward_plain_names: true; use false there"


def _local_ttl(network: Network, _setting: Setting) -> Iterator[str]:
    if network.dns.names.ttl is not None:
        yield f"is the same as dns.ttl; {_KEEP_ONE}"


def _trust_anchor(_network: Network, setting: Setting) -> Iterator[str]:
    """dnsmasq takes a digest of any length, and then trusts no answer (RFC 4509 section 2.2, RFC 6605 section 2)."""
    fields = setting.fields
    size = _DIGEST_SIZES.get(fields[-2]) if len(fields) > 4 else None
    digits = re.sub(r"[\s:]", "", fields[-1])
    if size is not None and len(digits) != 2 * size:
        yield f"has a digest of {len(digits) // 2} bytes, and type {fields[-2]} has {size}; write the whole digest"


def _resolv_file(network: Network, _setting: Setting) -> Iterator[str]:
    for i, forwarder in enumerate(network.dns.names.forwarders):
        if not forwarder.domain:
            yield f"is not read beside dns.forwarders[{i}], which is for all domains; {_KEEP_ONE}"


_CHECKS: Mapping[str, Callable[[Network, Setting], Iterator[str]]] = {
    **{"domain": _domain, "server": _server, "local": _server, "address": _address},
    **{"cname": _cname, "host-record": _host_record},
    **{
        "domain-needed": _domain_needed,
        "local-ttl": _local_ttl,
        "trust-anchor": _trust_anchor,
        "resolv-file": _resolv_file,
    },
}


def _domains(setting: Setting) -> tuple[Sequence[str], str]:
    """The domains of ``/a/b/target`` in lower case, none for everything; the target, '' for none."""
    value = setting.value or ""
    if not value.startswith("/"):
        return [], value
    *domains, target = value[1:].split("/")
    return [domain.lower() for domain in domains], target


def _given_addresses(network: Network, name: str) -> Iterator[tuple[str, list[Address]]]:
    """The options that give a name addresses. Guests know names in the network's domain without it too."""
    domain = (network.dns.domain or "").lower()
    label = name.removesuffix(f".{domain}") if domain else name
    for i, host in enumerate(network.dns.names.hosts):
        if any(given.lower() in (name, f"{label}.{domain}") for given in host.names):
            yield f"dns.hosts[{i}]", [host.ip]
    served = (("ipv4", network.ipv4.hosts if network.ipv4.dhcp else ()), ("ipv6", network.ipv6.dhcp.hosts))
    for family, hosts in served:
        for i, guest in enumerate(hosts):
            if guest.ip is not None and guest.label.lower() == label and "." not in label:
                yield f"{family}.dhcp.hosts[{i}]", [guest.ip]
