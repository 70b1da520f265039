# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How strictly systemd confines our services; the Molecule scenarios show that they still work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import Layout, unit_name, unit_text
from ansible_collections.virtnet.linux.plugins.module_utils.host import files as host_files
from kernel.dnsmasq_testbed import PROGRAM, run

UNITS = {
    **host_files.units(Paths("/").engine),
    host_files.RULES: host_files.rules_unit(Paths("/").engine),
    unit_name("lab"): unit_text(Layout(Paths("/")), PROGRAM),
}
# The highest exposure, 0 to 10, that systemd-analyze may report; newer versions check more.
MAX_EXPOSURE = {unit_name("lab"): 2.5}
DEFAULT_MAX_EXPOSURE = 5.5


@pytest.mark.parametrize("name", UNITS)
def test_exposure_of_a_service(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(UNITS[name])
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=100", str(tmp_path / name)]
    output = run(command).stdout
    match = re.search(r"exposure level for \S+: ([\d.]+)", output)
    assert match, output
    print(match.group(0))
    assert float(match.group(1)) <= MAX_EXPOSURE.get(name, DEFAULT_MAX_EXPOSURE)


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_all_settings_of_the_units(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(UNITS[name])
    result = run(["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], check=False)
    lines = [line for line in result.stderr.splitlines() if name in line and "is not executable" not in line]
    assert not lines, lines
