# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-builder takes the definition, and finds in the collection what an execution environment needs for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DEFINITION = ROOT / "execution-environment"


def builder(*words: str | Path) -> str:
    command = [sys.executable, "-m", "ansible_builder", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_collections_needs_are_found() -> None:
    told = yaml.safe_load(builder("introspect", "--sanitize", ROOT / ".build/collections"))
    packages = [line.split("#")[0].strip() for line in told["system"]]
    assert packages == ["openssh-client [platform:dpkg]", "openssh-clients [platform:rpm]"]
    assert told["python"] == []


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that an image is built from, with a tarball that only has to be there."""
    folder = tmp_path_factory.mktemp("builder")
    shutil.copytree(DEFINITION, folder / "execution-environment")
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    (folder / ".build").mkdir()
    (folder / f".build/virtnet-linux-{version}.tar.gz").touch()
    definition = folder / "execution-environment/execution-environment.yml"
    builder("create", "--file", definition, "--context", folder / "context", "--output-filename", "Containerfile")
    return folder / "context"


def test_the_image_installs_the_tarball_of_this_version(context: Path) -> None:
    (wanted,) = yaml.safe_load((context / "_build/requirements.yml").read_text())["collections"]
    tarball = Path(wanted["name"])
    assert wanted["type"] == "file"
    assert (context / "_build" / tarball.parent.name / tarball.name).is_file()
    assert f"COPY _build/{tarball.parent.name} {tarball.parent}" in (context / "Containerfile").read_text()


def test_the_image_has_the_ansible_that_the_collection_asks_for(context: Path) -> None:
    asked = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    minimum = asked.removesuffix(".0").removeprefix(">=")
    assert f"ansible-core>={minimum}," in (context / "Containerfile").read_text()
