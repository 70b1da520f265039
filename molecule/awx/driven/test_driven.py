"""The survey's answers become one more network beside the inventory's, slice by slice; a second job changes nothing."""

from __future__ import annotations

import json

import pytest

from lab.host import Host

ANSWERS = {
    "virtnet_asked_name": "asked",
    "virtnet_asked_mode": "routed",
    "virtnet_asked_address": "10.91.0.1/24",
    "virtnet_asked_domain": "asked.test",
    "virtnet_asked_dns": "true",
    "virtnet_asked_mtu": 1400,
    "virtnet_asked_autostart": "false",
    "virtnet_asked_isolate_guests": "true",
}


def definition(host: Host, name: str) -> dict:
    return json.loads(host.run(["cat", f"/etc/virtnet/networks/{name}.json"]))


@pytest.mark.parametrize(("number", "name"), [(1, "debian12"), (2, "debian13")])
def test_each_slice_of_a_job_runs_on_its_host_only(launch, number: int, name: str) -> None:
    job = launch("Virtual networks", ANSWERS, part=(number, 2))
    assert job.hosts == {name}
    assert any(task.endswith("Bridges and addresses are in place") for task in job.changed[name])


def test_the_network_is_what_was_answered(lab_host: Host) -> None:
    link, *_ = json.loads(lab_host.run(["ip", "-j", "address", "show", "vn-asked"]))
    assert link["mtu"] == 1400
    assert "10.91.0.1" in [address["local"] for address in link["addr_info"]]
    stored = definition(lab_host, "asked")
    assert (stored["mode"], stored["autostart"], stored["isolate_guests"]) == ("routed", False, True)
    assert stored["dns"]["domain"] == "asked.test"
    assert lab_host.attempt(["ip", "link", "show", "vn-listed"]).ok


def test_a_second_job_changes_nothing(launch) -> None:
    job = launch("Virtual networks", ANSWERS)
    assert job.changed == {"debian12": set(), "debian13": set()}


def test_an_answer_is_no_template(launch) -> None:
    with pytest.raises(AssertionError, match="7 \\* 7"):
        launch("Virtual networks", {"virtnet_asked_name": "{{ 7 * 7 }}"}, limit="debian12", check=True)
