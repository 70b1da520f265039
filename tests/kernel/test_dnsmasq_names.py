# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS records, forwarders, and rare DHCP options with a real dnsmasq."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.records import lost_forwarders, read_names
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import NoUsableDnsmasq
from kernel.dhcp_client import boot_offer, take_leases
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAN_ADDRESS,
    Daemon,
    DnsmasqTestbed,
    NamedNamespace,
    get_lease,
    resolve,
    running,
    serving,
)
from kernel.dnsmasq_testbed import (
    LAB_FRAGMENT as LAB,
)

CORP = {"domain": "corp.test", "address": "10.99.0.2", "port": 5353}
NAMES: dict[str, Any] = {
    "hosts": [
        {"ip": "192.168.100.1", "names": ["gw", "router"]},
        {"ip": "fd00:100::1", "names": ["gw"]},
        {"ip": "192.168.100.9", "names": "pool"},
        {"ip": "192.168.100.10", "names": "pool"},
    ],
    "srv": [{"service": "ldap", "protocol": "tcp", "target": "gw", "port": 389, "priority": 1, "weight": 2}],
    "txt": [{"name": "_dmarc", "value": ['v=x, "p"\\', "é;#"]}],
    "cname": [{"name": "www", "target": "gw"}],
}


@pytest.fixture(autouse=True)
def guest_has_an_address(testbed: DnsmasqTestbed) -> None:
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")


def lab(**options: Any) -> dict[str, Any]:
    return {**LAB, **options}


def test_dns_records_are_served(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    def answers(name: str, kind: str = "A") -> list[str]:
        return sorted(resolve(testbed.guest, BRIDGE_ADDRESS, name, kind).splitlines())

    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(names=NAMES))
        assert answers("gw.virt.test") == answers("router.virt.test") == ["192.168.100.1"]
        assert answers("gw.virt.test", "AAAA") == ["fd00:100::1"]
        assert answers("pool.virt.test") == ["192.168.100.10", "192.168.100.9"]
        assert answers("1.100.168.192.in-addr.arpa", "PTR") == ["gw.virt.test."]
        assert answers("_ldap._tcp.virt.test", "SRV") == ["1 2 389 gw.virt.test."]
        assert answers("_dmarc.virt.test", "TXT") == ['"v=x, \\"p\\"\\\\" "\\195\\169;#"']
        assert answers("www.virt.test") == ["192.168.100.1", "gw.virt.test."]
        assert answers("gw") == ["empty"]
        assert not daemon.converge(lab(names=NAMES)).changes


def test_a_private_dnsmasq_answers_the_plain_names_of_records_too(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    def answers(name: str, kind: str = "A") -> list[str]:
        return sorted(resolve(testbed.guest, BRIDGE_ADDRESS, name, kind).splitlines())

    hosts = [*NAMES["hosts"], {"ip": "10.9.0.1", "names": ["far"]}]
    with serving(testbed, tmp_path, "bind-dynamic\nexcept-interface=virt0\n") as daemon:
        daemon.converge(lab(instance="private", names={"hosts": hosts}))
        assert answers("gw") == answers("gw.virt.test") == ["192.168.100.1"]
        assert answers("pool") == ["192.168.100.10", "192.168.100.9"]
        assert answers("1.100.168.192.in-addr.arpa", "PTR") == ["gw.virt.test."]
        # This dnsmasq may serve other networks too, whose guests would get an address outside of the subnet.
        assert answers("far.virt.test") == ["10.9.0.1"]
        assert answers("far") == ["empty"]
        # With records that only a dnsmasq of the network's own can have, the name is nobody else's.
        alone = [*hosts, {"ip": "192.168.100.1", "names": ["gw.example.org"]}]
        daemon.converge(lab(instance="private", names={"hosts": alone}))
        assert answers("far") == ["10.9.0.1"]
        assert answers("gw", "AAAA") == ["fd00:100::1"]
        daemon.converge(lab(instance="private", names={"hosts": hosts[1:]}))
        assert answers("gw") == ["empty"]
        assert answers("pool") == ["192.168.100.10", "192.168.100.9"]


@pytest.mark.parametrize("local_only", [True, False])
@pytest.mark.parametrize("instance", ["system", "private"])
def test_all_names_below_a_wildcard_have_its_address(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str, local_only: bool
) -> None:
    def ask(name: str, kind: str = "A") -> str:
        return resolve(testbed.guest, BRIDGE_ADDRESS, name, kind)

    config = "bind-dynamic\nexcept-interface=virt0\n" if instance == "private" else ""
    names = {
        "hosts": [{"ip": "192.168.100.7", "names": ["own.apps.virt.test"]}],
        "wildcards": [{"name": "*.apps", "ip": "192.168.100.8"}, {"name": "*.six", "ip": ["fd00:100::8"]}],
    }
    hosts = [{"mac": "52:54:00:00:00:13", "name": "apps", "ip": "192.168.100.9"}]
    with serving(testbed, tmp_path, config) as daemon:
        options = lab(instance=instance, names=names, hosts=hosts, local_only=local_only)
        daemon.converge(options)
        assert not daemon.converge(options).changes
        assert ask("a.apps.virt.test") == ask("b.a.apps.virt.test") == "192.168.100.8"
        # No server is asked for another type, which would answer that there is no such name.
        assert ask("a.apps.virt.test", "AAAA") == ask("a.apps.virt.test", "TXT") == "empty"
        assert ask("x.six.virt.test", "AAAA") == "fd00:100::8"
        assert ask("own.apps.virt.test") == "192.168.100.7"
        assert ask("apps.virt.test") == "192.168.100.9"
        assert ask("a.virt.test") != "192.168.100.8"
        daemon.converge(lab(instance=instance, names={"hosts": names["hosts"]}, hosts=hosts, local_only=local_only))
        assert ask("a.apps.virt.test") != "192.168.100.8"


def test_a_wildcard_outside_of_the_domain_is_for_the_guests_of_a_private_dnsmasq_alone(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    names = {"wildcards": [{"name": "*.example.org", "ip": "192.168.100.8"}]}
    with serving(testbed, tmp_path, "bind-dynamic\nexcept-interface=virt0\n") as daemon:
        daemon.converge(lab(names=names))
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "www.example.org") == "192.168.100.8"
        assert resolve(testbed.host, "127.0.0.1", "www.example.org") != "192.168.100.8"
    with serving(testbed, tmp_path / "x") as daemon:
        with pytest.raises(NoUsableDnsmasq, match=r"wildcards\[0\].name example.org is outside the network's domain"):
            daemon.converge(lab(names=names))
        other = lab(name="other", interface="virt1", address="192.168.101.1/24", ranges=[])
        same = {"wildcards": [{"name": "apps.virt.test", "ip": "192.168.100.8"}]}
        with pytest.raises(
            InvalidOption, match=r"names.wildcards\[0\]: apps.virt.test is already given in network 'lab'"
        ):
            daemon.converge(lab(names=same), {**other, "names": same})


@pytest.mark.parametrize("local", [True, False])
def test_names_of_addresses_are_asked_for_elsewhere_unless_local(
    testbed: DnsmasqTestbed, tmp_path: Path, local: bool
) -> None:
    other = tmp_path / "upstream"
    other.mkdir()
    upstream = Daemon(testbed.uplink, other, "ptr-record=9.100.168.192.in-addr.arpa,theirs.test\n", ())
    with running(upstream), serving(testbed, tmp_path, "server=10.99.0.2\n") as daemon:
        daemon.converge(lab(names={"local_ptr": local}))
        answer = resolve(testbed.guest, BRIDGE_ADDRESS, "9.100.168.192.in-addr.arpa", "PTR")
    assert answer == ("empty" if local else "theirs.test.")


def test_queries_for_a_domain_go_to_its_server_and_others_do_not(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    other = tmp_path / "upstream"
    other.mkdir()
    upstream = Daemon(
        testbed.uplink, other, "port=5353\naddress=/corp.test/203.0.113.7\naddress=/else.test/203.0.113.8\n", ()
    )
    with running(upstream), serving(testbed, tmp_path) as daemon:
        before = resolve(testbed.lan, LAN_ADDRESS, "x.else.test")
        daemon.converge(lab(names={"forwarders": [{"domain": "corp.test", "address": "10.99.0.2", "port": 5353}]}))
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "www.corp.test") == "203.0.113.7"
        assert (
            resolve(testbed.guest, BRIDGE_ADDRESS, "www.else.test")
            == resolve(testbed.lan, LAN_ADDRESS, "x.else.test")
            == before
        )


@pytest.mark.parametrize(
    ("listed", "lost"),
    [
        ({"forwarders": [{"domain": "corp.test"}, CORP]}, ["forwarders[1].domain"]),
        ({"forwarders": [CORP, {"domain": "corp.test"}]}, ["forwarders[1].domain"]),
        ({"forwarders": [CORP], "wildcards": [{"name": "*.corp.test", "ip": "10.0.0.9"}]}, ["forwarders[0].domain"]),
        ({"forwarders": [CORP, {"domain": "else.test"}]}, []),
        ({"forwarders": [CORP], "wildcards": [{"name": "*.test", "ip": "10.0.0.9"}]}, []),
    ],
)
def test_forwarders_that_are_refused_are_those_that_dnsmasq_does_not_ask(
    testbed: DnsmasqTestbed, tmp_path: Path, listed: dict[str, Any], lost: list[str]
) -> None:
    other = tmp_path / "upstream"
    other.mkdir()
    upstream = Daemon(testbed.uplink, other, "port=5353\naddress=/corp.test/203.0.113.7\n", ())
    with running(upstream), serving(testbed, tmp_path, "bind-dynamic\nexcept-interface=virt0\n") as daemon:
        daemon.converge(lab(names=listed))
        answer = resolve(testbed.guest, BRIDGE_ADDRESS, "www.corp.test")
    assert (answer != "203.0.113.7") == bool(lost)
    assert [option for option, _problem in lost_forwarders(read_names(Options(listed), "", local_only=True))] == lost


def test_servers_of_a_domain_have_ports_and_strict_order_is_that_of_the_list(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    forwarders = [{"domain": "corp.test", "address": "10.99.0.2", "port": port} for port in (5353, 5354)]
    config = "bind-dynamic\nexcept-interface=virt0\n"
    with ExitStack() as stack:
        upstreams = []
        for forwarder in forwarders:
            folder = tmp_path / str(forwarder["port"])
            folder.mkdir()
            answer = f"port={forwarder['port']}\naddress=/corp.test/203.0.113.{str(forwarder['port'])[-1]}\n"
            upstreams.append(stack.enter_context(running(Daemon(testbed.uplink, folder, answer, ()))))
        daemon = stack.enter_context(serving(testbed, tmp_path, config))

        def answers(*listed: dict[str, Any], **options: Any) -> set[str]:
            daemon.converge(lab(names={"forwarders": [*listed]}, **options))
            return {resolve(testbed.guest, BRIDGE_ADDRESS, f"{i}.corp.test") for i in range(6)}

        assert answers(forwarders[0]) == {"203.0.113.3"}
        assert answers(forwarders[1]) == {"203.0.113.4"}
        assert answers(*forwarders, raw=["strict-order"]) == {"203.0.113.3"}
        assert answers(*reversed(forwarders), raw=["strict-order"]) == {"203.0.113.4"}
        everything = {"address": "10.99.0.2", "port": 5353}
        assert answers(everything) == {"203.0.113.3"}
        upstreams[1].stop()
        daemon.converge(lab(names={"forwarders": forwarders[::-1]}, raw=["strict-order"]))
        # The second one is asked when the client asks again, since the first one has not answered.
        asked = testbed.guest.run("dig", "+tries=4", "+time=1", "+short", f"@{BRIDGE_ADDRESS}", "x.corp.test")
        assert "203.0.113.3" in asked.stdout


def test_two_networks_with_one_name_are_refused_before_anything_is_touched(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    two = {"name": "two", "interface": "virt1", "address": "192.168.101.1/24", "domain": "virt.test"}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(names=NAMES))
        fragments = daemon.fragments
        with pytest.raises(InvalidOption, match=r"fragments\[1\].names.cname\[0\]: www.virt.test is already given in"):
            daemon.converge(lab(names=NAMES), {**two, "names": {"cname": [{"name": "www", "target": "b"}]}})
        assert daemon.fragments == fragments


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ({"id": "01:52:54:00:00:00:01"}, ["-x", "0x3d:01525400000001"]),
        ({"id": "red-1"}, ["-x", "0x3d:" + b"red-1".hex(), "-C"]),
        ({"name": "byname"}, ["-x", "hostname:byname"]),
        ({"mac": "52:54:00:00:00:01"}, []),
    ],
    ids=["id-bytes", "id-word", "name", "mac"],
)
def test_static_host_is_known_by(
    testbed: DnsmasqTestbed, tmp_path: Path, host: dict[str, str], client: list[str]
) -> None:
    stranger = {"mac": "52:54:00:00:00:09", "ip": "192.168.100.78"}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(hosts=[{**host, "ip": "192.168.100.77", "lease_time": "20m"}, stranger]))
        lease = lease_with_options(testbed.guest, tmp_path, *client)
    assert (lease["ip"], lease["lease"]) == ("192.168.100.77", "1200")


def lease_with_options(namespace: NamedNamespace, folder: Path, *client: str) -> dict[str, str]:
    """A lease for a client with its own arguments."""
    script = folder / "udhcpc"
    script.write_text(f'#!/bin/sh\n[ "$1" = bound ] && env >{script}.lease\nexit 0\n')
    script.chmod(0o755)
    namespace.run(
        "udhcpc", "-f", "-n", "-q", "-t", "3", "-T", "1", "-i", "eth0", "-s", str(script), *client, check=False
    )
    lease = Path(f"{script}.lease")
    return dict(line.partition("=")[::2] for line in lease.read_text().splitlines()) if lease.exists() else {}


@pytest.mark.parametrize("instance", ["system", "private"])
def test_two_interfaces_of_one_guest_share_its_address_and_name(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    config = "bind-dynamic\nexcept-interface=virt0\n" if instance == "private" else ""
    macs = ["52:54:00:00:00:11", "52:54:00:00:00:12"]
    hosts = [{"mac": macs, "name": "laptop", "ip": "192.168.100.10"}, {"mac": "52:54:00:00:00:13", "name": "other"}]
    with serving(testbed, tmp_path, config) as daemon:
        daemon.converge(lab(instance=instance, hosts=hosts))
        for mac in [*macs, *macs]:
            testbed.unplug()
            testbed.plug(mac=mac)
            assert get_lease(testbed.guest, tmp_path)["ip"] == "192.168.100.10"
            assert resolve(testbed.guest, BRIDGE_ADDRESS, "laptop.virt.test") == "192.168.100.10"


CLIENT_ID = bytes([61, 7]) + b"\xffclone!"
CLONES = [bytes([0x52, 0x54, 0, 3, 0, n]) for n in (1, 2)]


def addresses_of_clones(testbed: DnsmasqTestbed) -> list[str]:
    """The leases of two clones with the same client id, after each of them has asked twice in turns."""
    testbed.guest.run("ip", "address", "flush", "dev", "eth0", "scope", "global")
    answers = [take_leases(testbed.guest, 1, mac, f"clone{mac[5]}", CLIENT_ID)[mac] for mac in CLONES * 2]
    testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
    return answers[2:]


@pytest.mark.parametrize("instance", ["system", "private"])
def test_static_clones_with_one_client_id_keep_their_addresses_and_names(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    config = "bind-dynamic\nexcept-interface=virt0\n" if instance == "private" else ""
    hosts = [{"mac": mac.hex(":"), "ip": f"192.168.100.1{i}", "name": f"web{i}"} for i, mac in enumerate(CLONES)]
    hosts6 = [{"mac": CLONES[0].hex(":"), "ip": "fd00:100::10"}]
    ipv6 = {"address": "fd00:100::1/64", "hosts": hosts6}
    with serving(testbed, tmp_path, config) as daemon:
        daemon.converge(lab(instance=instance, ipv6=ipv6))
        first, second = addresses_of_clones(testbed)
        assert first == second
        # One with a name alone has it from its lease.
        daemon.converge(lab(instance=instance, hosts=[hosts[0], {**hosts[1], "ip": None}], ipv6=ipv6))
        first, second = addresses_of_clones(testbed)
        assert first == "192.168.100.10" != second
        for name, address in (("web0", first), ("web1", second)):
            assert resolve(testbed.guest, BRIDGE_ADDRESS, f"{name}.virt.test") == address
        daemon.converge(lab(instance=instance, hosts=hosts, ipv6=ipv6))
        assert addresses_of_clones(testbed) == ["192.168.100.10", "192.168.100.11"]


@pytest.mark.parametrize(
    ("config", "served_by"),
    [("bind-dynamic\nexcept-interface=virt0\n", "private"), ("dhcp-ignore-clid\n", "system")],
)
def test_clones_get_an_address_each_where_client_ids_are_ignored(
    testbed: DnsmasqTestbed, tmp_path: Path, config: str, served_by: str
) -> None:
    with serving(testbed, tmp_path, config) as daemon:
        daemon.converge(lab())
        first, second = addresses_of_clones(testbed)
        assert (first == second) == (served_by == "private")
        options = lab(ignore_client_ids=True)
        (result,) = daemon.converge(options).result
        assert result["instance"] == served_by
        assert not daemon.converge(options).changes
        first, second = addresses_of_clones(testbed)
        assert first != second
        for name, address in (("clone1", first), ("clone2", second)):
            assert resolve(testbed.guest, BRIDGE_ADDRESS, f"{name}.virt.test") == address


def test_ignored_client_ids_are_refused_where_no_private_dnsmasq_can_run(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path) as daemon:
        with pytest.raises(NoUsableDnsmasq, match=r"ignore_client_ids would hold for everybody .* cannot serve virt0"):
            daemon.converge(lab(ignore_client_ids=True))
        assert not daemon.fragments


def test_lease_times_differ_by_range_and_host(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    ranges = [
        {"start": "192.168.100.10", "end": "192.168.100.10", "lease_time": "10m"},
        {"start": "192.168.100.20", "end": "192.168.100.20", "lease_time": "infinite"},
    ]
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(ranges=ranges))
        lease_times = {}
        for n in range(2):
            testbed.unplug()
            testbed.plug(mac=f"52:54:00:00:00:1{n}")
            lease = get_lease(testbed.guest, tmp_path)
            lease_times[lease["ip"]] = lease["lease"]
    assert lease_times == {"192.168.100.10": "600", "192.168.100.20": "4294967295"}


@pytest.fixture
def strange_folder(tmp_path: Path) -> Path:
    """A folder whose name has characters that are special for dnsmasq."""
    folder = tmp_path / "virtnet, x "
    folder.mkdir()
    return folder


def test_a_guest_gets_its_boot_file_by_dhcp_and_tftp(
    testbed: DnsmasqTestbed, tmp_path: Path, strange_folder: Path
) -> None:
    root = strange_folder
    (root / "pxe linux.0").write_text("boot me")
    boot = {"file": "pxe linux.0"}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(boot=boot, tftp_root=str(root)))
        lease = get_lease(testbed.guest, tmp_path)
        assert (lease["boot_file"], lease["siaddr"]) == ("pxe linux.0", BRIDGE_ADDRESS)
        assert tftp(testbed.guest, BRIDGE_ADDRESS, "pxe linux.0", tmp_path) == "boot me"
        assert not tftp(testbed.lan, LAN_ADDRESS, "pxe linux.0", tmp_path)
        closed = root / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(InvalidOption, match=r"tftp_root: there is no folder '.*/closed' that everybody may read"):
            daemon.converge(lab(boot=boot, tftp_root=str(closed)))
        daemon.converge(lab(boot={**boot, "server": "192.168.100.9"}))
        assert get_lease(testbed.guest, tmp_path)["siaddr"] == "192.168.100.9"


def test_tftp_needs_no_dhcp(testbed: DnsmasqTestbed, tmp_path: Path, strange_folder: Path) -> None:
    (strange_folder / "x").write_text("boot me")
    silent = {name: value for name, value in LAB.items() if name != "ranges"}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge({**silent, "tftp_root": str(strange_folder)})
        assert tftp(testbed.guest, BRIDGE_ADDRESS, "x", tmp_path) == "boot me"
        assert not get_lease(testbed.guest, tmp_path)
        daemon.converge(silent)
        assert not tftp(testbed.guest, BRIDGE_ADDRESS, "x", tmp_path)


def test_tftp_of_the_system_stays_open_to_its_clients(
    testbed: DnsmasqTestbed, tmp_path: Path, strange_folder: Path
) -> None:
    system_folder, our_folder = strange_folder / "theirs", strange_folder / "ours"
    for folder in (system_folder, our_folder):
        folder.mkdir()
        (folder / "x").write_text(folder.name)
    with serving(testbed, tmp_path, f'enable-tftp\ntftp-root="{system_folder}"\n') as daemon:
        daemon.converge(lab(tftp_root=str(our_folder)))
        assert tftp(testbed.guest, BRIDGE_ADDRESS, "x", tmp_path) == "ours"
        assert tftp(testbed.lan, LAN_ADDRESS, "x", tmp_path) == "theirs"


def tftp(namespace: NamedNamespace, server: str, name: str, folder: Path) -> str:
    file = folder / f"got-{namespace.name}"
    file.unlink(missing_ok=True)
    namespace.run("timeout", "3", "busybox", "tftp", "-g", "-l", str(file), "-r", name, server, check=False)
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize(
    ("options", "default_route"),
    [
        ({}, "default via 192.168.100.1"),
        ({"router": "192.168.100.7"}, "default via 192.168.100.7"),
        ({"121": ["10.9.0.0/16", "192.168.100.9", "0.0.0.0/0", "192.168.100.8"]}, "default via 192.168.100.8"),
        ({"router": ""}, ""),
    ],
)
def test_a_guest_with_static_routes_has_a_default_route_too(
    testbed: DnsmasqTestbed, tmp_path: Path, options: dict[str, Any], default_route: str
) -> None:
    routes = {"121": ["10.9.0.0/16", "192.168.100.9"], **options}
    # As RFC 3442 has it, and as the clients of distributions do.
    script = tmp_path / "routes"
    script.write_text(
        '#!/bin/sh\n[ "$1" = bound ] || exit 0\nip addr replace "$ip/$mask" dev $interface\n'
        "set -- $staticroutes; [ $# -gt 0 ] || set -- ${router:+0.0.0.0/0 $router}\n"
        "while [ $# -gt 1 ]; do ip route replace $1 via $2; shift 2; done\n"
    )
    script.chmod(0o755)
    udhcpc = ("udhcpc", "-f", "-n", "-q", "-t", "4", "-T", "1", "-i", "eth0", "-s", str(script))
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(options=routes))
        testbed.guest.run("ip", "address", "flush", "dev", "eth0")
        testbed.guest.run(*udhcpc, "-O", "121")
        listed = testbed.guest.run("ip", "route").stdout
        assert "10.9.0.0/16 via 192.168.100.9" in listed
        assert default_route in listed and ("default" in listed) == bool(default_route)
        if not default_route:
            return
        # A client that does not know static routes has the router.
        testbed.guest.run("ip", "address", "flush", "dev", "eth0")
        testbed.guest.run(*udhcpc, "-o", "-O", "router", "-O", "subnet")
        assert "default via" in testbed.guest.run("ip", "route").stdout


def test_a_guest_is_told_that_there_is_no_proxy(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(options={252: "\n"}))
        assert boot_offer(testbed.guest, b"", 252).options[252] == b"\n"
        daemon.converge(lab(options={252: ""}))
        assert boot_offer(testbed.guest, b"", 252).options[252] == b""
        daemon.converge(lab(options={252: "http://wpad/x,y"}))
        assert boot_offer(testbed.guest, b"", 252).options[252] == b"http://wpad/x,y"


def test_options_by_name_and_number_reach_the_guest(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    options = {
        "classless-static-route": ["10.9.0.0/16", "192.168.100.9"],
        "mtu": "1400",
        "44": "192.168.100.8",
        "224": 'CET-1 "x" #1\\',
    }
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab(options=options))
        lease = lease_with_options(
            testbed.guest, tmp_path, *(word for n in (121, 26, 44, 224) for word in ("-O", str(n)))
        )
    assert lease["staticroutes"] == "10.9.0.0/16 192.168.100.9 0.0.0.0/0 192.168.100.1"
    assert (lease["mtu"], lease["wins"]) == ("1400", "192.168.100.8")
    assert bytes.fromhex(lease["opt224"]) == b'CET-1 "x" #1\\'


@pytest.mark.parametrize("name", ["db.virt.test", "db.other.example", "db"])
def test_dnsmasq_itself_takes_the_first_label_of_the_name_of_a_static_host(
    testbed: DnsmasqTestbed, tmp_path: Path, name: str
) -> None:
    """What static_hosts.py relies on when it gives dnsmasq the first label alone; libvirt gives it the whole name."""
    lines = f"dhcp-host=52:54:00:00:00:bb,{name}\ndhcp-range=192.168.100.60,192.168.100.70\ndomain=virt.test\n"
    with running(Daemon(testbed.host, tmp_path, lines, ())):
        (address,) = take_leases(testbed.guest, 1, bytes.fromhex("5254000000bb"), "something").values()
        assert (
            resolve(testbed.guest, BRIDGE_ADDRESS, "db.virt.test")
            == resolve(testbed.guest, BRIDGE_ADDRESS, "db")
            == address
        )
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "db.other.example") != address
