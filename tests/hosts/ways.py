# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PYTHONPATH=tests python -m hosts.ways [VERSION...]: the ways in which Ansible reaches a host, as a table.

Each version of ansible-core (a folder .build/ansible-VERSION, or "installed") makes a network by each way, makes it
again, and removes it, with a real sshd and a real sudo that asks for a password. On the host itself, the version of its
distribution and the newest one do so, with the collection as ansible-galaxy installs it. Exit status 1 if one failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel.inventory_testbed import python_of

from lab import netns
from lab.host import Host
from lab.lab import Lab
from lab.run import SCRIPTS, Failed, run, script

from .playbook import BUILD, LOGS, ROOT, SHORTEST, Outcome, run_ansible

LOG = LOGS / "ways.log"
LAB, NAME, IMAGE = "ways", "debian13", "trixie-controlled"
USER, PASSWORD = "deploy", "correct horse"
# The environment of the host that has the newest ansible-core for its Python.
NEWEST = "/srv/newest"
REFUSAL = "run the play as root, or with --become"
ROW = "{:<12} {:<34} {:>7}  {:<12} {:<12} {:<12}"


@dataclass(frozen=True)
class Way:
    """How a controller reaches the host.

    - ``variables``: of the inventory
    - ``settings``: of Ansible, as its environment has them
    - ``facts``: the play gathers facts first
    - ``refused``: every run has to fail with this text
    """

    name: str
    variables: Mapping[str, Any]
    settings: Mapping[str, str] = field(default_factory=dict)
    facts: bool = False
    refused: str = ""


BY_ROOT = {"ansible_user": "root"}
BY_SUDO = {"ansible_user": USER, "ansible_become": True, "ansible_become_password": PASSWORD}
PIPELINING = {"ANSIBLE_PIPELINING": "true"}
WAYS = (
    Way("root", BY_ROOT),
    Way("root, pipelining", BY_ROOT, PIPELINING),
    Way("sudo with a password", BY_SUDO),
    Way("sudo with a password, pipelining", BY_SUDO, PIPELINING),
    Way("facts, cached in files", BY_SUDO, {"ANSIBLE_GATHERING": "smart", "ANSIBLE_CACHE_PLUGIN": "jsonfile"}, True),
    Way("no root", {"ansible_user": USER}, refused=REFUSAL),
)


@dataclass
class Trials:
    """A host, and what came of each way to it."""

    host: Host
    folder: Path
    failed: bool = False

    def try_way(self, version: str, way: Way) -> None:
        """Make a network, make it again, remove it; print a line."""
        variables = {
            **way.variables,
            "ansible_host": self.host.address,
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            "ansible_python_interpreter": "/usr/bin/python3",
            "virtnet_networks": SHORTEST,
        }
        inventory = self.folder / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": {NAME: variables}}}))
        book = self.folder / "site.yml"
        play = {"name": "Site", "hosts": "all", "gather_facts": way.facts, "roles": ["virtnet.linux.virtnet"]}
        book.write_text(json.dumps([play]))
        python = python_of(version)
        program = [str(python), str(python.with_name("ansible-playbook")), "--inventory", str(inventory)]
        environment = {
            **os.environ,
            **way.settings,
            "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / f"facts-{version}"),
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }

        def play_book(*words: str) -> Outcome:
            command = netns.inside(self.host.internet.namespace, [*program, *words])
            return run_ansible(command, environment)

        self._try_runs(version, way, play_book, str(book), "virtnet.linux.teardown")

    def try_local(self, folder: str, name: str, program: Sequence[str], site: str, teardown: str) -> None:
        """The same by a program in a folder of the host."""
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": "/root"}
        inventory = ("--inventory", "/srv/site/hosts.yml")

        def play_book(*words: str) -> Outcome:
            return run_ansible(
                self.host.command([f"{folder}/{program[0]}", *program[1:], *inventory, *words]), environment
            )

        version = self.host.run([f"{folder}/ansible", "--version"]).partition("core ")[2].partition("]")[0]
        self._try_runs(version, Way(name, {}), play_book, site, teardown)

    def _try_runs(self, version: str, way: Way, play_book: Callable[..., Outcome], site: str, teardown: str) -> None:
        began = time.monotonic()
        runs = (("--check", site), (site,), (site,), (teardown,))
        results = [_judge(way, words, index, play_book(*words)) for index, words in enumerate(runs)]
        self.failed = self.failed or any(result.startswith("FAILED") for result in results)
        print(ROW.format(version, way.name, f"{time.monotonic() - began:.0f} s", *results[1:]), flush=True)
        if results[0].startswith("FAILED"):
            print(f"    check mode: {results[0]}", flush=True)


def _judge(way: Way, words: Sequence[str], index: int, outcome: Outcome) -> str:
    """What came of a run: of check mode, the first, the second, and of the teardown."""
    with LOG.open("a") as log:
        log.write(f"$ {way.name}: {' '.join(words)}\n{outcome.output}\n")
    if way.refused:
        refused = outcome.failed == 1 and way.refused in " ".join(outcome.output.split())
        return "refused" if refused else "FAILED"
    if not outcome.passed:
        return "FAILED"
    changed = outcome.changed != 0
    return ("changed" if changed else "unchanged") if changed == (index != 2) else f"FAILED: changed={outcome.changed}"


def _prepare(host: Host, folder: Path) -> None:
    """Let the controller in by its key, as root and as a user whose sudo asks for a password; add the collection."""
    (folder / "ansible.cfg").write_text("")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")])
    key = (folder / "key.pub").read_text().strip()
    host.run(["sh", "-eu", "-c", script("allow_ssh.sh", key, USER, PASSWORD)])
    run([str(Path(sys.executable).with_name("ansible-galaxy")), "collection", "build", "--force", "--output-path",
         str(folder), str(ROOT)], timeout=120)  # fmt: skip
    (archive,) = folder.glob("virtnet-linux-*.tar.gz")
    _copy(host, archive, "/srv/collection.tar.gz")
    host.run(["sh", "-eu"], 120, stdin=(SCRIPTS / "make_pulled_repository.sh").read_text())
    python = host.run(["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    run([sys.executable, "-m", "pip", "download", "-qq", "--dest", str(folder / "wheels"), "--python-version", python,
         "--only-binary=:all:", "ansible-core"], timeout=300)  # fmt: skip
    host.run(["mkdir", "/srv/wheels"])
    for wheel in (folder / "wheels").iterdir():
        _copy(host, wheel, f"/srv/wheels/{wheel.name}")
    install = "pip install -qq --upgrade --no-index --find-links /srv/wheels ansible-core"
    host.run(["sh", "-euc", f"python3 -m venv --system-site-packages {NEWEST}; {NEWEST}/bin/{install}"], 300)


def _copy(host: Host, file: Path, target: str) -> None:
    with file.open("rb") as content:
        subprocess.run(host.command(["dd", f"of={target}", "status=none"]), stdin=content, check=True)


def main(versions: Sequence[str]) -> int:
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    lab = Lab(LAB)
    lab.down()
    try:
        lab.up({NAME: IMAGE})
        with tempfile.TemporaryDirectory(prefix="vnw-") as name:
            trials = Trials(lab.host(NAME), Path(name))
            _prepare(trials.host, trials.folder)
            print(ROW.format("ansible-core", "way", "time", "first run", "second run", "teardown"), flush=True)
            for version in versions or ["installed"]:
                for way in WAYS:
                    trials.try_way(version, way)
            pull = ["ansible-pull", "--url", "/srv/site.git"]
            for folder in ("/usr/bin", f"{NEWEST}/bin"):
                trials.try_local(folder, "local", ["ansible-playbook"], "/srv/site/site.yml", "virtnet.linux.teardown")
                trials.try_local(folder, "ansible-pull", pull, "site.yml", "teardown.yml")
            return 1 if trials.failed else 0
    except Failed as error:
        print(f"ways: {error}", file=sys.stderr)
        return 1
    finally:
        lab.down()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
