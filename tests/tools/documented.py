# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands in the documentation, and the scenarios that run them unchanged.

A guide's commands are run by the folder ``documented`` of a Molecule scenario, on real hosts, in their order in the
guide. A unit test reports commands without a scenario.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools import examples

# The scenario of each guide.
SCENARIOS = {
    "README.md": "awx",
    "first_network.rst": "awx",
    "fleets.rst": "awx",
    "travel.rst": "awx",
    "firewalls.rst": "awx",
    "errors.rst": "awx",
    "addresses.rst": "awx",
    "libvirt.rst": "libvirt",
    "openvswitch.rst": "ovs",
}
# Commands that no scenario can run, with the reason.
ELSEWHERE = {
    "make demo": "builds hosts itself: run beside the scenarios by tests/tools/scenarios.py",
    "make test": "is what runs all this",
    **dict.fromkeys(
        (
            "ansible-playbook virtnet.linux.import",
            "ansible-playbook virtnet.linux.import -e virtnet_import_file=/srv/networks.yml",
        ),
        "needs networks of others: tests/kernel/test_import.py makes them, tests/unit/plugins/test_foreign.py runs it",
    ),
    **dict.fromkeys(
        (
            "virtnet trace lab 192.168.60.7 tcp 443",
            "virtnet trace lab 192.168.60.7 tcp 22",
            "virtnet trace 198.51.100.10 192.0.2.9",
            "virtnet trace lab host tcp 22",
            "virtnet trace lab outside tcp 443",
            "virtnet policies",
            "nft add table inet mine",
            "nft add chain inet mine way '{ type filter hook forward priority 0; policy drop; }'",
        ),
        "needs guests and another firewall: tests/kernel/test_policy_views.py compares traces with real packets",
    ),
    "ansible-playbook virtnet.linux.awx.configure -e virtnet_awx_scm_url=https://git.example.org/networks.git": (
        "needs an AWX, which needs a Kubernetes: tests/unit/packaging/test_awx.py checks what AWX would get; "
        "scenario awx runs its jobs"
    ),
}


def without_remark(command: str) -> str:
    """A command without the comment behind it."""
    return command.partition(" #")[0].strip()


def shown() -> Iterator[tuple[str, str]]:
    """Every command of guides and READMEs, with the name of its file."""
    for example in examples.shown():
        if example.language in ("shell", "console", "shell-session"):
            file = example.place.partition(":")[0].rpartition("/")[2]
            yield from ((file, without_remark(command)) for command in example.commands())


def commands(guide: str) -> list[str]:
    """The commands of a guide to run, in order."""
    return [command for file, command in shown() if file == guide and command not in ELSEWHERE]


def yaml_of(guide: str, word: str) -> str:
    """The only YAML example of a guide that contains this word."""
    (text,) = (
        example.text
        for example in examples.shown()
        if example.language == "yaml" and example.place.partition(":")[0].endswith(guide) and word in example.text
    )
    return text
