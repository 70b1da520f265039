# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is returned is valid, whatever was read."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.bridges import plain_bridge
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.containers import container_networks
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.fit import fitted
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.incus import managed_networks
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.model import Foreign, network_name
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.networkd import NetworkdFiles, networkd_networks
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.networkmanager import shared_networks
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.sections import Sections
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import NAME
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.foreign.others_host import HOST, bridge, fit, host, server
from unit.foreign.test_networkd import NETDEV, NETWORK
from unit.foreign.test_networkmanager import PROFILE
from unit.foreign.test_programs import BRIDGE

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What may become syntax: of YAML, Jinja, a shell, nft, XML, dnsmasq, a terminal, a path.
HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["\x1b]0;x\x07", "{{ 7 * 7 }}", "a\nb: c", "$(id)", "../../etc/passwd", "x\udcff", "9" * 5000, "%", "-", "\0",
         "!!x", "192.168.80.1/99", "::%eth0/64", "fe80::1/64", "0.0.0.0/0", "\u202e", "a" * 300, "[x]", "=", "#"]
    ),
)  # fmt: skip


def network(name: str, **options: Any) -> Foreign:
    return Foreign(name, "script", "br0", {"name": name, "bridge": {"name": "br0"}, **options})


def check(found: list[Foreign]) -> None:
    """fit() puts each to the model; what is printed cannot control a terminal."""
    for one in found:
        assert NAME.fullmatch(one.name)
        shown = [one.source, one.bridge, one.stays, *one.notes]
        assert all(text.isprintable() for text in shown)
        assert all(len(text) < 1000 for text in shown)
        json.dumps(one.as_options()).encode("utf-8")


def test_a_value_that_the_model_refuses_is_left_out_with_its_reason() -> None:
    hosts = [{"mac": "zz", "ip": "192.168.80.3"}, {"mac": "52:54:00:00:00:10", "ip": "192.168.80.4"}]
    ipv4 = {"address": "192.168.80.1/24", "dhcp": {"hosts": hosts}}
    (found,) = fit(network("lab", ipv4=ipv4, description="a\x07b"))
    assert found.options["ipv4"]["dhcp"]["hosts"] == hosts[1:]
    assert "description" not in found.options
    assert sorted(note.partition(": ")[2].partition(":")[0] for note in found.notes) == [
        "description",
        "ipv4.dhcp.hosts[0].mac",
    ]


def test_a_dhcp_option_that_guests_would_not_get_is_left_out() -> None:
    (found,) = fit(network("lab", ipv4={"address": "192.168.80.1/24", "dhcp": {"options": {"26": "big", "15": "x"}}}))
    assert found.options["ipv4"]["dhcp"]["options"] == {"15": "x"}
    assert found.notes[-1].startswith("left out: ipv4.dhcp.options.26: 'big' is not a number of 16 bits")


def test_a_network_that_cannot_be_without_a_value_stays() -> None:
    (found,) = fit(network("lab", ipv4={"address": "127.0.0.1/8"}))
    assert found.stays.startswith("its ipv4.address cannot be had: 127.0.0.1/8")


def test_networks_that_exclude_each_other() -> None:
    first = network("lab", ipv4={"address": "192.168.80.1/24"})
    second = Foreign("b", "x", "b", {"name": "b", "bridge": {"name": "b"}, "ipv4": {"address": "192.168.80.2/24"}})
    third = Foreign("lab", "x", "c", {"bridge": {"name": "c"}, "ipv4": {"address": "192.168.81.1/24"}})
    one, two, three = fit(first, second, third)
    assert one.options
    assert "192.168.80.0/24 overlaps 192.168.80.0/24 of network 'lab'" in two.stays
    assert three.options["name"] == "lab-2"
    assert three.notes == ["its own name is lab, which another network has"]


def test_what_two_networks_cannot_both_have_is_left_out_of_the_later_one() -> None:
    def lab(number: int) -> Foreign:
        ipv4 = {"address": f"192.168.{number}.1/24"}
        forwards = [{"port": port, "to": f"192.168.{number}.9"} for port in (80, 8000 + number)]
        return Foreign(f"n{number}", "x", f"b{number}", {"bridge": {"name": f"b{number}"}, "ipv4": ipv4,
                                                         "port_forwards": forwards})  # fmt: skip

    first, second = fit(lab(1), lab(2))
    assert [one["port"] for one in first.options["port_forwards"]] == [80, 8001]
    assert [one["port"] for one in second.options["port_forwards"]] == [8002]
    assert "left out: port_forwards[0].port" in second.notes[0]


def test_networks_of_ours_come_first() -> None:
    ours = read_network(Options({"name": "lab", "ipv4": {"address": "192.168.80.1/24"}}), HOST)
    options = {"bridge": {"name": "br0"}, "ipv4": {"address": "192.168.80.7/24"}}
    (found,) = fitted([Foreign("lab", "x", "br0", options)], ["lab"], HOST, [ours])
    assert found.name == "lab-2"
    assert "overlaps" in found.stays


@given(HOSTILE, HOSTILE)
def test_every_name_becomes_one(first: str, second: str) -> None:
    assert NAME.fullmatch(network_name(first, second))


@given(st.text(max_size=300))
def test_any_text_is_a_file_of_sections(text: str) -> None:
    for section in Sections([text]).sections:
        for key, _value in section.assignments:
            section.value(key)
            section.boolean(key)
            section.integer(key)


@FEW
@given(st.data())
def test_profiles_and_units_with_hostile_values(data: st.DataObject) -> None:
    def damaged(text: str) -> str:
        lines = text.split("\n")
        for _change in range(3):
            number = data.draw(st.integers(0, len(lines) - 1))
            key, equals, _value = lines[number].partition("=")
            lines[number] = f"{key}{equals}{data.draw(HOSTILE)}"
        return "\n".join(lines)

    facts = host(bridge("nmbr0", "10.42.0.1/24"), bridge("vmbr0", "10.42.1.1/24"))
    check(fit(*shared_networks({"etc/x": damaged(PROFILE)}, facts)))
    units = {"etc/systemd/network/a.netdev": damaged(NETDEV), "etc/systemd/network/a.network": damaged(NETWORK)}
    check(fit(*networkd_networks(NetworkdFiles(units), facts)))


@FEW
@given(
    st.dictionaries(
        st.sampled_from(["dhcp-range", "dhcp-host", "dhcp-option", "domain", "server", "host-record", "srv-host",
                         "cname", "txt-record", "dhcp-boot", "tftp-root", "local", "interface", "listen-address",
                         "port", "x"]),
        st.lists(st.one_of(HOSTILE, st.just("192.168.80.9"), st.just("option:router"), st.just("set:x")), max_size=4),
        max_size=8,
    )
)  # fmt: skip
def test_a_dnsmasq_with_hostile_settings(settings_: dict[str, list[str]]) -> None:
    lines = [f"{name}={','.join(values)}" for name, values in settings_.items()]
    config = server("dhcp-range=192.168.80.50,192.168.80.60", "enable-tftp", *lines)
    facts = host(bridge("br0", "192.168.80.1/24", "fd00:80::1/64"), servers=[config])
    check(fit(plain_bridge("br0", facts)))


@FEW
@given(
    st.dictionaries(
        st.one_of(HOSTILE, st.sampled_from(["ipv4.address", "ipv4.dhcp.ranges", "bridge.mtu", "ipv6.address",
                                            "dns.domain", "bridge.hwaddr", "bridge.external_interfaces",
                                            "ipv4.nat.address"])),
        HOSTILE,
        max_size=6,
    ),
    HOSTILE,
    HOSTILE,
)  # fmt: skip
def test_networks_of_programs_with_hostile_values(config: dict[str, str], name: str, description: str) -> None:
    item = {**BRIDGE, "name": name, "description": description, "config": {**BRIDGE["config"], **config}}  # type: ignore[dict-item]
    check(fit(*managed_networks(json.dumps([item, item]), "incus", host())))
    docker = json.dumps([{"Name": name, "Driver": "bridge", "Options": {"com.docker.network.bridge.name": "br7"}}])
    podman = {name: json.dumps({"name": description, "network_interface": "br8"})}
    check(fit(*container_networks(docker, podman, host(bridge("br7"), bridge("br8")))))
