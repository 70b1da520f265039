# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Definitions as people have them: what libvirt makes of each (``record-libvirt``), and what we do, as a table.

Printed by ``make libvirt-wild``; the guide has it in short, and a test compares each definition with ``outcomes.toml``.
With folders as arguments it tries all networks in their XML files instead, such as those of libvirt's own tests.
"""

from __future__ import annotations

import ipaddress
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.dhcpv6 import SLAAC_PREFIX
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.static_hosts import Host
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.record_lines import host_rows
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reserved_names import plain_rows
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import specs_for

FOLDER = Path(__file__).resolve().parents[1] / "unit/libvirt_xml/wild"
TAKEN, DIFFERS, REFUSED = "taken", "differs", "refused"
_HOST = "0123456789abcdef0123456789abcdef"
_REFUSED_BY_LIBVIRT = "refused to "
# What libvirt writes for each network, or for all with DHCP; expand-hosts: the names of guests get the domain.
_COMMON = ("strict-order", "except-interface=", "bind-dynamic", "interface=", "dhcp-no-override", "dhcp-authoritative",
           "dhcp-lease-max=", "dhcp-hostsfile=", "addn-hosts=", "expand-hosts", "ra-param=*,0,0", "enable-ra",
           )  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """``why``: the reason of a refusal, or the difference."""

    word: str
    why: str = ""


def definitions() -> list[Path]:
    """The XML files of the corpus."""
    return sorted(FOLDER.glob("*.xml"))


def expected() -> dict[str, Outcome]:
    """The outcome of each definition, by its name."""
    table = tomllib.loads((FOLDER / "outcomes.toml").read_text())
    return {name: Outcome(**values) for name, values in table.items()}


def read(xml: str) -> Network:
    """The network of an XML document, as a play would define it. Raises InvalidOption."""
    return read_network(Options({"xml": xml}, "networks[0]"), _HOST)


def refusal(xml: str) -> str:
    """Why an XML document is refused, '' if it is not."""
    try:
        read(xml)
    except InvalidOption as error:
        return str(error)
    return ""


def libvirts_refusal(definition: Path) -> str:
    """The step at which libvirt refused a definition, and why; '' if it runs."""
    text = definition.with_suffix(".libvirt").read_text().strip()
    return text.removeprefix(_REFUSED_BY_LIBVIRT) if text.startswith(_REFUSED_BY_LIBVIRT) else ""


def refused_by_libvirt(name: str) -> bool:
    """Whether libvirt refuses a definition. It starts some only with what the recording lacks, such as firewalld."""
    return libvirts_refusal(FOLDER / f"{name}.xml").startswith("define")


def libvirts_lines(definition: Path) -> set[str]:
    """What libvirt's dnsmasq does for a network, without what it does for each."""
    lines = definition.with_suffix(".libvirt").read_text().splitlines()
    domain = next((line.partition("=")[2] for line in lines if line.startswith("domain=")), "")
    expanded = domain if "expand-hosts" in lines else ""
    return _of_guests({_normal(line, expanded) for line in lines if not line.startswith(_COMMON)})


def _of_guests(lines: set[str]) -> set[str]:
    """The lines, without that of a dnsmasq that serves nothing, which libvirt runs and we do not."""
    return lines - {"port=0"} if lines == {"port=0"} else lines


def _normal(line: str, expanded: str = "") -> str:
    """A line in one spelling: without the domain of a static host, which dnsmasq ignores, and without defaults.

    ``expanded``: the domain that plain names of records get too.
    """
    kind, _colon, row = line.partition(": ")
    if line.startswith("srv-host="):
        return re.sub(r"(,0)+$", "", line)
    if line.startswith("dhcp-range="):
        return line.removesuffix(",1h")
    if kind == "addnhosts":
        address, *names = row.split()
        full = [f"{name}.{expanded}" for name in names if expanded and "." not in name]
        return f"{kind}: {address} {' '.join(sorted({*names, *full}))}"
    if kind != "hostsfile":
        return line
    words = row.split(",")
    for i, word in enumerate(words):
        if word.startswith("id:"):
            words[i] = "id:" + ":".join(byte.zfill(2) for byte in word[3:].split(":"))
        elif not word[0].isdecimal() and ":" not in word:
            words[i] = word.partition(".")[0]
    return f"{kind}: {','.join(sorted(words))}"


def our_lines(network: Network) -> set[str]:
    """The same for a network of ours, as libvirt would write it."""
    fragments = [one for one in specs_for([network], {})["fragments"] if one.get("state") != "absent"]
    specs = [FragmentSpec.from_options(Options(one)) for one in fragments]
    lines = {_normal(line) for spec in specs for line in _lines(spec)}
    return _of_guests(lines | {line for spec in specs for line in _more_prefixes(spec, network)})


def _more_prefixes(spec: FragmentSpec, network: Network) -> Iterator[str]:
    """Ranges that dnsmasq makes of further addresses of the bridge, since ours have a template (``constructor``)."""
    templated = spec.ipv6 is not None and spec.ipv6.ra and spec.ipv6.address.network.prefixlen == SLAAC_PREFIX
    for address in map(ipaddress.ip_interface, network.extra_addresses if templated else ()):
        if address.version == 6 and address.network.prefixlen == SLAAC_PREFIX:
            yield f"dhcp-range={address.ip},ra-only"


def _lines(spec: FragmentSpec) -> Iterator[str]:
    if not spec.dns:
        yield "port=0"
    if not spec.router:
        yield "dhcp-option=3"
    if spec.dns and (not spec.upstream or any(not one.domain for one in spec.names.forwarders)):
        yield "no-resolv"
    if spec.domain:
        yield f"domain={spec.domain}"
        yield from ([f"local=/{spec.domain}/"] if spec.local_only else [])
    yield from (_zone(spec) if spec.names.local_ptr else ())
    if spec.names.forward_plain_names is False:
        yield from ("domain-needed", "local=//")
    yield from _records(spec)
    yield from _dhcp(spec)
    yield from spec.raw


def _zone(spec: FragmentSpec) -> Iterator[str]:
    for address in spec.addresses:
        step = 8 if address.version == 4 else 4
        labels = address.network.network_address.reverse_pointer.split(".")
        yield f"local=/{'.'.join(labels[(address.max_prefixlen - address.network.prefixlen) // step :])}/"


def _records(spec: FragmentSpec) -> Iterator[str]:
    for forwarder in spec.names.forwarders:
        domain = f"/{forwarder.domain}/" if forwarder.domain else ""
        yield f"server={domain}{forwarder.address or '#'}"
    for txt in spec.names.txt:
        yield f"txt-record={txt.name},{','.join(txt.value)}"
    for srv in spec.names.srv:
        target = f",{srv.target},{srv.port},{srv.priority},{srv.weight}" if srv.target else ""
        yield f"srv-host={srv.name}{target}"
    # In a dnsmasq of the network's own, as libvirt's is.
    plain = dict(plain_rows(spec, is_shared=False))
    for option, row in host_rows(spec.names):
        yield f"addnhosts: {row} {plain.get(f'names.{option}', '').partition(' ')[2]}"


def _dhcp(spec: FragmentSpec) -> Iterator[str]:
    if spec.dhcp and spec.address is not None:
        for one in spec.ranges:
            yield f"dhcp-range={one.start},{one.end},{spec.address.netmask}{_lease(one.lease_time)}"
        if not spec.ranges:
            yield f"dhcp-range={spec.address.ip},static"
    if spec.ipv6 is not None and spec.ipv6.sends:
        prefix = spec.ipv6.address.network.prefixlen
        for one in spec.ipv6.ranges:
            yield f"dhcp-range={one.start},{one.end},{prefix}{_lease(one.lease_time)}"
        if not spec.ipv6.ranges:
            yield f"dhcp-range={spec.ipv6.address.ip},{f'static,{prefix}' if spec.ipv6.hosts else 'ra-only'}"
        if spec.ipv6.ra and spec.ipv6.slaac and (spec.ipv6.ranges or spec.ipv6.hosts):
            # Of a range of libvirt's the advertised prefix has no A flag.
            yield "slaac"
    yield from (f"hostsfile: {_host(host)}" for _option, host in spec.static_hosts)
    yield from (f"dhcp-option=option:{name},{value}" for name, value in spec.options.items())
    for boot in spec.boot:
        yield f"dhcp-boot={boot.file}" + (f",,{boot.server}" if boot.server else "")
    if spec.tftp_root:
        yield from ("enable-tftp", f"tftp-root={spec.tftp_root}")


def _host(host: Host) -> str:
    ip = f"[{host.ip}]" if host.ip and host.ip.version == 6 else str(host.ip)
    words = [*host.macs, f"id:{host.id}" if host.id else "", host.name, ip, host.lease_time]
    return ",".join(word for word in words if word)


def _lease(time: str) -> str:
    return f",{time}"


def table() -> str:
    """The outcomes as a table of the guide: of those that are not simply taken."""
    rows = [
        f'    "``{name}``", "{"refused" if refused_by_libvirt(name) else "runs"}", "{one.word}", "{one.why}"'
        for name, one in expected().items()
        if one.word != TAKEN
    ]
    words = Counter(one.word for one in expected().values())
    counts = ", ".join(f"{words[word]} {word}" for word in (TAKEN, DIFFERS, REFUSED))
    head = '.. csv-table::\n    :header: "definition", "libvirt 11.3", "here", "why"\n    :widths: 25, 10, 10, 55\n\n'
    return f"Of {words.total()} definitions: {counts}.\n\n{head}" + "\n".join(rows) + "\n"


def _differences(file: Path, xml: str) -> str:
    """The lines for dnsmasq that differ from those in NAME.conf beside the file; '' for none, or without NAME.conf."""
    expected_file = file.with_suffix(".conf")
    if not expected_file.exists():
        return ""
    lines = (
        line for line in expected_file.read_text().splitlines() if line and not line.startswith(("##", "pid-file="))
    )
    theirs = _of_guests({_normal(line) for line in lines if not line.startswith(_COMMON)})
    ours = {line for line in our_lines(read(xml)) if not line.startswith(("hostsfile:", "addnhosts:"))}
    missing, added = ("; ".join(sorted(lines)) for lines in (theirs - ours, ours - theirs))
    return ", ".join([f"without {missing}"] * bool(missing) + [f"with {added}"] * bool(added))


def try_all(files: Iterable[Path]) -> None:
    """Print whether each network in these files is taken, what differs for dnsmasq, and the reason of a refusal."""
    words: Counter[str] = Counter()
    for file in files:
        xml = file.read_text(errors="replace")
        if "<network" not in xml or "<networkport" in xml:
            continue
        why = refusal(xml)
        difference = "" if why else _differences(file, xml)
        word = REFUSED if why else DIFFERS if difference else TAKEN
        words[word] += 1
        print(f"{file.name}: {word} {why or difference}".strip())
    print(", ".join(f"{words[word]} {word}" for word in (TAKEN, DIFFERS, REFUSED)))


if __name__ == "__main__":
    if sys.argv[1:]:
        try_all(sorted(file for folder in sys.argv[1:] for file in Path(folder).rglob("*.xml")))
    else:
        print(table(), end="")
