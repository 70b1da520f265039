# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge in a zone of the user's choice, with a real firewalld."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.firewalld import Firewalld
from kernel.guard_testbed import GuardTestbed, network_without_services, new_testbed
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuardTestbed]:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}", prepend=":")
    with new_testbed(tmp_path) as testbed:
        testbed.host.environment = {"PATH": os.environ["PATH"]}
        yield testbed


@pytest.fixture
def firewalld(testbed: GuardTestbed) -> Firewalld:
    """firewalld with zones of the administrator's."""
    firewalld = Firewalld(testbed.host, testbed.root)
    for zone in ("guests", "visitors"):
        firewalld.ask("--permanent", f"--new-zone={zone}")
        firewalld.ask("--permanent", f"--zone={zone}", "--set-target=ACCEPT")
    firewalld.ask("--reload")
    return firewalld


def lab(zone: str | None) -> dict[str, Any]:
    return network_without_services("lab", ipv4={"address": "192.168.30.1/24"}, bridge={"zone": zone})


OTHER = network_without_services("other", ipv4={"address": "192.168.31.1/24"}, bridge={"zone": "guests"})


def rules_of(testbed: GuardTestbed, network: dict[str, Any]) -> dict[str, Any]:
    """What a run would change of the rules."""
    result: dict[str, Any] = testbed.task("nft", testbed.define(network, check=True)["rules"], check=True)
    return result


def test_a_bridge_is_in_the_zone_of_the_users_choice(testbed: GuardTestbed, firewalld: Firewalld) -> None:
    of_administrator = firewalld.files()

    def zone() -> str:
        return firewalld.ask("--get-zone-of-interface=vn-lab", check=False)

    testbed.run_playbook(lab("guests"))
    guest = testbed.add_guest("vn-lab", "192.168.30.50/24", "192.168.30.1")
    assert zone() == "guests" and guest.pings(OUTSIDE)
    assert rules_of(testbed, lab("guests"))["changes"] == []
    # Its zone is the user's: no file of firewalld is ours, and none is changed.
    assert firewalld.files() == of_administrator
    assert "vn-lab in zone visitors of firewalld: created" in rules_of(testbed, lab("visitors"))["changes"]
    testbed.run_playbook(lab("visitors"))
    assert zone() == "visitors" and guest.pings(OUTSIDE)


def test_bridges_of_other_zones_stay_there_when_our_zone_comes_and_goes(
    testbed: GuardTestbed, firewalld: Firewalld
) -> None:
    of_administrator = firewalld.files()

    def zone() -> str:
        return firewalld.ask("--get-zone-of-interface=vn-lab", check=False)

    testbed.run_playbook(lab("visitors"), OTHER)
    guest = testbed.add_guest("vn-lab", "192.168.30.50/24", "192.168.30.1")
    # Our zone comes and goes by a reload, which ends what is bound at run time.
    testbed.run_playbook(lab(None), OTHER)
    assert zone() == "virtnet" and guest.pings(OUTSIDE)
    assert firewalld.ask("--zone=guests", "--list-interfaces") == "vn-other"
    testbed.run_playbook(lab("guests"), OTHER)
    assert zone() == "guests" and guest.pings(OUTSIDE)
    assert firewalld.ask("--zone=guests", "--list-interfaces").split() == ["vn-lab", "vn-other"]
    assert firewalld.files() == of_administrator
    testbed.run_playbook(*({"name": name, "state": "absent"} for name in ("lab", "other")))
    assert zone() == ""
    assert firewalld.files() == of_administrator
    assert not (testbed.root / "var/lib/virtnet/firewalls.json").exists()


def test_a_bridge_is_in_its_zone_again_after_firewalld_was_reloaded_or_restarted(
    testbed: GuardTestbed, firewalld: Firewalld
) -> None:
    testbed.run_playbook(lab("guests"))
    testbed.start_guard()

    def is_repaired() -> bool:
        return firewalld.ask("--get-zone-of-interface=vn-lab", check=False) == "guests"

    firewalld.ask("--reload")
    wait_until(is_repaired)
    wait_until(lambda: "Repaired: vn-lab in zone guests of firewalld" in testbed.journal)
    wait_until(testbed.is_idle)
    firewalld.stop()
    firewalld.start()
    # As virtnet-rules.service does, which firewalld.service starts.
    testbed.command("restore", "--stage", "networks")
    assert is_repaired()


def test_a_zone_that_cannot_be_had_is_refused_before_anything_is_touched(
    testbed: GuardTestbed, firewalld: Firewalld
) -> None:
    with pytest.raises(AssertionError, match=r"bridge.zone: 'guest' is no zone of firewalld; use one of block, dmz"):
        testbed.define(lab("guest"))
    firewalld.stop()
    with pytest.raises(AssertionError, match="'guests' is a zone of firewalld, which does not run; start it"):
        testbed.define(lab("guests"))
    assert testbed.link("vn-lab") is None and not list((testbed.root / "etc").glob("virtnet/networks/*"))
    firewalld.start()
    testbed.run_playbook(lab("guests"))
    firewalld.stop()
    # A network that has its zone runs without firewalld too, and a warning says so.
    (warning,) = rules_of(testbed, lab("guests"))["warnings"]
    assert "vn-lab is not in the zone 'guests', since firewalld does not run" in warning


def test_what_a_zone_of_the_users_choice_drops_is_named(testbed: GuardTestbed, firewalld: Firewalld) -> None:
    firewalld.ask("--permanent", "--zone=visitors", "--set-target=DROP")
    firewalld.ask("--reload")
    testbed.run_playbook(lab("visitors"))
    guest = testbed.add_guest("vn-lab", "192.168.30.50/24", "192.168.30.1")
    assert not guest.pings(OUTSIDE)
    assert "packets guest to outside (IPv4), guest to guest (IPv4) are dropped by" in testbed.command(
        "check", check=False
    )


def test_panic_mode_is_named_before_anything_is_changed(testbed: GuardTestbed, firewalld: Firewalld) -> None:
    first, second = lab(None), {**OTHER, "bridge": {}}
    testbed.run_playbook(first)
    firewalld.ask("--panic-on")
    with pytest.raises(Exception, match="firewalld is in panic mode.*run 'firewall-cmd --panic-off'"):
        testbed.define(first, second)
    assert not (testbed.root / "etc/virtnet/networks/other.json").exists()
    # What runs already needs no change.
    assert not testbed.define(first)["changes"]
    firewalld.ask("--panic-off")
    testbed.run_playbook(first, second)
    assert firewalld.ask("--zone=virtnet", "--list-interfaces").split() == ["vn-lab", "vn-other"]
