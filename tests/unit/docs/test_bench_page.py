# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of the benchmarks says what the data say."""

from __future__ import annotations

from typing import Any

from bench import page, page_aims, page_control, page_fleet, page_readme
from bench.cells import short, spread, times
from bench.control import TimeBudget

ABOUT = {"date": "2030-01-02 03:04 UTC", "minutes": 1.5, "load": 0.25}


def control(**seconds: list[float]) -> dict[str, Any]:
    """Rounds of the step ``first`` with 100 networks, by tool."""
    memory = {"dnsmasq": {"processes": 1, "MiB": 1.0}}
    rows = [
        {
            "tool": tool,
            "count": 100,
            "round": n,
            "steps": {"first": value},
            "memory": memory,
            "rules": 9,
        }
        for tool, values in seconds.items()
        for n, value in enumerate(values)
    ]
    return {**ABOUT, "counts": [10, 100], "given": {"a": 2.0, "b": 8.0}, "rows": rows, "stops": [],
            "virt_net": "a bundle", "versions": {"a-host": {"dnsmasq-base": "2.91"}}}  # fmt: skip


def test_figures_have_three_digits_and_their_spread() -> None:
    assert [short(value) for value in (0.0123, 0.5, 12.34, 1234.5)] == ["0.012", "0.50", "12.3", "1,234"]
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00–3.00)"
    assert spread([1.0]) == "1.00 (1 round)"


def test_a_ratio_is_of_medians_and_of_what_is_known() -> None:
    assert times([10.0, 30.0, 20.0], [2.0, 2.0, 4.0]) == "×10.0"
    assert times([1.0], []) == times([], [1.0]) == ""


def test_clients_are_compared_with_the_engine_and_playbooks_with_the_playbook() -> None:
    data = control(**{"ours, engine": [1.0], "systemd-networkd": [3.0]})
    data["rows"] += control(**{page_control.OURS_BY_PLAYBOOK: [2.0], page_control.VIRT_NET: [50.0]})["rows"]
    assert page_control.cell(data, "systemd-networkd", 100, "first") == "3.00 (1 round) ×3.00"
    assert page_control.cell(data, page_control.VIRT_NET, 100, "first") == "50.0 (1 round) ×25.0"
    assert page_control.cell(data, page_control.OURS, 100, "first") == "1.00 (1 round)"
    assert page_control.cell(data, page_control.OURS, 10, "first") == ""


def test_who_stops_is_named_with_the_reason() -> None:
    data = control(**{"ours, engine": [1.0]})
    data["stops"] = [{"tool": "libvirt", "count": 100, "round": 0, "why": "no instances of inotify are left"}]
    assert "- libvirt: at 100 networks: no instances of inotify are left" in page_control.text(data)


def test_aims_are_met_missed_or_not_measured() -> None:
    parts = {"imports": 0.1, "Fragments": 0.5, "total": 0.7}
    known = {
        "control": control(
            **{page_control.OURS_BY_PLAYBOOK: [2.0], page_control.VIRT_NET: [50.0], "ours, engine": [1.0]}
        ),
        "engine": {
            "engine": [
                {"count": 100, "run": "first", "rounds": [parts]},
                {"count": 100, "run": "no-op", "rounds": [{"total": 0.3}]},
            ],
            "playbook": [],
        },
    }
    first, again, pings, virt_net, _again, memory, *_rest = (aim.row(known) for aim in page_aims.AIMS)
    assert first[1] == "0.70 s"
    assert first[2].startswith("missed; of it: DHCP and DNS 0.50 s, imports 0.10 s")
    assert again[1:] == ["0.30 s", "met"]
    assert pings[1:] == ["", "not measured yet"]
    assert virt_net[1:] == ["25.0 × with 100 networks", "met"]
    assert memory[1:] == ["1.05 MB", "met"]


def test_a_thousand_hosts_are_reckoned_from_the_two_largest_fleets() -> None:
    rows = [
        {"kind": "light", "hosts": hosts, "forks": 20, "run": "second", "seconds": seconds, "tasks": 4,
         "controller": seconds / 2, "remote": 1.0, "guard": True}
        for hosts, seconds in ((1, 5.0), (10, 10.0), (30, 20.0))
    ]  # fmt: skip
    told = page_fleet.text({"rows": rows})
    assert "(20.0 - 10.0) / (30 - 10) = 0.50 s; 20.0 + 970 × 0.50 = 505 s" in told
    assert "10.0 + 970 × 0.25 = 252 s" in told
    assert "The first run" not in told


def test_the_page_names_parts_that_were_not_measured_and_when_others_were() -> None:
    text = page.render({"CPU": "some"}, {"control": control(**{"ours, engine": [1.0]})}, "make bench control")
    assert "| control | 2030-01-02 03:04 UTC | 1.5 | 0.2 |" in text
    assert "Not measured yet: engine, rules, rates, outage, fleet." in text
    assert "dnsmasq-base 2.91" in text


def test_rounds_of_other_parts_become_tables() -> None:
    rates = {**ABOUT, "rows": {"ours": {"DNS, a guest": [3e4, 2e4, 4e4]}}, "seconds": 3, "clients": 200}
    assert "| ours | 30,000 (20,000–40,000) |" in page.rates(rates)
    kinds = {"nothing": {"silence": [2.0, 4.0, 3.0], "lost": [0, 0, 5], "restarts": 1}}
    assert "| nothing | 3.00 (2.00–4.00) | 0 | 1 of 3 |" in page.outage({"runs": 3, "columns": {"1": kinds}})
    layouts = [
        {"layout": name, **dict.fromkeys(("established", "new", "udp", "tcp", "connections"), [value])}
        for name, value in (("one masquerade rule", 100.0), ("ours, 1000", 104.0))
    ]
    data = {"packets": layouts, "forwards": [], "times": [{"count": 1, "first": [3.0]}]}
    assert "| ours, 1000 | 104 | ×1.04 | 104 | ×1.04 |" in page.rules(data)


def test_the_readme_has_figures_of_as_many_networks_as_both_got_to() -> None:
    data = control(**{page_control.OURS: [1.0], page_readme.VIRSH: [12.0]})
    readme = f"before\n{page_readme.BEGIN}\nold\n{page_readme.END}\nafter\n"
    told = page_readme.update(readme, {"control": data})
    assert "| 100 | 1.00 s | 12.0 s | ×12.0 |" in told
    assert "| memory of DHCP and DNS | 100 | 1.05 MB | 1.05 MB | ×1.00 |" in told
    assert "old" not in told
    assert told.startswith("before") and told.endswith("after\n")
    assert page_readme.update(told, {"control": data}) == told
    assert page_readme.update(readme, {}) == readme


def test_what_more_networks_take_is_reckoned_from_fewer() -> None:
    budget = TimeBudget(100.0)
    assert budget.expected_seconds(10) == 0.0
    budget.spend(1, 5.0, 1.0)
    budget.spend(10, 20.0, 4.0)
    assert budget.remaining == 75.0
    assert budget.expected_seconds(10) == 20.0
    assert budget.expected_seconds(100) == 4.0 + 90 * 3.0 / 9
    budget.spend(100, 60.0, None)
    assert budget.expected_seconds(100) == 60.0
