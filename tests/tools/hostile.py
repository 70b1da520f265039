# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every value of a network's options, one at a time replaced by a text that may become syntax somewhere.

The engine reports the options while it reads them: tests/unit/engine/test_texts.py fails for an option that no sample
has, so none is forgotten.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import specs_for
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Path = tuple[Any, ...]

MAC = "52:54:00:00:00:01"
UUID = "7b0cbfb2-6a3e-4d4c-9d57-3c1f5c9a6e01"
NAMES = {
    "hosts": [{"ip": "192.168.30.60", "names": ["printer", "other.lab.test"]}],
    "srv": [{"service": "ldap", "protocol": "tcp", "domain": "lab.test", "target": "printer", "port": 389,
             "priority": 1, "weight": 2}],
    "txt": [{"name": "note", "value": ["one text", "another"]}],
    "cname": [{"name": "alias", "target": "printer"}],
    "wildcards": [{"name": "*.apps", "ip": ["192.168.30.60", "fd00:30::60"]}],
    "forwarders": [{"domain": "corp.test", "address": "203.0.113.53"}, {"address": "203.0.113.54", "port": 5353}],
    "forward_plain_names": True, "local_ptr": True, "ttl": 60,
}  # fmt: skip
FULL: dict[str, Any] = {
    "name": "lab", "uuid": UUID, "title": "The lab", "description": "Where things are tried.", "state": "active",
    "autostart": True, "persistent": True, "mode": "nat", "uplink": ["eth0", "wlan0"], "restart": False,
    "bridge": {"name": "vn-lab", "type": "linux", "mac": MAC, "mtu": 1400, "stp": False, "forward_delay": 0,
               "ports": ["eth1"], "fdb_max_learned": 1000, "multicast_snooping": False, "hairpin": True,
               "zone": "guests"},
    "ipv4": {"address": "192.168.30.1/24", "auto": False, "dhcp": {
        "enabled": True, "lease_time": "12h",
        "ranges": [{"start": "192.168.30.100", "end": "192.168.30.200", "lease_time": "1h"}],
        "hosts": [{"mac": "52:54:00:00:00:02", "name": "web", "ip": "192.168.30.10", "lease_time": "2h"},
                  {"id": "01:52:54:00:00:00:03", "ip": "192.168.30.11"},
                  {"mac": ["52:54:00:00:00:06", "52:54:00:00:00:07"], "ip": "192.168.30.12"}],
        "ignore_client_ids": False,
        "options": {"ntp-server": "192.168.30.1", "224": "some text", "252": "\n", "domain-search": "lab.test,b.test"},
        "boot": [{"file": "pxe.0", "server": "192.168.30.5"}, {"arch": "x86_64-http", "file": "http://a/b.efi"},
                 {"arch": 7, "ipxe": True, "file": "c.ipxe"}], "tftp_root": "/srv/tftp"}},
    "ipv6": {"address": "fd00:30::1/64", "auto": False, "ra": True, "ra_names": True, "slaac": False,
             "ra_param": {"preference": "high", "interval": 60, "lifetime": 1200, "mtu": 1400}, "ndp_proxy": True,
             "dhcp": {
        "enabled": True, "stateless": False,
        "ranges": [{"start": "fd00:30::100", "end": "fd00:30::200", "lease_time": "1h"}],
        "hosts": [{"mac": "52:54:00:00:00:02", "name": "web", "ip": "fd00:30::10", "lease_time": "2h"},
                  {"id": "00:03:00:01:52:54:00:00:00:04", "ip": "fd00:30::11"}],
        "options": {"dns-server": "fd00:30::1"}}},
    "nat": {"ipv6": True, "source": {"start": "203.0.113.10", "end": "203.0.113.12"},
            "ports": {"start": 2000, "end": 3000}, "except": ["10.8.0.0/16", "fd08::/64"]},
    "port_forwards": [{"protocol": "tcp", "port": 8080, "address": "203.0.113.2", "to": "web", "to_port": 80},
                      {"protocol": "udp", "port_range": {"start": 6000, "end": 6010}, "to": "192.168.30.11"}],
    "isolate_guests": False, "connection_rate": 500, "clamp_mss": False, "conntrack_helpers": ["tftp"],
    "port_security": {"level": "gateway", "trusted_ports": ["tap7"], "trusted_hosts": ["web", "52:54:00:00:00:09"]},
    "policy": {"default": "deny", "to_host": ["services", {"protocol": "tcp", "port": 9100}], "log": True,
               "allow": [{"from": "web", "network": "dmz", "to": "203.0.113.0/24", "protocol": "tcp", "port": 443}],
               "deny": [{"from": "192.168.30.10", "network": "dmz", "to": "203.0.113.9",
                         "protocol": "udp", "port": "8000-8010"}]},
    "extra_addresses": ["192.168.31.1/24"],
    "routes": [{"to": "10.9.0.0/16", "via": "192.168.30.7", "metric": 3}],
    "bandwidth": {"inbound": {"average": 1000, "peak": 2000, "burst": 3000},
                  "outbound": {"average": 1000, "peak": 2000, "burst": 3000}},
    "dns": {"enabled": True, "domain": "lab.test", "local_only": True, "host_resolver": True, **NAMES},
    "dnsmasq": {"instance": "private", "redirect": True, "options": ["dhcp-ignore=tag:!known", "log-dhcp"]},
    "libvirt": {"register": True, "trust_guest_rx_filters": True,
                "portgroups": [{"name": "a", "default": True, "trust_guest_rx_filters": True,
                                "bandwidth": {"inbound": {"average": 5, "peak": 6, "burst": 7},
                                              "outbound": {"average": 5, "peak": 6, "burst": 7}},
                                "virtualport": {"type": "openvswitch", "parameters": {"profileid": "p"}},
                                "vlan": {"trunk": True, "tags": [{"id": 5, "native_mode": "tagged"}]}}],
                "metadata": ['<x:y xmlns:x="urn:x" a="1">text</x:y>'],
                "virtualport": {"type": "openvswitch", "parameters": {"interfaceid": UUID, "profileid": "p"}},
                "vlan": {"trunk": True, "tags": [{"id": 5, "native_mode": "tagged"}, {"id": 6}]}},
}  # fmt: skip
_SMALL = {"ipv4": {"address": "192.168.30.1/24"}}
VIRTUALPORTS = (
    {"type": "802.1Qbg", "parameters": {"managerid": "1", "typeid": "2", "typeidversion": "3", "instanceid": UUID}},
    {"type": "802.1Qbh", "parameters": {"profileid": "p"}},
    {"parameters": {"managerid": "1", "typeid": "2", "typeidversion": "3", "instanceid": UUID, "interfaceid": UUID,
                    "profileid": "p"}},
)  # fmt: skip
XML = """<network>
  <name>lab</name><title>The lab</title><description>Where things are tried.</description>
  <metadata><x:y xmlns:x="urn:x">text</x:y></metadata>
  <forward mode='nat'/><bridge name='vn-lab'/><domain name='lab.test'/>
  <dns><txt name='note' value='one text'/><host ip='192.168.30.60'><hostname>printer</hostname></host></dns>
  <ip address='192.168.30.1' prefix='24'><dhcp><range start='192.168.30.100' end='192.168.30.200'/></dhcp></ip>
</network>"""
SAMPLES: tuple[dict[str, Any], ...] = (
    FULL,
    {**_SMALL, "name": "lab", "bridge": {
        "type": "openvswitch", "rstp": True, "fail_mode": "standalone",
        "vlans": [{"port": "tap0", "tag": 5, "trunks": [6], "mode": "native-tagged"},
                  {"port": "tap1", "portgroup": "a"}]},
     "libvirt": {"portgroups": [{"name": "a", "vlan": {"tags": [{"id": 5}]}}]}},
    *({**_SMALL, "name": "lab", "libvirt": {"virtualport": port}} for port in VIRTUALPORTS),
    {**_SMALL, "name": "lab", "libvirt": {"portgroups": [{"name": "a", "virtualport": VIRTUALPORTS[2]}]}},
    {**_SMALL, "name": "lab", "ipv6": {"address": "fd00:30::1/64", "deprecated": ["fd00:31::/64"]},
     "extra_addresses": ["fd00:31::1/64"]},
    {"name": "lab", "mode": "open", "ipv4": {"address": "none"},
     "bridge": {"ports": ["eth0"], "enslave_uplink": True, "confirm_within": 60}},
    {"name": "lab", "mode": "bridged", "bridge": {"name": "br0"}, "title": "Theirs", "description": "A bridge."},
    {"name": "lab", "xml": XML},
    {"name": "lab", "managed_by": "libvirt", "restart": True, "xml": XML},
)  # fmt: skip
# Options that make no sense in any sample: they must be refused with a remedy.
REFUSED = {
    *(
        f"{where}.{direction}.floor"
        for where in ("bandwidth", "libvirt.portgroups[].bandwidth")
        for direction in ("inbound", "outbound")
    ),
}

# Texts that could be a line, a quote, a comment, an element, a reference, a path or an option of each language.
PIECES = (
    "\n", "\r", "\0", "\t", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ud800", "\ufeff", "é", "😀", " ", "  ", "", ".",
    "..", "-", "--help", "/", "../..", "/../x", "*", "?", "~", "#", " # ", ";", ",", ":", "=", "!", "|", "&", "&&",
    "%n", "%", "%%i", "$x", "${x}", "$(x)", "`x`", "'", '"', "\\", "\\n", "\\\"", "@", "{", "}", "[", "]", "(", ")",
    "<", ">", "<!--", "-->", "]]>", "<![CDATA[", "</name>", "<script>x</script>", "&amp;", "&x;",
    "<!ENTITY x SYSTEM 'file:///etc/passwd'>", "\nconf-file=/x", "\ndhcp-script=/x", ",set:x", ",tag:x", "tag:!x",
    "id:*", "#1\ndhcp-script=/x", "infinite", "ignore", '" } ; flush ruleset ; #', "; delete table inet virtnet",
    "} chain x { accept", " accept", "\nExecStart=/x", "\n[Service]", "\nnameserver 192.0.2.1", "' onload='x",
    '" onload="x', "javascript:x", "٣", "0x1f", "1e3", "²", "-1", "١٩٢", "x" * 64, "x" * 256, "x" * 1100,
    "a." * 130, "fd00:30::77%x y", "fd00:30::77%x;}", "fd00:30::77%a,b/64", "fe80::1%eth0", "all", "default", "lo",
)  # fmt: skip

_pieces = st.sampled_from(PIECES)
_signs = st.sampled_from(string.punctuation + " ")
_texts = st.text(_signs | st.characters(exclude_categories=["C"])) | st.text(_signs | st.characters(), max_size=30)

# Values for a place that accepts any text, and for one that accepts names.
PROBES = (" <", "-x")

FUZZED = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"


def values(most: int, fuzzed: int = 10_000) -> settings:
    """Many values in `make fuzz`; few, and always the same ones, in `make test`."""
    return settings(
        max_examples=fuzzed if FUZZED else most,
        deadline=None,
        derandomize=not FUZZED,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def _mutated_text(text: str) -> st.SearchStrategy[str]:
    """A text, or the former value with an insertion, which passes more of the checks."""
    new_text = _pieces | _texts
    places = st.integers(0, len(text))
    return new_text | st.builds(lambda at, piece: text[:at] + piece + text[at:], places, new_text)


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The places of values, and of names that the user chose."""
    if path:
        yield path
    inside: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inside = list(value.items())
        if path and path[-1] in ("options", "parameters"):
            yield from ((*path, ("key", key)) for key in value)
    elif isinstance(value, list):
        inside = list(enumerate(value))
    for key, item in inside:
        yield from _places(item, (*path, key))


def _replaced(value: Any, path: Path, text: str) -> Any:
    copied = copy.deepcopy(value)
    target = copied
    for key in path[:-1]:
        target = target[key]
    if isinstance(path[-1], tuple):
        old = path[-1][1]
        target[text] = target.pop(old)
    else:
        target[path[-1]] = text
    return copied


def replaced_everywhere(sample: Any, text: str) -> Iterator[Any]:
    """The sample with the text in one place after the other."""
    return (_replaced(sample, path, text) for path in _places(sample))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        if isinstance(key, tuple):
            return key[1]
        value = value[key]
    return value


def _text_at(sample: Any, path: Path) -> str:
    old = _at(sample, path)
    return old if isinstance(old, str) else "" if isinstance(old, (list, dict)) else str(old)


def mutated_samples(sample: Any, accepts: Callable[[Any], object]) -> st.SearchStrategy[tuple[Path, Any]]:
    """The place of a replaced value, and the sample with it; more often in places that accept many texts."""
    places = list(_places(sample))

    def accepting_places(probe: str) -> list[Path]:
        return [path for path in places if accepts(_replaced(sample, path, _text_at(sample, path) + probe))]

    def mutated_sample(path: Path) -> st.SearchStrategy[tuple[Path, Any]]:
        return _mutated_text(_text_at(sample, path)).map(lambda new: (path, _replaced(sample, path, new)))

    # Most places accept only an address, a number or a keyword: there is little to find there.
    return st.one_of(
        [st.sampled_from(choice) for choice in (*map(accepting_places, PROBES), places) if choice]
    ).flatmap(mutated_sample)


def read(options: Mapping[str, Any]) -> Network:
    """Reads networks as the engine does."""
    return read_network(Options(options, "networks[0]"), "host")


def is_clear(error: InvalidOption) -> bool:
    """The message is a single printable line with the path of a value."""
    text = str(error)
    return bool(error.problem) and text.isprintable() and len(text) < 500


def accepted(options: Mapping[str, Any]) -> Network | None:
    """The network, or None if it was refused as expected."""
    try:
        return read(options)
    except InvalidOption as error:
        assert is_clear(error), error
        return None


_MUTATED_SAMPLES = [mutated_samples(sample, lambda changed: accepted(changed)) for sample in SAMPLES]
# The number of a sample, and the changed sample; half of them are the sample with nearly all options.
networks = st.sampled_from([0] * len(SAMPLES) + list(range(1, len(SAMPLES)))).flatmap(
    lambda number: st.tuples(st.just(number), _MUTATED_SAMPLES[number])
)


def parts_of(network: Network) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The options of the parts."""
    return specs_for([network], {})


@contextlib.contextmanager
def recorded_options() -> Iterator[set[str]]:
    """The paths of all options that are read in the block, without numbers of items."""
    recorded: set[str] = set()
    raw = Options.raw

    def recording(self: Options, name: str, *default: Any) -> Any:
        # Some are read as a mapping of their own, which has no path.
        where = self.at(name).partition("networks[0].")[2]
        recorded.update({re.sub(r"\[\d+\]", "[]", where)} if where else ())
        return raw(self, name, *default)

    Options.raw = recording  # type: ignore[method-assign]
    try:
        yield recorded
    finally:
        Options.raw = raw  # type: ignore[method-assign]


def given_options(value: Any, path: str = "") -> set[str]:
    """The paths of a sample in the same form."""
    if isinstance(value, Mapping):
        inside = [(f"{path}.{key}".lstrip("."), item) for key, item in value.items()]
    elif isinstance(value, list):
        inside = [(f"{path}[]", item) for item in value]
    else:
        inside = []
    return {place for place, _item in inside}.union(*(given_options(item, place) for place, item in inside))
