# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of dnsmasq about names, as the option ``dns`` (dnsmasq.8). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..core.options import Interface
from ..dhcp.dnsmasq_syntax import Setting, address_in
from ..dnsmasq.system_config import Config
from .dhcp_settings import shown


def dns_options(config: Config, addresses: Sequence[Interface], *, shared: bool) -> tuple[dict[str, Any], list[str]]:
    """The option ``dns`` of one network, and notes. ``shared``: this dnsmasq serves other networks too."""
    dns: dict[str, Any] = {}
    notes: list[str] = []
    domain = _domain(config, addresses)
    # dnsmasq has no domain of its own accord; a network of ours would get one.
    dns["domain"] = domain
    if domain and domain not in _local_domains(config):
        dns["local_only"] = False
    ttl = next((setting.value for setting in config.named("local-ttl", "T")), None) or ""
    if ttl.isdecimal() and int(ttl):
        dns["ttl"] = int(ttl)
    hosts = [record for setting in config.named("host-record") for record in _host_records(setting)]
    dns["hosts"] = [one for one in hosts if not shared or _is_inside(one["ip"], addresses)]
    if shared:
        if config.named("server", "address", "cname", "srv-host", "txt-record"):
            notes.append("its dnsmasq serves other networks too; forwarders, aliases and other records are left out")
    else:
        dns["forwarders"] = list(_forwarders(config, notes))
        dns["wildcards"] = list(_wildcards(config, domain, notes))
        dns["cname"] = [
            {"name": name, "target": setting.fields[-1]}
            for setting in config.named("cname")
            if len(setting.fields) == 2
            for name in setting.fields[:-1]
        ]
        dns["srv"] = [record for setting in config.named("srv-host") for record in _srv(setting, notes)]
        dns["txt"] = [
            {"name": setting.fields[0], "value": list(setting.fields[1:])}
            for setting in config.named("txt-record")
            if len(setting.fields) > 1
        ]
    return {name: value for name, value in dns.items() if value != []}, notes


def _is_inside(text: str, addresses: Sequence[Interface]) -> bool:
    ip = address_in(text)
    return ip is not None and any(ip in address.network for address in addresses)


def _domain(config: Config, addresses: Sequence[Interface]) -> str:
    """The domain of the guests: that of their subnet, else that of all."""
    general = ""
    for setting in config.named("domain"):
        fields = [field for field in setting.fields if field]
        if len(fields) == 1:
            general = general or fields[0]
        elif len(fields) > 1 and any(_is_inside(fields[1].partition("/")[0], [address]) for address in addresses):
            return fields[0]
    return "" if general.startswith("#") else general


def _local_domains(config: Config) -> set[str]:
    """The domains of which no other server is asked."""
    domains = {setting.fields[0] for setting in config.named("domain") if setting.fields[2:3] == ("local",)}
    for setting in config.named("local", "server"):
        parts = (setting.value or "").split("/")
        if len(parts) > 2 and not parts[-1]:
            domains |= set(parts[1:-1])
    return domains


def _forwarders(config: Config, notes: list[str]) -> Iterator[dict[str, Any]]:
    for setting in config.named("server", "local"):
        parts = (setting.value or "").split("/")
        address, hash_sign, port = parts[-1].partition("#")
        domains = [domain.lstrip(".") for domain in parts[1:-1]]
        if not parts[-1]:
            # A domain that is kept here, see _local_domains().
            continue
        # "#" alone: the servers for all other queries. Patterns, and servers for plain names, have no option.
        is_server = address_in(address.partition("%")[0]) is not None and (not hash_sign or port.isdecimal())
        known = is_server or (parts[-1] == "#" and domains)
        if not known or not _are_names(domains) or not (domains or config.named("no-resolv")):
            notes.append(f"a forwarder is left out: {shown(setting)}")
            continue
        server = {**({"address": address} if address else {}), **({"port": int(port)} if port else {})}
        for domain in domains or [""]:
            yield {**({"domain": domain} if domain else {}), **server}


def _wildcards(config: Config, domain: str, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The names below which all have the same addresses."""
    addresses: dict[str, list[str]] = {}
    for setting in config.named("address"):
        parts = (setting.value or "").split("/")
        ip, names = address_in(parts[-1]), [name.lstrip(".") for name in parts[1:-1]]
        # A name without a dot would get the network's domain here.
        is_plain = bool(domain) and any("." not in name for name in names)
        if ip is None or not names or not _are_names(names) or is_plain:
            notes.append(f"a wildcard is left out: {shown(setting)}")
            continue
        for name in names:
            addresses.setdefault(name, []).append(str(ip))
    for name, listed in addresses.items():
        yield {"name": name, "ip": listed if len(listed) > 1 else listed[0]}


def _are_names(domains: Sequence[str]) -> bool:
    """Whether domains are names, and neither empty nor with a pattern (dnsmasq.8, --server)."""
    return all(domain and not set(domain) & set("*#") for domain in domains)


def _host_records(setting: Setting) -> Iterator[dict[str, Any]]:
    found = [address_in(field) for field in setting.fields]
    names = [
        field for field, address in zip(setting.fields, found) if address is None and field and not field.isdecimal()
    ]
    for address in found:
        if address is not None and names:
            yield {"ip": str(address), "names": list(names)}


def _srv(setting: Setting, notes: list[str]) -> Iterator[dict[str, Any]]:
    """A record such as _ldap._tcp.example.org,server.example.org,389,priority,weight."""
    labels = setting.fields[0].split(".") if setting.fields else []
    if len(labels) < 2 or not all(label.startswith("_") for label in labels[:2]):
        notes.append(f"a record is left out: {shown(setting)}")
        return
    record: dict[str, Any] = {"service": labels[0][1:], "protocol": labels[1][1:]}
    if labels[2:]:
        record["domain"] = ".".join(labels[2:])
    for key, value in zip(("target", "port", "priority", "weight"), setting.fields[1:]):
        if value:
            record[key] = value if key == "target" or not value.isdecimal() else int(value)
    yield record
