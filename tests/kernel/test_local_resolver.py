# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that asks a name server of its own on loopback: dnsmasq under its own name, and as another program."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from kernel.engine_client import PROGRAMS, engine_script

LAB = {"interface": "vn-lab", "addresses": ["192.168.30.1"], "domain": "lab", "loopback_serves": True}


@pytest.mark.parametrize("name", ["dnsmasq", "named"])
def test_a_host_that_asks_another_program_than_dnsmasq_is_warned(tmp_path: Path, name: str) -> None:
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin")
    assert program is not None
    server = tmp_path / name
    shutil.copy(program, server)
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    task = {"part": "resolver", "wanted": [LAB], "purge": False, "check": True, "root": str(root)}
    command = ["unshare", "--net", "sh", PROGRAMS / "run_beside_server.sh", server, *engine_script("engine_task")]
    result = subprocess.run(command, input=json.dumps([task]), capture_output=True, text=True, timeout=60, check=True)
    (answer,) = json.loads(result.stdout)
    assert not answer["changed"]
    warnings = answer.get("warnings", [])
    assert len(warnings) == (name == "named")
    assert all("a resolver of its own at 127.0.0.1 (named), which" in warning for warning in warnings)
