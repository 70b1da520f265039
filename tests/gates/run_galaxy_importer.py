# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the tarball in a folder and imports it as Galaxy does: `python run_galaxy_importer.py FOLDER`.

Galaxy requires the URL of a repository. There is no public one yet, so the copy here has one that cannot exist
(RFC 2606). ansible-lint is left out, because `make lint` runs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import collection

REPOSITORY = "repository: https://virtnet-linux.invalid/\n"


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    source = folder / "source"
    collection.copy(source)
    with (source / "galaxy.yml").open("a") as galaxy:
        galaxy.write(REPOSITORY)
    for old in folder.glob("*.tar.gz"):
        old.unlink()
    build = [sys.executable, "-m", "ansible.cli.galaxy", "collection", "build", "--output-path", folder, source]
    subprocess.run(build, check=True)
    (tarball,) = folder.glob("*.tar.gz")
    environment = {**os.environ, "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}
    # The importer unpacks the collection into a folder of its own.
    environment.pop("ANSIBLE_COLLECTIONS_PATH", None)
    command = [sys.executable, "-m", "galaxy_importer.main", tarball.name]
    result = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    output = result.stdout + result.stderr
    print(output)
    return result.returncode or int("ERROR" in output or "WARNING" in output)


if __name__ == "__main__":
    sys.exit(main())
