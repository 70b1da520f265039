# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles' READMEs show is a play that Ansible takes, with options that the role has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(folder.name for folder in (ROOT / "roles").iterdir())


@pytest.mark.parametrize("role", ROLES)
def test_the_example_is_a_play_of_the_role(role: str, tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "roles" / role / "README.md").read_text(), re.DOTALL)
    ((play,), specs) = (
        yaml.safe_load(text),
        yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text()),
    )
    (used,) = play["roles"]
    assert used.pop("role") == f"virtnet.linux.{role}"
    assert used.keys() <= specs["argument_specs"]["main"]["options"].keys()
    playbook = tmp_path / "play.yml"
    playbook.write_text(text)
    syntax = [sys.executable, "-m", "ansible.cli.playbook", "--syntax-check", "--inventory=localhost,", playbook]
    subprocess.run(syntax, check=True, capture_output=True)
