"""After a reboot: autostart networks run, the others are stopped, transient ones are gone."""

from __future__ import annotations


def test_only_autostart_networks_run(network_host) -> None:
    assert network_host.states() == {"always": "active", "by-hand": "inactive", "resting": "inactive"}
    assert network_host.bridges() == {"vn-always"}
    assert network_host.fragments() == {"virtnet-always.conf"}


def test_no_unit_has_failed_and_the_journal_says_what_runs(network_host) -> None:
    assert network_host.host.run(["systemctl", "--failed", "--plain", "--no-legend"]).strip() == ""
    journal = network_host.host.run(["journalctl", "-b", "-u", "virtnet.service", "-o", "cat"])
    assert "1 of 3 networks run: always" in journal
