# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection says of itself agrees with what is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[3]


def load(path: str):
    return yaml.safe_load((REPOSITORY / path).read_text())


def test_every_module_is_in_the_action_group() -> None:
    modules = sorted(file.stem for file in (REPOSITORY / "plugins/modules").glob("*.py"))
    assert load("meta/runtime.yml")["action_groups"]["all"] == modules


def test_version_has_its_changelog() -> None:
    version = load("galaxy.yml")["version"]
    assert list(load("changelogs/changelog.yaml")["releases"])[-1] == version
    assert f"\nv{version}\n" in (REPOSITORY / "CHANGELOG.rst").read_text()


def test_collection_is_built_and_installed_without_a_network(tmp_path: Path) -> None:
    galaxy = [sys.executable, "-m", "ansible.cli.galaxy", "collection"]
    subprocess.run([*galaxy, "build", "--output-path", tmp_path, REPOSITORY], check=True, capture_output=True)
    (built,) = tmp_path.glob("virtnet-linux-*.tar.gz")
    with tarfile.open(built) as archive:
        top = {name.split("/")[0] for name in archive.getnames()}
    texts = {"CHANGELOG.rst", "FILES.json", "LICENSE", "MANIFEST.json", "README.md", "REUSE.toml", "bindep.txt"}
    assert top == texts | {"LICENSES", "changelogs", "docs", "meta", "playbooks", "plugins", "roles"}
    # The repository itself is a collection of that name and version, and must not be found.
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections")}
    install = ["install", built, "--offline", "--collections-path", tmp_path / "collections"]
    subprocess.run([*galaxy, *install], check=True, capture_output=True, cwd=tmp_path, env=environment)
    installed = tmp_path / "collections/ansible_collections/virtnet/linux"
    assert (installed / "plugins/modules/host.py").is_file()
    assert not list(installed.rglob("__pycache__"))
