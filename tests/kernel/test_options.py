# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An option that is given, changed and removed again leaves nothing on the host.

All options are tried at once, each with a network of its own (tools/option_samples.py). One host brings its networks
from no option to a value, to another one, and back. It is compared with a host that has the second value from the
start, and with one that never had the option.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules
from kernel.nft_testbed import wait_for_addresses
from kernel.ovs_testbed import OpenvswitchNamespace, OpenvswitchTestbed
from kernel.testbed import NamespaceTestbed, Task
from tools import option_samples
from tools.option_samples import Sample

BASE, FIRST, SECOND = "base", "first", "second"
# The interfaces beside each bridge: a guest's, and two of the host.
LINKS = ("tap", "eth", "wan")
# What the kernel counts, measures or numbers. It shortens the ageing time for half a minute when STP sees a change.
VOLATILE = {
    "ifindex", "link_index", "handle", "index", "flags", "operstate", "gc_timer", "hello_timer", "tcn_timer",
    "topology_change_timer", "topology_change", "topology_change_detected", "designated_root", "root_id", "bridge_id",
    "valid_life_time", "preferred_life_time", "fdb_n_learned", "hold_timer", "message_age_timer",
    "forward_delay_timer", "state", "designated_bridge", "designated_port", "port_id", "id", "no", "port_no", "refcnt",
    "tentative", "dadfailed", "ageing_time",
}  # fmt: skip

OVS_COLUMNS = {
    "Bridge": "datapath_type,fail_mode,stp_enable,rstp_enable,other_config,external_ids",
    "Port": "tag,trunks,vlan_mode,protected,other_config,external_ids",
    "Interface": "type,mtu,mtu_request,options,other_config",
}

Snapshot = Mapping[str, Any]


def numbers(samples: Mapping[str, Sample], kind: str = "") -> dict[int, Sample]:
    """The samples for a type of bridge, numbered: the number stays where another type has fewer of them."""
    return {n: sample for n, sample in enumerate(samples.values(), 1) if not kind or kind in sample.types}


def at(stage: str, sample: Sample, number: int) -> dict[str, Any]:
    """The options of a network at a stage, beside those of its base."""
    values = {**sample.base, **({} if stage == BASE else getattr(sample, stage))}
    options: dict[str, Any] = option_samples.numbered(values, number)
    return options


def bridges(stage: str, kind: str) -> list[dict[str, Any]]:
    return [
        {"name": f"vn-{n}", "type": kind, "addresses": [f"10.0.{n}.1/24"], **at(stage, sample, n)}
        for n, sample in numbers(option_samples.BRIDGE, kind).items()
    ]


def rules(stage: str) -> list[dict[str, Any]]:
    return [
        {"name": f"n{n}", "bridge": f"vn-{n}", "subnets": [f"10.0.{n}.0/24"], **at(stage, sample, n)}
        for n, sample in numbers(option_samples.RULES).items()
    ]


def stable(value: Any) -> Any:
    """Without what the kernel counts or numbers."""
    if isinstance(value, Mapping):
        return {key: stable(item) for key, item in value.items() if key not in VOLATILE}
    return sorted((stable(item) for item in value), key=json.dumps) if isinstance(value, list) else value


class OptionsHost:
    """A host with the interfaces for every sample."""

    def __init__(self, testbed: NamespaceTestbed, names: Sequence[str]) -> None:
        self.testbed = testbed
        self.names = names
        self.host = testbed.host
        commands: list[str] = []
        for number, name in enumerate(names):
            for i, kind in enumerate(LINKS):
                link, mac = f"{kind}{name[2:]}", f"52:54:01:00:{number:02x}:{i:02x}"
                commands.append(f"link add {link} address {mac} up type veth peer name {link}-peer")
                # A bridge whose ports have no carrier has none, and then the kernel does not start IPv6 on it.
                commands.append(f"link set {link}-peer up")
        self.host.run("ip", "-batch", "-", stdin="\n".join(commands))

    def converge(self, part: str, desired: Sequence[Mapping[str, Any]]) -> None:
        result, again = self.testbed.tasks(Task(part, desired), Task(part, desired, check=True))
        assert "msg" not in result, result["msg"]
        assert again["changes"] == []

    def plug_guests(self) -> None:
        for name in self.names:
            self.testbed.plug(name, f"tap-{name[3:]}")

    def snapshot(self) -> dict[str, Snapshot]:
        """What the kernel shows of each network."""
        wait_for_addresses(self.host)
        run = self.host.json
        links = run("ip", "-d", "-j", "address", "show")
        routes = [
            *run("ip", "-j", "route", "show", "table", "all"),
            *run("ip", "-6", "-j", "route", "show", "table", "all"),
        ]
        qdiscs = run("tc", "-j", "qdisc", "show")
        bridge_ports = run("bridge", "-d", "-j", "link")
        settings, rules, rows = self._settings(), self.ruleset(), self._rows()
        limits = self.host.run_engine("fdb_limit", *self.names).split()
        return {
            name: {
                "fdb_max_learned": limit,
                "links": {link["ifname"]: stable(link) for link in links if link["ifname"].endswith(name[2:])},
                "routes": sorted({json.dumps(stable(route)) for route in routes if route.get("dev") == name}),
                "qdiscs": [stable(qdisc) for qdisc in qdiscs if qdisc.get("dev") == name],
                "classes": self.host.run("tc", "class", "show", "dev", name).splitlines(),
                "policers": [item for item in rules if f'_{name}"' in json.dumps(item)],
                "ports": [stable(port) for port in bridge_ports if port["ifname"].endswith(name[2:])],
                "settings": settings[name],
                "rows": [row for row in rows if f'"{name}"' in row or f'{name[2:]}"' in row],
            }
            for name, limit in zip(self.names, limits, strict=True)
        }

    def _settings(self) -> dict[str, list[str]]:
        """Settings in /proc and /sys of each bridge, without numbers and timers."""
        patterns = "/proc/sys/net/ipv[46]/conf/vn-*/* /sys/class/net/vn-*/mtu /sys/class/net/vn-*/bridge/*"
        text = self.host.run("sh", "-c", f"grep -s . {patterns}", check=False)
        settings: dict[str, list[str]] = {name: [] for name in self.names}
        for line in text.splitlines():
            path, _colon, value = line.partition(":")
            key = path.rpartition("/")[2]
            if key in VOLATILE or key in ("stable_secret", "root_port", "root_path_cost"):
                continue
            (name,) = (part for part in path.split("/") if part.startswith("vn-"))
            settings[name].append(f"{key}={value}")
        return settings

    def _rows(self) -> list[str]:
        """The rows of Open vSwitch that have a name, without references and statistics."""
        if not isinstance(self.host, OpenvswitchNamespace):
            return []
        rows: list[str] = []
        for table, columns in OVS_COLUMNS.items():
            shown = json.loads(self.host.vsctl("--format=json", f"--columns=name,{columns}", "list", table))
            rows += sorted(f"{table} {json.dumps(row)}" for row in shown["data"])
        return rows

    def ruleset(self) -> list[Any]:
        """All rules, without counters and handles; sets, maps and chains in the order of their names."""
        objects = self.host.json("nft", "-j", "list", "ruleset")["nftables"]
        return sorted((without_counters(item) for item in objects if "metainfo" not in item), key=place)


def place(item: Mapping[str, Any]) -> tuple[str, ...]:
    """The kind of an object and where it is: rules of a chain keep their order."""
    ((kind, content),) = item.items()
    return (kind, *(str(content.get(key, "")) for key in ("family", "table", "chain", "name")))


def without_counters(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: item for key, item in value.items() if key not in ("handle", "packets", "bytes", "expires")}
        plain = {key: without_counters(item) for key, item in kept.items()}
        is_members = {key: key == "elem" and isinstance(item, list) for key, item in plain.items()}
        return {key: sorted(item, key=json.dumps) if is_members[key] else item for key, item in plain.items()}
    items = [without_counters(item) for item in value] if isinstance(value, list) else []
    return sorted(items, key=json.dumps) if items and isinstance(items[0], list) else items or value


@pytest.fixture
def new_host(tmp_path: Path) -> Iterator[Callable[..., OptionsHost]]:
    """A function that makes a host; all have the same identity, from which MAC addresses are derived."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    with ExitStack() as stack:

        def make(kind: str, names: Sequence[str]) -> OptionsHost:
            root = tmp_path / f"host{len(list(tmp_path.iterdir()))}"
            (root / "etc").mkdir(parents=True)
            (root / "etc" / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
            testbed = OpenvswitchTestbed(root) if kind == "openvswitch" else NamespaceTestbed(root)
            stack.callback(testbed.close)
            return OptionsHost(testbed, names)

        yield make


def differences(expected: Mapping[str, Snapshot], actual: Mapping[str, Snapshot], labels: Mapping[str, str]) -> str:
    """A line for each network and kind of state that differs."""
    lines: list[str] = []
    for name, state in expected.items():
        before, after = dict(flat(state)), dict(flat(actual[name]))
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                lines.append(f"{labels[name]}: {key}: expected {before.get(key)!r}, but is {after.get(key)!r}")
    return "\n".join(lines)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value inside with its path."""
    inside = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from flat(item, f"{path}.{key}")
    if not isinstance(value, (Mapping, list)):
        yield path, value


def test_every_option_of_bridges_and_rules_has_a_sample() -> None:
    assert not option_samples.missing(BridgeSpec, option_samples.BRIDGE, option_samples.NOT_OF_BRIDGE)
    assert not option_samples.missing(Rules, option_samples.RULES, option_samples.NOT_OF_RULES)


@pytest.mark.parametrize("kind", ["linux", "openvswitch"])
def test_an_option_of_a_bridge_that_is_removed_again_leaves_nothing(
    new_host: Callable[..., OptionsHost], kind: str
) -> None:
    labels = {f"vn-{n}": label for n, label in enumerate(option_samples.BRIDGE, 1)}
    names = [bridge["name"] for bridge in bridges(BASE, kind)]
    states: dict[str, dict[str, Snapshot]] = {}
    fresh: dict[str, dict[str, Snapshot]] = {}
    for stage in (BASE, SECOND):
        never = new_host(kind, names)
        never.converge("bridge", bridges(stage, kind))
        never.plug_guests()
        never.converge("bridge", bridges(stage, kind))
        fresh[stage] = never.snapshot()
    host = new_host(kind, names)
    host.converge("bridge", bridges(BASE, kind))
    host.plug_guests()
    for stage in (FIRST, SECOND, BASE):
        host.converge("bridge", bridges(stage, kind))
        states[stage] = host.snapshot()
    assert differences(fresh[SECOND], states[SECOND], labels) == ""
    assert differences(fresh[BASE], states[BASE], labels) == ""
    without_effect = {labels[name] for name in names if states[FIRST][name] == states[BASE][name]}
    assert without_effect <= {"mtu as the kernel has it"}


def test_an_option_of_rules_that_is_removed_again_leaves_nothing(new_host: Callable[..., OptionsHost]) -> None:
    fresh, states = {}, {}
    for stage in (BASE, SECOND):
        never = new_host("linux", [])
        never.converge("nft", rules(stage))
        fresh[stage] = never.ruleset()
    host = new_host("linux", [])
    host.converge("nft", rules(BASE))
    for stage in (FIRST, SECOND, BASE):
        host.converge("nft", rules(stage))
        states[stage] = host.ruleset()
    for stage, expected in fresh.items():
        assert differences({"": {"rules": expected}}, {"": {"rules": states[stage]}}, {"": stage}) == ""
    elements = {stage: elements_by_number(ruleset) for stage, ruleset in states.items()}
    for n, label in enumerate(option_samples.RULES, 1):
        assert elements[FIRST][n] != elements[BASE][n], f"{label} has no effect that this test sees"


def elements_by_number(ruleset: Sequence[Any]) -> Mapping[int, list[str]]:
    """By number of a network, the elements of sets and maps that name its bridge or addresses."""
    elements: dict[int, list[str]] = defaultdict(list)
    for item in ruleset:
        content = item.get("set") or item.get("map") or {}
        for element in content.get("elem", ()):
            # A network with a policy has sets of its own, which are named like its bridge.
            named = f"{content['name']} {json.dumps(element)}"
            for number in set(re.findall(r"vn-(\d+)|10\.[01]\.(\d+)\.", named)):
                elements[int("".join(number))].append(f"{content['name']}: {json.dumps(element)}")
    return elements


def test_a_mode_without_forwarding_leaves_the_host_as_it_was(new_host: Callable[..., OptionsHost]) -> None:
    host = new_host("linux", [])
    network = {"name": "lab", "bridge": "vn-lab", "subnets": ["10.0.1.0/24", "fd00:1::/64"], "mode": "isolated"}

    def settings() -> list[str]:
        files = [f"/proc/sys/net/{name}" for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")]
        return [*host.host.run("cat", *files).split(), json.dumps(host.ruleset())]

    host.converge("nft", [network])
    before = settings()
    for mode in ("nat", "open", "routed"):
        host.converge("nft", [{**network, "mode": mode}])
        assert settings()[0] == "1"
    host.converge("nft", [network])
    assert settings() == before
