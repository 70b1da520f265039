# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters, as Ansible runs them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
SAMPLE = REPOSITORY / "tests" / "unit" / "libvirt_xml" / "samples" / "nat.xml"

_TASKS = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        there: "{{ lookup('ansible.builtin.file', sample) | virtnet.linux.from_libvirt_xml }}"
    - ansible.builtin.copy:
        content: "{{ {'there': there, 'back': there | virtnet.linux.to_libvirt_xml('11.3')
          | virtnet.linux.from_libvirt_xml} | to_json }}"
        dest: "{{ result }}"
        mode: "0644"
    - ansible.builtin.debug:
        msg: "{{ '<network><bridge nmae=\\"x\\"/></network>' | virtnet.linux.from_libvirt_xml }}"
"""


def test_filters_there_and_back_and_their_error(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(_TASKS)
    done = subprocess.run(
        ["ansible-playbook", "-c", "local", "-e", f"sample={SAMPLE} result={tmp_path}/result", tmp_path / "play.yml"],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build" / "collections")},
        capture_output=True,
        text=True,
    )
    assert "attribute 'nmae' is not in libvirt's schema of networks" in done.stdout + done.stderr
    found = json.loads((tmp_path / "result").read_text())
    assert found["there"] == found["back"] == json.loads(SAMPLE.with_suffix(".json").read_text())
