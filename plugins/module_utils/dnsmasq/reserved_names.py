# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that the list gives to somebody, or that have a meaning of their own: no guest gets them by asking. Pure.

dnsmasq gives a lease the name that its guest asks for, also where a static host without a lease has that name. Two
things keep it from that:

- A name with a fixed address is a row of the file of names. dnsmasq gives a lease no name that such a file has with
  another address of the same family (cache_add_dhcp_entry() in dnsmasq's src/cache.c). It reads that file again on a
  signal.
- Other names, and those of networks without a file of names, are matched by ``dhcp-name-match``, whose tag has the
  name ignored (``dhcp-ignore-names``). A name that ``dhcp-host`` gives is not affected (rfc2131.c, hostname_auth). This
  costs a restart, so it is for the rest alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from .record_lines import host_rows
from .spec import FragmentSpec

# Clients look for a proxy, a tunnel or themselves under these (CERT VU#598349; RFC 5214 section 8.3.2; RFC 6761).
WELL_KNOWN = ("isatap", "localhost", "wpad")
# Rows after this line belong to static hosts.
STATIC_HOSTS = "# Static hosts"
# One tag for all networks of a dnsmasq in which they share plain names.
_SHARED_TAG = "virtnet-reserved"


def static_rows(spec: FragmentSpec, others: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Rows of hosts(5) for static hosts with name and address, each with its option; records of the list come first.

    ``others``: names in lower case that the administrator's own configuration has for somebody else. A row would not
    take their place but be a second address.
    """
    known = {(name.lower(), record.ip.version) for record in spec.names.hosts for name in record.names}
    known |= {(name, version) for name in (*others, *_aliases(spec)) for version in (4, 6)}
    for option, _i, name, address in _static_names(spec):
        names = [one for one in _forms(spec, name) if (one.lower(), _version(address)) not in known]
        if address and names:
            yield option, f"{address} {' '.join(names)}"


def static_names(spec: FragmentSpec) -> set[str]:
    """All names of static hosts, in lower case."""
    return {form.lower() for _option, _i, name, _address in _static_names(spec) for form in _forms(spec, name)}


def reserved_names(
    spec: FragmentSpec,
    ipv6_names: bool,
    *,
    full_names_only: bool = False,
    rows: bool = True,
    others: Collection[str] = (),
) -> list[str]:
    """First labels of the names that need more than a row; ``ipv6_names``: leases may have AAAA records too.

    ``rows``: the file of names is read. ``full_names_only``: nobody is known by a plain name.
    """
    families = {4, 6} if ipv6_names else {4}
    has: dict[str, set[int]] = {name: {4, 6} for name in _aliases(spec)}
    listed = [row.split() for _option, row in (*host_rows(spec.names), *static_rows(spec, others))] if rows else []
    for address, *names in listed:
        for name in names:
            has.setdefault(name.lower(), set()).add(_version(address))
    needed: dict[str, set[str]] = {name: set(_forms(spec, name, full_names_only)) for name in WELL_KNOWN}
    for _option, identified, name, _address in _static_names(spec):
        # A static host that is known by its name alone is whoever asks for that name.
        if identified:
            needed.setdefault(name.lower(), set()).update(_forms(spec, name.lower(), full_names_only))
    for record in spec.names.hosts:
        for name in record.names:
            label, _dot, rest = name.lower().partition(".")
            if rest in ("", spec.domain):
                needed.setdefault(label, set()).add(name.lower())
    for alias in _aliases(spec):
        label, _dot, rest = alias.partition(".")
        if rest in ("", spec.domain):
            needed.setdefault(label, set()).update(_forms(spec, label, full_names_only))
    return sorted(label for label, names in needed.items() if any(families - has.get(name, set()) for name in names))


def reserved_lines(
    spec: FragmentSpec,
    *,
    ipv6_names: bool,
    full_names_only: bool,
    rows: bool = True,
    others: Collection[str] = (),
) -> Iterator[str]:
    """Lines that have dnsmasq ignore these names where a guest of the network asks for one.

    ``full_names_only``: plain names are in no namespace of several networks, so those of one domain reserve theirs.
    """
    tag = f"reserved-{spec.domain}" if full_names_only else _SHARED_TAG
    for name in reserved_names(spec, ipv6_names, full_names_only=full_names_only, rows=rows, others=others):
        # dnsmasq compares all that the guest says, and takes what comes after the first dot for a domain.
        yield f"dhcp-name-match=set:{tag},{name}"
        yield f"dhcp-name-match=set:{tag},{name}.*"
    yield f"dhcp-ignore-names=tag:{spec.interface},tag:{tag}"


def of_records(text: str) -> str:
    """The part of a file of names that comes from records of the list, without static hosts."""
    return text.partition(f"{STATIC_HOSTS}\n")[0]


def _forms(spec: FragmentSpec, name: str, full_names_only: bool = False) -> list[str]:
    """The names by which a guest of the network is known."""
    return [*([f"{name}.{spec.domain}"] if spec.domain else []), *([] if full_names_only else [name])]


def _aliases(spec: FragmentSpec) -> list[str]:
    """dnsmasq answers with the CNAME record, whatever leases there are."""
    return [alias.name.lower() for alias in spec.names.cname]


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _static_names(spec: FragmentSpec) -> Iterator[tuple[str, bool, str, str]]:
    """Option, whether MAC or id tell who it is, name, and address or ''."""
    families = (("hosts", spec.hosts), ("ipv6.hosts", spec.ipv6.hosts if spec.ipv6 else ()))
    for option, hosts in families:
        for i, host in enumerate(hosts):
            if host.name:
                yield f"{option}[{i}]", bool(host.mac or host.id), host.name, str(host.ip or "")
