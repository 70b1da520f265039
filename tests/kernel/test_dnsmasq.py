# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fragments with a real dnsmasq, real DHCP clients and queries. The letters are those of the matrix cases."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption, VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.files import File, write_files
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.render import RenderContext, hosts_files, render
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import DnsmasqFailed, NoUsableDnsmasq
from kernel.dhcp_client import take_leases
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAN_ADDRESS,
    LOCAL,
    NAMED_ADDRESS,
    OK,
    REFUSED,
    Daemon,
    DnsmasqTestbed,
    Observation,
    get_lease,
    new_testbed,
    observe,
    open_folder,
    resolve,
    running,
    serving,
)
from kernel.polling import eventually

LAN_RANGE = "dhcp-range=10.1.0.100,10.1.0.150,1h\n"

LAB: dict[str, Any] = {
    "name": "lab",
    "instance": "system",
    "interface": "virt0",
    "address": "192.168.100.1/24",
    "ranges": [{"start": "192.168.100.2", "end": "192.168.100.200", "lease_time": "12h"}],
    "domain": "virt.test",
}

# Case: arguments, configuration, whether the interface must be listed, whether guests get DNS.
SERVED_CASES = {
    "a-stock": (LOCAL, "", False, True),
    "a2-no-local-service": ((), "", False, True),
    "a3-local-service-host": ((), "local-service=host\n", True, True),
    "a4-lo-only": ((), "interface=lo\nbind-interfaces\n", True, True),
    "b-interface": (LOCAL, "interface=eth0\n", True, True),
    "b-interface-by-argument": (("-i", "eth0", *LOCAL), "", True, True),
    "c-lan-range": (LOCAL, LAN_RANGE, False, True),
    "c2-lan-range-interface": (LOCAL, f"{LAN_RANGE}interface=eth0\n", True, True),
    "d1-except-uplink": (LOCAL, "except-interface=up0\n", False, True),
    "d2-no-dhcp-on-lan": (LOCAL, "no-dhcp-interface=eth0\n", False, True),
    "d3-listen-address": (LOCAL, "listen-address=10.1.0.1,127.0.0.1\n", True, True),
    "e-bind-interfaces": (LOCAL, "bind-interfaces\n", False, True),
    "e2-bind-interfaces-interface": (LOCAL, "bind-interfaces\ninterface=eth0\n", True, True),
    "e3-bind-interfaces-listen": (LOCAL, "bind-interfaces\nlisten-address=10.1.0.1\n", True, True),
    "f-bind-dynamic": (LOCAL, "bind-dynamic\n", False, True),
    "f2-bind-dynamic-interface": (LOCAL, "bind-dynamic\ninterface=eth0\n", True, True),
    "i-no-dns": (LOCAL, "port=0\n", False, False),
    "i2-no-dns-interface": (LOCAL, "port=0\ninterface=eth0\n", True, False),
}


@dataclass(frozen=True)
class Outcome:
    """The services that everybody gets before and after a run of the reconciler."""

    before: Observation
    after: Observation
    fragment: str
    notes: list[str]


def outcome(arguments: tuple[str, ...], config: str) -> Outcome:
    with open_folder() as folder, new_testbed() as testbed, serving(testbed, folder, config, arguments) as daemon:
        testbed.bridge()
        testbed.plug()
        before = observe(testbed, folder)
        plan = daemon.converge(LAB)
        return Outcome(before, observe(testbed, folder), daemon.fragments["virtnet-lab.conf"], list(plan.notes))


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Outcome]]]:
    """Runs the selected cases, each in its own testbed and several in parallel: they mostly wait."""
    parameters = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(6) as pool:
        yield {
            case: pool.submit(outcome, *SERVED_CASES[case][:2])
            for case in (parameter.get("case") for parameter in parameters)
            if case in SERVED_CASES
        }


@pytest.mark.parametrize("case", SERVED_CASES)
def test_the_guest_is_served_and_nothing_changes_for_others(outcomes: dict[str, Future[Outcome]], case: str) -> None:
    _, _, listed, dns = SERVED_CASES[case]
    outcome = outcomes[case].result()
    assert not outcome.before.guest_lease
    assert outcome.after.guest_lease
    assert outcome.after.guest_dns == (OK if dns else REFUSED)
    assert outcome.after.others == outcome.before.others
    assert ("interface=virt0" in outcome.fragment) is listed
    assert bool(outcome.notes) is not dns


def fragment(**options: Any) -> dict[str, Any]:
    return {**LAB, **options}


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        ("except-interface=virt*\n", "except-interface=virt*"),
        ("no-dhcp-interface=virt0\n", "no-dhcp-interface=virt0"),
        ("auth-server=ns.zone.test,virt0\nauth-zone=zone.test\n", "auth-server=ns.zone.test,virt0"),
        ("dhcp-ignore=tag:!trusted\n", "dhcp-ignore=tag:!trusted"),
    ],
    ids=["d4-except-bridges", "d5-no-dhcp-on-bridge", "auth-server", "dhcp-ignore"],
)
def test_a_refused_configuration_is_reported_and_nothing_changed(
    testbed: DnsmasqTestbed, tmp_path: Path, config: str, setting: str
) -> None:
    with serving(testbed, tmp_path, config) as daemon:
        with pytest.raises(NoUsableDnsmasq, match="virt0.*take virt0 out of that setting") as error:
            daemon.converge(LAB)
        assert setting in str(error.value)
        assert f"{tmp_path}/etc/dnsmasq.conf" in str(error.value)
        assert (daemon.restarts, daemon.fragments) == (0, {})


@pytest.mark.parametrize("case", ["d4", "d5", "auth", "ignore"])
def test_a_refused_configuration_would_not_work(testbed: DnsmasqTestbed, tmp_path: Path, case: str) -> None:
    """A refused fragment would not work: it is written by hand here."""
    config = {
        "d4": "except-interface=virt*\n",
        "d5": "no-dhcp-interface=virt0\n",
        "auth": "auth-server=ns.zone.test,virt0\nauth-zone=zone.test\n",
        "ignore": "dhcp-ignore=tag:!trusted\n",
    }[case]
    with serving(testbed, tmp_path, config) as daemon:
        write_fragment(daemon, FragmentSpec.from_options(Options(LAB)), RenderContext())
        assert not (get_lease(testbed.guest, tmp_path) and resolve(testbed.guest, BRIDGE_ADDRESS) == NAMED_ADDRESS)


def write_fragment(daemon: Daemon, spec: FragmentSpec, context: RenderContext) -> None:
    context = replace(context, hosts_folder=daemon.paths.dnsmasq_hosts)
    (daemon.folder / f"etc/dnsmasq.d/virtnet-{spec.name}.conf").write_text(render(spec, context))
    write_files(File(path, text) for path, text in hosts_files(spec, context).items())
    daemon.restart()


def test_except_interface_yields_to_a_listed_address(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, "except-interface=virt*\nlisten-address=192.168.100.1,10.1.0.1\n") as daemon:
        daemon.converge(LAB)
        assert get_lease(testbed.guest, tmp_path)["ip"].startswith("192.168.100.")
        assert resolve(testbed.guest, BRIDGE_ADDRESS) == NAMED_ADDRESS


def test_unread_folder_is_refused_with_the_line_to_add(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    daemon = Daemon(testbed.host, tmp_path, read_folder=False)
    with running(daemon):
        with pytest.raises(NoUsableDnsmasq) as error:
            daemon.converge(LAB)
        line, _, place = str(error.value).partition("add the line '")[2].partition("' to ")
        assert daemon.restarts == 0
        # The suggested line fixes it.
        with Path(place).open("a") as stream:
            stream.write(f"{line}\n")
        daemon.converge(LAB)
        assert get_lease(testbed.guest, tmp_path)


def test_guests_get_a_lease_where_unknown_ones_are_ignored(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, f"dhcp-ignore=tag:!known\n{LAN_RANGE}") as daemon:
        daemon.converge(LAB)
        observation = observe(testbed, tmp_path)
    assert observation.guest_lease
    assert not observation.lan_dhcp


def test_names_resolve_short_full_and_reverse(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(LAB)
        lease = get_lease(testbed.guest, tmp_path, "vmone")
        for namespace, server in ((testbed.guest, BRIDGE_ADDRESS), (testbed.host, "127.0.0.1")):
            assert resolve(namespace, server, "vmone") == lease["ip"]
            assert resolve(namespace, server, "vmone.virt.test") == lease["ip"]
            assert resolve(namespace, server, reverse(lease["ip"]), "PTR") == "vmone.virt.test."
    assert lease["domain"] == "virt.test"
    assert (lease["router"], lease["dns"], lease["subnet"]) == (BRIDGE_ADDRESS, BRIDGE_ADDRESS, "255.255.255.0")


def reverse(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


@pytest.mark.parametrize("local_only", [True, False])
def test_unknown_names_of_the_domain_are_asked_for_elsewhere_unless_local_only(
    testbed: DnsmasqTestbed, tmp_path: Path, local_only: bool
) -> None:
    other = tmp_path / "upstream"
    other.mkdir()
    upstream = Daemon(testbed.uplink, other, "address=/virt.test/203.0.113.9\n", ())
    with running(upstream), serving(testbed, tmp_path, "server=10.99.0.2\n") as daemon:
        daemon.converge(fragment(local_only=local_only))
        get_lease(testbed.guest, tmp_path)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "nobody.virt.test") == ("empty" if local_only else "203.0.113.9")


def test_nothing_is_offered_that_was_switched_off_even_if_the_system_offers_it(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    system = f"{LAN_RANGE}dhcp-option=option:router,10.1.0.254\ndhcp-option=option:dns-server,10.1.0.253\n"
    with serving(testbed, tmp_path, system) as daemon:
        daemon.converge(fragment(router=False, dns=False))
        lease = get_lease(testbed.guest, tmp_path)
    assert lease["ip"]
    assert "router" not in lease
    assert "dns" not in lease


def test_options_reach_the_guest_unaltered(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    text = 'http://wpad/a b#"c\\d'
    options = {"ntp-server": ["192.168.100.7", "192.168.100.8"], "26": 1400, "252": text, "router": ""}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(fragment(options={**options, "domain-search": "a.test,b.test"}))
        lease = get_lease(testbed.guest, tmp_path)
    assert lease["ntpsrv"] == "192.168.100.7 192.168.100.8"
    assert lease["mtu"] == "1400"
    assert lease["wpad"] == text
    assert lease["search"] == "a.test b.test"
    assert "router" not in lease


@pytest.mark.parametrize("address", ["192.168.100.77", "192.168.100.240"], ids=["inside", "outside"])
def test_static_host_gets_its_address_inside_and_outside_the_range(
    testbed: DnsmasqTestbed, tmp_path: Path, address: str
) -> None:
    host = {"mac": "52:54:00:00:00:01", "name": "web", "ip": address, "lease_time": "3d"}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(fragment(hosts=[host]))
        lease = get_lease(testbed.guest, tmp_path)
        assert resolve(testbed.host, "127.0.0.1", "web.virt.test") == address
    assert (lease["ip"], lease["lease"], lease["hostname"]) == (address, str(3 * 86400), "web")


def test_only_static_hosts_are_served_where_there_is_no_range(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    other_host = {"mac": "52:54:00:00:00:02", "ip": "192.168.100.78"}
    own_host = {"mac": "52:54:00:00:00:01", "ip": "192.168.100.77"}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(fragment(ranges=[], hosts=[other_host]))
        assert not get_lease(testbed.guest, tmp_path)
        daemon.converge(fragment(ranges=[], hosts=[other_host, own_host]))
        assert get_lease(testbed.guest, tmp_path)["ip"] == "192.168.100.77"


def test_dots_in_the_names_of_network_and_bridge(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.delete_bridges()
    testbed.bridge("vn-a.b_c-1")
    testbed.plug("vn-a.b_c-1")
    with serving(testbed, tmp_path, "interface=eth0\n") as daemon:
        daemon.converge(fragment(name="a.b_c-1", interface="vn-a.b_c-1", options={"mtu": 1400}))
        lease = get_lease(testbed.guest, tmp_path)
        assert resolve(testbed.guest, BRIDGE_ADDRESS) == NAMED_ADDRESS
    assert lease["mtu"] == "1400"


def test_ranges_hold_for_their_own_bridge_alone(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    """Nothing is served on a second bridge with an address of the same subnet."""
    testbed.delete_bridges()
    testbed.bridge("other0")
    testbed.plug("other0")
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(LAB)
        assert not get_lease(testbed.guest, tmp_path)


def test_a_range_may_contain_the_address_of_the_host_which_no_client_gets(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge({**LAB, "ranges": [{"start": BRIDGE_ADDRESS, "end": "192.168.100.3", "lease_time": "12h"}]})
        assert sorted(take_leases(testbed.guest, 2).values()) == ["192.168.100.2", "192.168.100.3"]


def test_second_run_changes_nothing_and_does_not_restart(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        assert daemon.converge(LAB, check=True).changes == daemon.converge(LAB).changes
        inode = (tmp_path / "etc/dnsmasq.d/virtnet-lab.conf").stat().st_ino
        pid = daemon.pid
        assert not daemon.converge(LAB).changes
        assert (daemon.restarts, daemon.pid) == (1, pid)
        assert (tmp_path / "etc/dnsmasq.d/virtnet-lab.conf").stat().st_ino == inode


def test_many_changes_cost_one_restart_and_unchanged_files_stay(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.bridge("virt1", "192.168.101.1/24")
    second = {"name": "two", "instance": "system", "interface": "virt1", "address": "192.168.101.1/24"}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(LAB, second)
        inode = (tmp_path / "etc/dnsmasq.d/virtnet-two.conf").stat().st_ino
        plan = daemon.converge(fragment(router=False), second)
        assert daemon.restarts == 2
        assert [str(change) for change in plan.changes] == ["lab: virtnet-lab.conf changed (dhcp-option)"]
        assert (tmp_path / "etc/dnsmasq.d/virtnet-two.conf").stat().st_ino == inode


def test_check_mode_touches_nothing(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        assert daemon.converge(LAB, check=True).changes
        assert (daemon.restarts, daemon.fragments) == (0, {})


def test_absent_and_purge_remove_only_what_they_name(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        foreign = tmp_path / "etc/dnsmasq.d/virtnet-notes.txt"
        foreign.write_text("# not a fragment\n")
        second = {"name": "two", "instance": "system", "interface": "virt1", "address": "192.168.101.1/24"}
        daemon.converge(LAB, second)
        daemon.converge({"name": "lab", "state": "absent"})
        assert sorted(daemon.fragments) == ["virtnet-notes.txt", "virtnet-two.conf"]
        assert not get_lease(testbed.guest, tmp_path)
        daemon.converge(LAB, purge=True)
        assert sorted(daemon.fragments) == ["virtnet-lab.conf", "virtnet-notes.txt"]
        daemon.converge(purge=True)
        assert sorted(daemon.fragments) == ["virtnet-notes.txt"]


def test_the_interface_line_follows_changes_of_the_configuration(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(LAB)
        daemon.write("interface=eth0\n")
        plan = daemon.converge(LAB)
        assert [str(change) for change in plan.changes] == ["lab: virtnet-lab.conf changed (interface)"]
        assert get_lease(testbed.guest, tmp_path)
        daemon.write("")
        daemon.converge(LAB)
        assert "interface=virt0" not in daemon.fragments["virtnet-lab.conf"]
        assert resolve(testbed.lan, LAN_ADDRESS) == NAMED_ADDRESS


def test_a_syntax_error_of_the_administrator_is_reported_before_any_change(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.write("no-such-option\n")
        with pytest.raises(VirtnetError, match="bad option in line 5 of .*/etc/dnsmasq.conf: 'no-such-option'"):
            daemon.converge(LAB)
        assert (daemon.restarts, daemon.fragments) == (0, {})
        assert resolve(testbed.lan, LAN_ADDRESS) == NAMED_ADDRESS


def test_an_unknown_dhcp_option_is_reported_before_any_change(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        with pytest.raises(
            VirtnetError, match="dhcp-option in line 15 of .*virtnet-lab.conf: .*no-such-thing"
        ) as refused:
            daemon.converge(fragment(options={"no-such-thing": "1"}))
        assert ": network 'lab': bad" in str(refused.value)
        assert str(refused.value).endswith("; put right ipv4.dhcp.options or dnsmasq.options")
        with pytest.raises(VirtnetError, match="no-such-thing"):
            daemon.converge(fragment(options={"no-such-thing": "1"}), check=True)
        assert (daemon.restarts, daemon.fragments) == (0, {})


# The user's own lines: for the guests of the network alone, and before what is filled in.
RAW = [
    "dhcp-option=3,192.168.100.77",
    "dhcp-option=option:dns-server,192.168.100.78",
    "dhcp-vendorclass=set:busy,udhcp",
    "dhcp-option=tag:busy,42,192.168.100.79",
    # For all others, although it is written after it.
    "dhcp-option=42,192.168.100.80",
    "dhcp-option=tag:!busy,26,1400",
]


def test_lines_of_the_user_hold_for_the_guests_of_the_network_alone(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, LAN_RANGE) as daemon:
        plan = daemon.converge(fragment(raw=RAW))
        assert plan.result[0]["instance"] == "system"
        guest, lan = get_lease(testbed.guest, tmp_path), get_lease(testbed.lan, tmp_path)
        assert (guest["router"], guest["dns"], guest["ntpsrv"]) == (
            "192.168.100.77",
            "192.168.100.78",
            "192.168.100.79",
        )
        assert "mtu" not in guest
        assert (lan["router"], lan["dns"], lan.get("ntpsrv"), lan.get("mtu")) == (LAN_ADDRESS, LAN_ADDRESS, None, None)
        daemon.converge(fragment(raw=["dhcp-ignore=tag:!known"]))
        assert not get_lease(testbed.guest, tmp_path)
        assert get_lease(testbed.lan, tmp_path)


def test_lines_of_the_user_win_in_a_private_dnsmasq_too(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, "port=0\n") as daemon:
        plan = daemon.converge(fragment(raw=RAW, instance="private"))
        assert plan.result[0]["instance"] == "private"
        guest = get_lease(testbed.guest, tmp_path)
    assert (guest["router"], guest["dns"], guest["ntpsrv"]) == ("192.168.100.77", "192.168.100.78", "192.168.100.79")


def test_a_name_server_of_the_user_is_told_where_the_host_is_none(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(fragment(dns=False, raw=["dhcp-option=6,192.168.100.78"]))
        assert get_lease(testbed.guest, tmp_path)["dns"] == "192.168.100.78"


def test_what_is_for_a_whole_dnsmasq_is_refused_beside_one_that_listens_everywhere(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path) as daemon:
        for raw in (["stop-dns-rebind"], ["dhcp-ignore=tag:!known", "filter-AAAA"]):
            with pytest.raises(
                NoUsableDnsmasq, match="is for a whole dnsmasq; and a private dnsmasq cannot .*bind-dynamic"
            ):
                daemon.converge(fragment(raw=raw, instance="auto"))
        assert (daemon.restarts, daemon.fragments) == (0, {})
        daemon.write("stop-dns-rebind\n")
        daemon.restart()
        assert daemon.converge(fragment(raw=["stop-dns-rebind"], instance="auto")).result[0]["instance"] == "system"


PORT_OF_DHCP = ("0.0.0.0", 67)


@contextlib.contextmanager
def other_program(testbed: DnsmasqTestbed) -> Iterator[socket.socket]:
    """A socket of another program, such as libvirt's own dnsmasq."""
    with testbed.host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        yield holder


def test_a_port_in_use_is_reported_with_its_process_before_any_change(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        with (
            other_program(testbed) as holder,
            pytest.raises(NoUsableDnsmasq, match=rf"UDP port 67 .*\(process {os.getpid()}\) holds it"),
        ):
            holder.bind(PORT_OF_DHCP)
            daemon.converge(LAB)
        assert (daemon.restarts, daemon.fragments) == (0, {})
        daemon.converge(LAB)
        # Now dnsmasq itself holds the port.
        daemon.converge(fragment(dns=False))


def test_a_failed_restart_restores_the_old_fragments_and_reports_the_cause(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path, "bind-dynamic\n") as daemon:
        daemon.converge({**LAB, "ranges": []})
        before = daemon.fragments
        with (
            other_program(testbed) as holder,
            pytest.raises(DnsmasqFailed, match="Address already in use; put back: "),
        ):
            daemon.fault = partial(holder.bind, PORT_OF_DHCP)
            daemon.converge(LAB)
        assert daemon.fragments == before
        assert resolve(testbed.lan, LAN_ADDRESS) == NAMED_ADDRESS
        assert not (tmp_path / "run/virtnet/dnsmasq-restart-due").exists()
        daemon.converge(LAB)
        assert get_lease(testbed.guest, tmp_path)


@pytest.mark.parametrize("hidden", [("-i", "eth0"), ("-I", "virt0")], ids=" ".join)
def test_a_dnsmasq_that_does_not_serve_the_bridge_is_rolled_back(
    testbed: DnsmasqTestbed, tmp_path: Path, hidden: tuple[str, ...]
) -> None:
    """The check tests the service itself: here dnsmasq starts with arguments that the engine cannot see."""
    with serving(testbed, tmp_path) as daemon:
        daemon.hidden_arguments = hidden
        with pytest.raises(DnsmasqFailed, match="does not answer DNS queries to 192.168.100.1 on virt0"):
            daemon.converge(LAB)
        assert daemon.fragments == {}


def test_files_are_put_back_where_a_rule_of_the_host_drops_what_it_asks_itself(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path) as daemon:
        before = daemon.fragments
        # send(2) of a packet that a rule drops fails with EPERM.
        testbed.host.run(
            "nft", "add table inet panic; add chain inet panic out { type filter hook output priority 0; }"
        )
        testbed.host.run("nft", "add rule inet panic out udp dport 53 drop")
        try:
            with pytest.raises(DnsmasqFailed, match="does not answer DNS queries"):
                daemon.converge(LAB)
        finally:
            testbed.host.run("nft", "delete table inet panic")
        assert daemon.fragments == before


def test_interrupted_run_is_completed_by_the_next(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        write_fragment(daemon, FragmentSpec.from_options(Options(LAB)), RenderContext(version=(2, 90)))
        (tmp_path / "run/virtnet").mkdir(parents=True, exist_ok=True)
        (tmp_path / "run/virtnet/dnsmasq-restart-due").touch()
        daemon.restarts = 0
        plan = daemon.converge(LAB)
        assert [str(change) for change in plan.changes] == [
            "dnsmasq.service: virtnet.conf created",
            "dnsmasq.service: restarted (an earlier run was interrupted)",
        ]
        assert daemon.restarts == 1
        assert not daemon.converge(LAB).changes


def test_a_bridge_created_after_a_binding_dnsmasq_is_served_after_the_next_run(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path, "bind-interfaces\n") as daemon:
        testbed.delete_bridges()
        # A dnsmasq that starts during duplicate address detection binds again at the next event.
        assert eventually(lambda: not testbed.host.run("ip", "-6", "address", "show", "tentative").stdout)
        daemon.converge(LAB)
        testbed.bridge()
        testbed.plug()
        get_lease(testbed.guest, tmp_path)
        assert resolve(testbed.guest, BRIDGE_ADDRESS) == REFUSED
        plan = daemon.converge(LAB)
        assert "does not listen on the bridge of lab" in str(plan.changes[0])
        assert resolve(testbed.guest, BRIDGE_ADDRESS) == NAMED_ADDRESS
        assert not daemon.converge(LAB).changes


def test_missing_bridge_that_would_keep_dnsmasq_from_starting_is_refused(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path, "bind-interfaces\ninterface=eth0\n") as daemon:
        testbed.delete_bridges()
        assert daemon.converge(LAB, check=True).changes
        with pytest.raises(InvalidOption, match=r"fragments\[0\].interface: 'virt0' .* make the bridge first"):
            daemon.converge(LAB)
        assert (daemon.restarts, daemon.fragments) == (0, {})
        assert resolve(testbed.lan, LAN_ADDRESS) == NAMED_ADDRESS


def test_a_missing_bridge_is_served_once_it_is_created(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.delete_bridges()
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(LAB)
        testbed.bridge()
        testbed.plug()
        assert get_lease(testbed.guest, tmp_path)
        assert resolve(testbed.guest, BRIDGE_ADDRESS) == NAMED_ADDRESS


def test_stopped_service_is_started(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.stop()
        plan = daemon.converge(LAB)
        assert str(plan.changes[-1]) == "dnsmasq.service: started (was inactive)"
        assert get_lease(testbed.guest, tmp_path)


def test_before_the_start_of_dnsmasq_at_boot_only_files_are_written(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    daemon = Daemon(testbed.host, tmp_path, ordered_after_us=True)
    plan = daemon.converge(LAB)
    assert all(change.concerns_file for change in plan.changes)
    assert (daemon.restarts, daemon.queued) == (0, 0)
    with running(daemon):
        assert get_lease(testbed.guest, tmp_path)


def test_restart_is_queued_while_our_own_service_starts(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.ordered_after_us = True
        daemon.converge(LAB)
        assert (daemon.restarts, daemon.queued) == (0, 1)


def test_lease_survives_a_change_of_another_network(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(LAB)
        first = get_lease(testbed.guest, tmp_path, "vmone")
        daemon.converge(LAB, {"name": "two", "instance": "system", "interface": "virt1", "address": "192.168.101.1/24"})
        assert resolve(testbed.host, "127.0.0.1", "vmone.virt.test") == first["ip"]
        assert get_lease(testbed.guest, tmp_path, "vmone")["ip"] == first["ip"]


def test_hundred_networks_in_one_run(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    def network(i: int) -> dict[str, Any]:
        subnet = f"172.20.{i}"
        return {
            "name": f"n{i}",
            "instance": "system",
            "interface": f"vn-n{i}",
            "address": f"{subnet}.1/24",
            "ranges": [{"start": f"{subnet}.2", "end": f"{subnet}.254"}],
            "domain": f"n{i}.test",
            "hosts": [{"mac": f"52:54:00:01:00:{i:02x}", "name": "web", "ip": f"{subnet}.9"}],
        }

    networks = [network(i) for i in range(1, 101)]
    for options in (networks[0], networks[99]):
        testbed.bridge(options["interface"], options["address"])
    with serving(testbed, tmp_path) as daemon:
        plan = daemon.converge(*networks)
        assert (len([change for change in plan.changes if change.file]), daemon.restarts) == (100, 1)
        testbed.unplug()
        testbed.plug("vn-n100")
        assert get_lease(testbed.guest, tmp_path)["ip"].startswith("172.20.100.")
        assert not daemon.converge(*networks, check=True).changes
