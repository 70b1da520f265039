"""The networks are ours, libvirt lists them, and their guests are still connected."""

from __future__ import annotations

from lab.internet import ADDRESS
from lab.run import eventually

TIMEOUT = 60
OURS = {"default", "office", "passing"}
# What says why a name is not resolved: the name servers of the host and the guests, and what the servers logged.
STATE_OF_NAMES = (
    "head -n 20 /etc/resolv.conf /etc/netns/*/resolv.conf; ss -lunp; "
    "journalctl --no-pager -n 40 -o short-precise -u 'virtnet-dnsmasq@*' -u virtnet-resolver"
)


def test_libvirt_lists_the_registered_networks_in_their_former_states(libvirt) -> None:
    assert libvirt.networks() == {
        "default": "active yes yes",
        "office": "active yes yes",
        "passing": "active no no",
        "tapped": "active no yes",
        "resting": "inactive no yes",
    }
    assert {name: libvirt.mode(name) for name in OURS} == dict.fromkeys(OURS, "bridge")
    assert libvirt.virsh("net-uuid", "office").strip() == "0f1e2d3c-4b5a-4697-8899-aabbccddeeff"
    assert libvirt.mode("resting") == ""


def test_adopted_networks_are_defined_as_in_libvirt(definitions) -> None:
    assert set(definitions) == OURS
    office = definitions["office"]
    assert (office["mode"], office["uuid"]) == ("nat", "0f1e2d3c-4b5a-4697-8899-aabbccddeeff")
    assert (office["bridge"]["name"], office["bridge"]["mac"]) == ("br-office", "52:54:00:aa:bb:01")
    assert (office["ipv4"]["address"], office["ipv6"]["address"]) == ("10.80.0.1/24", "fd5e:80::1/64")
    assert definitions["passing"]["mode"] == "isolated"
    assert not definitions["passing"]["persistent"]


def test_routes_of_adopted_networks_are_set(lab_host) -> None:
    assert lab_host.run(["ip", "route", "show", "10.89.0.0/24"]).startswith("10.89.0.0/24 via 10.81.0.9 dev br-passing")


def test_guests_kept_their_links_addresses_and_leases(lab_host, roamer, clerk, gets_address) -> None:
    links = lab_host.run(["ip", "-o", "link"])
    assert " master virbr0 " in next(line for line in links.splitlines() if roamer.tap in line)
    assert " master br-office " in next(line for line in links.splitlines() if clerk.tap in line)
    assert "vnaside" not in links + lab_host.run(["nft", "list", "table", "inet", "virtnet"])
    assert clerk.address() == "10.80.0.7"
    leases = lab_host.run(["/usr/local/lib/virtnet/virtnet", "leases"])
    assert clerk.address() in leases and roamer.address() in leases
    assert gets_address(roamer, roamer.address()) and gets_address(clerk, "10.80.0.7")


def test_names_and_the_outside_are_reached(lab_host, roamer, clerk) -> None:
    wanted = {"printer": ["10.80.0.9"], "clerk.office.test": ["10.80.0.7"], "www.internet.test": [ADDRESS]}
    guests = {"printer": clerk, "clerk.office.test": clerk, "www.internet.test": roamer}
    resolved: dict[str, list[str]] = {}

    def all_are_resolved() -> bool:
        resolved.update({name: guests[name].resolves(name) for name in wanted if resolved.get(name) != wanted[name]})
        return resolved == wanted

    assert eventually(all_are_resolved, TIMEOUT), f"{resolved}\n{lab_host.run(['sh', '-c', STATE_OF_NAMES])}"
    assert roamer.fetch("http://www.internet.test/")


def test_libvirt_still_has_its_guest_on_the_network(libvirt) -> None:
    assert libvirt.ports("default") == ["5d744f21-ba4a-4d6e-bdb2-30a35ff3207d"]


def test_no_dnsmasq_and_no_rules_of_libvirts_are_left(lab_host) -> None:
    assert "/var/lib/libvirt/dnsmasq" not in lab_host.run(["ps", "axww"])
    # Our table has names of bridges only in sets and maps.
    assert 'ifname "virbr0"' not in lab_host.run(["nft", "list", "ruleset"])
