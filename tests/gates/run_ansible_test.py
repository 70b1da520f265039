# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ansible-test on the collection as published, with nothing but PyPI available.

python run_ansible_test.py FOLDER WORD...     in FOLDER, to which the collection is copied: ansible-test WORD...

ansible-test must be started inside a tree of collections. It downloads get-pip.py unless that is in its cache: this
program puts a replacement there, which runs the wheel of pip that ansible-test requests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import collection
from ansible_test._internal.python_requirements import get_venv_packages

# Not in the tarball, but needed by a command of ansible-test.
ADDITIONAL_PATHS = {"sanity": ("tests/sanity/",), "units": ("tests/conftest.py", "tests/unit/")}
# Patterns of unit tests that read the repository as a whole or start programs with the collection installed: they need
# the layout of the repository and run by `make unit` only. Under ansible-test run the tests of the engine.
NEEDS_REPOSITORY = re.compile(r"parents\[|^import subprocess|^from lab|^import ansible_runner", re.MULTILINE)
GET_PIP = """\
import runpy
import sys

sys.path.insert(0, {wheel!r})
words = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.argv = [sys.argv[0], "install", *words]
runpy.run_module("pip", run_name="__main__")
"""


def provide_pip(home: Path) -> None:
    """Puts the replacement of get-pip.py where ansible-test finds it."""
    version = get_venv_packages(SimpleNamespace(version=f"{sys.version_info[0]}.{sys.version_info[1]}"))["pip"]
    cache = home / ".ansible/test/cache"
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    if not script.exists():
        cache.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", cache, f"pip=={version}"]
        subprocess.run(pip, check=True)
        (wheel,) = cache.glob(f"pip-{version}-*.whl")
        script.write_text(GET_PIP.format(wheel=str(wheel)))


def copy_collection(folder: Path, purpose: str) -> Path:
    """Puts the collection where ansible-test expects it, and keeps ansible-test's own files from earlier runs."""
    target = folder / "ansible_collections/virtnet/linux"
    collection.copy(target, additional=ADDITIONAL_PATHS[purpose], keep=("tests/output", ".git"))
    # ansible-test checks the files that git lists, and our git ignores .build.
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)
    (target / ".git/info/exclude").write_text("/tests/output/\n__pycache__/\n")
    return target


def remove_repository_tests(target: Path) -> None:
    """Removes unit tests that need the repository, among them those that import modules of tests/."""
    tests = collection.ROOT / "tests"
    folders = {file.parent for file in tests.glob("*/*.py")} | {tests / "unit"}
    helpers = "|".join(path.stem for path in (*tests.glob("*.py"), *folders))
    imports = re.compile(rf"^(from|import) ({helpers})\b", re.MULTILINE)
    files = sorted((target / "tests/unit").rglob("test_*.py"))
    others = [file for file in files if NEEDS_REPOSITORY.search(file.read_text()) or imports.search(file.read_text())]
    for file in others:
        file.unlink()
    names = ", ".join(file.stem for file in others)
    print(f"{len(files) - len(others)} of {len(files)} files; by `make unit` alone run {names}", flush=True)


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    home = folder / "home"
    provide_pip(home)
    target = copy_collection(folder, sys.argv[2])
    if sys.argv[2] == "units":
        remove_repository_tests(target)
    environment = {**os.environ, "HOME": str(home)}
    # Our configuration would be treated as that of a collection with the same name.
    environment.pop("ANSIBLE_COLLECTIONS_PATH", None)
    command = [Path(sys.executable).with_name("ansible-test"), *sys.argv[2:]]
    return subprocess.run(command, cwd=target, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
