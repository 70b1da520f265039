"""Jobs, started as AWX starts them: the template's playbook, the survey's answers, limit, check mode and slices."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

SCENARIO = Path(__file__).resolve().parent
ROOT = SCENARIO.parents[1]
SOURCES = (SCENARIO.parent / "shared/inventory", SCENARIO / "inventory")
TEMPLATES = {
    template["name"]: template
    for template in yaml.safe_load((ROOT / "playbooks/awx/awx.yml").read_text())["virtnet_awx"]["job_templates"]
}
# Variables that AWX adds to every job.
AWX_VARIABLES = {"awx_job_id": 7, "awx_job_launch_type": "manual", "awx_user_name": "admin", "tower_job_id": 7}

Launch = Callable[..., "Job"]


class Unsafe(str):
    """Text that Ansible must not treat as a template: AWX marks users' answers so."""


class Dumper(yaml.SafeDumper):
    """Writes such text with its tag."""


Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


@dataclass(frozen=True)
class Job:
    """The results of a job, from its events."""

    status: str
    events: list[dict[str, Any]]

    @property
    def hosts(self) -> set[str]:
        """The hosts that ran a task."""
        return {event["event_data"]["host"] for event in self.events if event["event"] == "runner_on_ok"}

    @property
    def changed(self) -> dict[str, set[str]]:
        """The tasks that changed something, for each host."""
        tasks: dict[str, set[str]] = {host: set() for host in self.hosts}
        for event in self.events:
            if event["event"] == "runner_on_ok" and event["event_data"]["res"].get("changed"):
                tasks[event["event_data"]["host"]].add(event["event_data"]["task"])
        return tasks

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        (last,) = (event["event_data"] for event in self.events if event["event"] == "playbook_on_stats")
        return last

    @property
    def output(self) -> str:
        return "\n".join(event["stdout"] for event in self.events)

    def summary(self) -> str:
        """The events in a few words each, for the test's output."""
        words = []
        for event in self.events:
            data = event["event_data"]
            about = [data.get(key, "") for key in ("host", "task")]
            changed = "changed" if data.get("res", {}).get("changed") else ""
            words.append(" ".join(filter(None, [event["event"], *about, changed])))
        return "\n".join(words)


def hosts_of_slice(number: int, count: int) -> dict[str, Any]:
    """The inventory as AWX passes it: every count-th host, with its variables resolved from its groups."""
    inventory = InventoryManager(DataLoader(), [str(source) for source in SOURCES])
    names = sorted(host.name for host in inventory.get_hosts("lab_hosts"))[number - 1 :: count]
    variables = {name: inventory.get_host(name).vars for name in names}
    every = inventory.groups["all"].vars
    return {
        "_meta": {"hostvars": variables},
        "all": {"vars": every, "children": ["lab_hosts"]},
        "lab_hosts": {"hosts": names},
    }


def answers_of(template: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """The survey's answers with defaults, checked and marked as AWX does."""
    questions = {question["variable"]: question for question in template.get("survey", {}).get("spec", [])}
    assert answers.keys() <= questions.keys()
    values = {variable: answers.get(variable, question["default"]) for variable, question in questions.items()}
    for variable, value in values.items():
        assert questions[variable]["type"] != "multiplechoice" or value in questions[variable]["choices"]
        assert value or not questions[variable]["required"]
    return {variable: Unsafe(value) if isinstance(value, str) else value for variable, value in values.items()}


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    def launched(
        name: str,
        answers: Mapping[str, Any] | None = None,
        *,
        limit: str = "",
        check: bool = False,
        part: tuple[int, int] = (1, 1),
    ) -> Job:
        template = TEMPLATES[name]
        job_folder = tmp_path / f"job-{len(list(tmp_path.iterdir()))}"
        for folder in ("env", "inventory"):
            (job_folder / folder).mkdir(parents=True)
        (job_folder / "project").symlink_to(ROOT)
        script = job_folder / "inventory/hosts"
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(hosts_of_slice(*part))}\nEND\n")
        script.chmod(0o700)
        variables = {**AWX_VARIABLES, **answers_of(template, answers or {})}
        (job_folder / "env/extravars").write_text(yaml.dump(variables, Dumper=Dumper))
        words = [*(["--limit", limit] if limit else []), *(["--check"] if check else []), "--diff"]
        (job_folder / "env/cmdline").write_text(" ".join(words))
        result = ansible_runner.run(
            private_data_dir=str(job_folder),
            playbook=template["playbook"],
            quiet=True,
            envvars={
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"),
                "ANSIBLE_CONNECTION_PLUGINS": str(SCENARIO.parent / "shared/connection"),
                "ANSIBLE_PIPELINING": "true",
                "MOLECULE_PROJECT_DIRECTORY": str(ROOT),
                "MOLECULE_SCENARIO_NAME": os.environ["MOLECULE_SCENARIO_NAME"],
            },
            settings={"idle_timeout": 0, "job_timeout": 600},
        )
        job = Job(result.status, list(result.events))
        print(job.summary())
        assert job.status == "successful", job.output
        return job

    return launched
