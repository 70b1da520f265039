# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes the host refuses every user but root: modules, in check mode as in a run, and commands of virtnet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).resolve().parents[3] / ".build/collections"
REFUSAL = "only root may change the networks of this host; run the play as root, or with --become"
# Everything is imported as root: another user may not read the folders of this Python.
CODE = """
import importlib, json, os, pkgutil, sys
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
engine = importlib.import_module("ansible_collections.virtnet.linux.plugins.module_utils")
for module in pkgutil.walk_packages(engine.__path__, engine.__name__ + "."):
    importlib.import_module(module.name)
tasks = importlib.import_module(engine.__name__ + ".tasks.registry").TASKS
os.seteuid(65534)
params = dict.fromkeys(("name", "purge", "names", "pools", "fleet", "resolver", "firewall_integration"))
params.update(dict.fromkeys(("bridges", "networks", "fragments", "entries"), []), state="present", guard=True)
said = {}
for name, task in tasks.items():
    for check in (True, False):
        fail = lambda msg: said.setdefault(f"{name} {check}", msg)
        task(SimpleNamespace(params=params, check_mode=check, warn=print, fail_json=fail, exit_json=lambda **values: 0))
print(json.dumps(said))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_every_module_that_changes_the_host_refuses_other_users_than_root() -> None:
    done = subprocess.run([sys.executable, "-c", CODE, COLLECTIONS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    refused = {name for name, text in said.items() if text == REFUSAL}
    changing = {name for name in said if not name.startswith("virt_network_info ")}
    assert refused == changing
    assert len(changing) == 16


COMMAND = """
import importlib, os, sys
sys.path.insert(0, sys.argv[1])
cli = importlib.import_module("ansible_collections.virtnet.linux.plugins.module_utils.cli.main")
os.seteuid(65534)
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("command", ["check", "trace lab dmz", "start lab", "stop lab", "restore"])
def test_a_command_that_changes_the_host_or_reads_its_rules_is_for_root(command: str) -> None:
    words = [sys.executable, "-c", COMMAND, COLLECTIONS, *command.split()]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    name = command.partition(" ")[0]
    assert done.stderr == f"error: only root can do that; run it as root, such as by 'sudo virtnet {name}'\n"
    assert done.returncode == 1
