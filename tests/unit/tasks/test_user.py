# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules that change the host refuse every user but root, in check mode as in a run."""

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
