# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks and roles against hosts that are compromised: what such a host answers is its own matter alone.

On a compromised host Python answers what the attacker likes, whatever the module. So here each host's interpreter is a
program that prints an answer.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tools.fleet_answers import network

REPOSITORY = Path(__file__).resolve().parents[3]

# Variables that a host gives itself. "first" comes first: what runs once for all hosts runs with its variables.
_FACTS = {"virtnet_networks": [{"name": "evil", "ipv4": {"address": "192.168.0.1/16"}}], "virtnet_fleet_renumber": True}

_FLEET = """
- hosts: all
  gather_facts: false
  serial: 1
  tasks:
    - ansible.builtin.include_role:
        name: virtnet.linux.virtnet
        tasks_from: fleet
    - ansible.builtin.copy:
        content: >-
          {{ {'fleet': hostvars | virtnet.linux.fleet(inventory_hostname, ansible_play_hosts_all),
          'networks': virtnet_networks | default([]), 'renumber': virtnet_fleet_renumber | default(false)} | to_json }}
        dest: "{{ folder }}/{{ inventory_hostname }}.fleet"
        mode: "0644"
      delegate_to: localhost
"""


def lab(address: str) -> dict[str, Any]:
    told = network(0, 1, name="lab", mode="nat")
    told["definition"]["ipv4"] = {"address": address, "auto": True, "dhcp": {"hosts": []}}
    return told


def write_fleet(folder: Path, hosts: dict[str, Any]) -> Path:
    listed = {}
    for name, told in hosts.items():
        text = told if isinstance(told, str) else json.dumps(told)
        (folder / f"{name}.json").write_text(text)
        program = folder / f"{name}-python"
        program.write_text(f"#!/bin/sh\ncat {folder / name}.json\n")
        program.chmod(0o755)
        listed[name] = {"ansible_connection": "local", "ansible_python_interpreter": str(program)}
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": listed}}))
    return inventory


def play(folder: Path, inventory: Path, *playbooks: str | Path) -> str:
    """All that ansible-playbook prints."""
    collections = str(REPOSITORY / ".build" / "collections")
    done = subprocess.run(
        ["ansible-playbook", "-i", inventory, "-e", f"folder={folder}", *playbooks],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "PWD": str(folder), "ANSIBLE_NOCOLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_what_a_host_answers_is_its_own_matter_alone(tmp_path: Path) -> None:
    """One run, since each takes seconds: the report, the status, and the fleet with a batch for each host."""
    facts = {**_FACTS, "virtnet_report": f"{tmp_path}/elsewhere.html"}
    template = "{{ lookup('ansible.builtin.pipe', 'touch ' ~ folder ~ '/pwned') }}"
    hosts = {
        "first": {
            "networks": [{**lab("192.168.1.1/16"), "conflicts": [template]}],
            "changed": False,
            "ansible_facts": facts,
        },
        "hv2": {"networks": [lab("192.168.1.1/24")], "changed": False},
        "hv3": {
            "networks": [{**lab("192.168.2.1/24"), "ports": 3, "xml": template}],
            "changed": False,
            "ansible_facts": facts,
        },
        "hv4": {"failed": True, "msg": template},
    }
    (tmp_path / "fleet.yml").write_text(_FLEET)
    output = play(
        tmp_path, write_fleet(tmp_path, hosts), "virtnet.linux.report", "virtnet.linux.status", tmp_path / "fleet.yml"
    )

    # A fact does not choose the file on the controller, and nothing of an answer is a template there.
    assert not (tmp_path / "elsewhere.html").exists(), output
    assert not (tmp_path / "pwned").exists(), output
    # What is wrong is shown at its host, and the others are shown as ever.
    page = (tmp_path / "virtnet-report.html").read_text()
    assert page.count("<h4>lab</h4>") == 2
    assert "<b>hv3</b>: networks[0].ports: 3 is not a list</li>" in page
    assert "<b>hv4</b>: {{ lookup(" in page
    assert "! hv3: networks[0].ports: 3 is not a list\n" in output
    # A host that fails stops no earlier batch, and no answer moves a network or sets a variable of another host.
    told = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.fleet")}
    assert sorted(told) == ["first", "hv2", "hv3"], output
    assert [(one["networks"], one["renumber"]) for one in told.values()] == [([], False)] * 3
    claim = {"host": "first", "network": "lab", "subnet": "192.168.1.1/16", "first": False}
    assert told["hv2"]["fleet"] == {"position": 1, "of": 4, "held": [claim]}
    # Hosts that contradict one another, or make no sense, are named.
    words = " ".join(output.split())
    assert "host hv3: what it holds is not known: networks[0].ports: 3 is not a list" in words
    assert "network 'lab' of host hv2 (192.168.1.0/24) overlaps network 'lab' of host first (192.168.0.0/16)" in words
