"""After a reboot: autostart networks run, the others are stopped, transient ones are gone."""

from __future__ import annotations


def test_only_autostart_networks_run(carrier) -> None:
    assert carrier.states() == {"always": "active", "by-hand": "inactive", "resting": "inactive"}
    assert carrier.bridges() == {"vn-always"}
    assert carrier.fragments() == {"virtnet-always.conf"}


def test_no_unit_has_failed_and_the_journal_says_what_runs(carrier) -> None:
    assert carrier.host.run(["systemctl", "--failed", "--plain", "--no-legend"]).strip() == ""
    said = carrier.host.run(["journalctl", "-b", "-u", "virtnet.service", "-o", "cat"])
    assert "1 of 3 networks run: always" in said
