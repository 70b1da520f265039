# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reserved names, which no guest gets by requesting them: those of static hosts and records, and well-known ones. Pure.

dnsmasq gives a lease the name that its guest requests, even the name of a static host that has no lease. Two ways
prevent that:

- A name with a fixed address is a row of the file of names. dnsmasq does not give a lease a name that such a file has
  with another address of the same family (src/cache.c, cache_add_dhcp_entry()). A change needs no restart.
- All other names, and those of networks without a file of names, get a ``dhcp-name-match``: by its tag dnsmasq ignores
  the requested name (``dhcp-ignore-names``). Names that ``dhcp-host`` assigns stay (src/rfc2131.c, hostname_auth). A
  change needs a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from .record_lines import host_rows
from .spec import FragmentSpec

# Clients use these names to find a proxy, a tunnel or themselves (CERT VU#598349; RFC 5214 section 8.3.2; RFC 6761).
WELL_KNOWN = ("isatap", "localhost", "wpad")
# Rows after this line belong to static hosts, or are plain names of records.
STATIC_HOSTS = "# Static hosts"
# The tag of all networks that share plain names in one instance.
_SHARED_TAG = "virtnet-reserved"


def static_rows(spec: FragmentSpec, administrator_names: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Rows of hosts(5) for static hosts with name and address, each with its option. Names with a record get no row.

    ``administrator_names``: names in lower case in the administrator's own configuration. They get no row either: it
    would not replace the administrator's address but add a second one.
    """
    known = {(name.lower(), record.ip.version) for record in spec.names.hosts for name in record.names}
    known |= {(name, version) for name in (*administrator_names, *_aliases(spec)) for version in (4, 6)}
    for option, host in spec.static_hosts:
        if host.name and host.ip is not None:
            names = [form for form in _forms(spec, host.label) if (form.lower(), host.ip.version) not in known]
            if names:
                yield option, f"{host.ip} {' '.join(names)}"


def plain_rows(spec: FragmentSpec, *, is_shared: bool) -> Iterator[tuple[str, str]]:
    """Rows for the plain names of records in the network's domain, each with its option: for private instances alone.

    dnsmasq's expand-hosts, with which libvirt does the same, would hold for all networks of an instance. ``is_shared``:
    the instance has several networks. Of a name that two of them have, it returns the address in the client's own
    subnet (localise-queries), so addresses elsewhere have no plain name there. Those of static hosts stay theirs.
    """
    taken = {"localhost", *(host.label.lower() for _option, host in spec.static_hosts)}
    for i, record in enumerate(spec.names.hosts if spec.domain else ()):
        parts = (name.partition(".") for name in record.names)
        labels = [label for label, _dot, rest in parts if rest == spec.domain and label.lower() not in taken]
        if labels and not (is_shared and all(record.ip not in subnet for subnet in spec.subnets)):
            yield f"names.hosts[{i}]", f"{record.ip} {' '.join(labels)}"


def static_names(spec: FragmentSpec) -> set[str]:
    """All names of static hosts, in lower case."""
    return {form.lower() for _option, host in spec.static_hosts if host.name for form in _forms(spec, host.label)}


def reserved_names(
    spec: FragmentSpec,
    ipv6_names: bool,
    *,
    full_names_only: bool = False,
    rows: bool = True,
    administrator_names: Collection[str] = (),
) -> list[str]:
    """First labels of the names for which rows are not enough.

    ``ipv6_names``: leases may have AAAA records too. ``full_names_only``: guests are known by their full names alone.
    ``rows``: the network has a file of names.
    """
    families = {4, 6} if ipv6_names else {4}
    families_in_rows: dict[str, set[int]] = {name: {4, 6} for name in _aliases(spec)}
    listed = (*host_rows(spec.names), *static_rows(spec, administrator_names)) if rows else ()
    for _option, row in listed:
        address, *names = row.split()
        for name in names:
            families_in_rows.setdefault(name.lower(), set()).add(6 if ":" in address else 4)
    needed: dict[str, set[str]] = {name: set(_forms(spec, name, full_names_only)) for name in WELL_KNOWN}
    for _option, host in spec.static_hosts:
        # A static host that is identified by its name alone is the guest that requests this name.
        if host.name and (host.macs or host.id):
            name = host.label.lower()
            needed.setdefault(name, set()).update(_forms(spec, name, full_names_only))
    for record in spec.names.hosts:
        for name in record.names:
            label, _dot, rest = name.lower().partition(".")
            if rest in ("", spec.domain):
                needed.setdefault(label, set()).add(name.lower())
    for alias in _aliases(spec):
        label, _dot, rest = alias.partition(".")
        if rest in ("", spec.domain):
            needed.setdefault(label, set()).update(_forms(spec, label, full_names_only))
    return sorted(
        label for label, names in needed.items() if any(families - families_in_rows.get(name, set()) for name in names)
    )


def reserved_lines(spec: FragmentSpec, names: Iterable[str], *, full_names_only: bool) -> Iterator[str]:
    """Lines by which dnsmasq ignores the reserved ``names`` if a guest of the network requests them.

    With ``full_names_only``, networks share no plain names, so only networks with the same domain share a tag.
    """
    tag = f"reserved-{spec.domain}" if full_names_only else _SHARED_TAG
    for name in names:
        # dnsmasq compares the whole requested name, and takes the part after the first dot for a domain.
        yield f"dhcp-name-match=set:{tag},{name}"
        yield f"dhcp-name-match=set:{tag},{name}.*"
    yield f"dhcp-ignore-names=tag:{spec.interface},tag:{tag}"


def of_records(text: str) -> str:
    """The part of a file of names that comes from records, without static hosts."""
    return text.partition(f"{STATIC_HOSTS}\n")[0]


def _forms(spec: FragmentSpec, name: str, full_names_only: bool = False) -> list[str]:
    """The names by which a guest of the network is known."""
    return [*([f"{name}.{spec.domain}"] if spec.domain else []), *([] if full_names_only else [name])]


def _aliases(spec: FragmentSpec) -> list[str]:
    """The aliases, in lower case. dnsmasq answers with the CNAME record, whatever the leases are."""
    return [alias.name.lower() for alias in spec.names.cname]
