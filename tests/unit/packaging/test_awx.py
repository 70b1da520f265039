# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWX is told has the shape that it takes, and the survey asks for what the playbook reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
AWX = ROOT / "playbooks/awx"
TOLD = yaml.safe_load((AWX / "awx.yml").read_text())["virtnet_awx"]
TEMPLATES = TOLD["job_templates"]
QUESTIONS = [question for template in TEMPLATES for question in template.get("survey", {}).get("spec", [])]
# The options of awx.awx's modules that are used, from its documentation.
MODULES = {
    "execution_environment": {"name", "image"},
    "host": {"name", "inventory"},
    "inventory": {"name", "organization", "variables"},
    "project": {"name", "organization", "scm_type", "scm_url", "scm_update_on_launch"},
    "job_template": {
        "name", "description", "organization", "project", "inventory", "execution_environment", "credentials",
        "playbook", "job_type", "become_enabled", "diff_mode", "ask_limit_on_launch", "ask_job_type_on_launch",
        "ask_job_slice_count_on_launch", "survey_enabled", "survey_spec",
    },
}  # fmt: skip
# As AWX's API checks a survey_spec.
TYPES = {"text", "textarea", "password", "integer", "float", "multiplechoice", "multiselect"}
KEYS = {"question_name", "question_description", "variable", "type", "required", "default", "min", "max", "choices"}


def test_each_task_is_one_of_awx_with_options_that_it_has() -> None:
    ((play,),) = [yaml.safe_load((AWX / "configure.yml").read_text())]
    for task in play["tasks"]:
        (module,) = (key for key in task if key.startswith("awx.awx."))
        assert task[module].keys() == MODULES[module.removeprefix("awx.awx.")]


def test_each_template_runs_a_playbook_that_is_there() -> None:
    playbooks = [template["playbook"] for template in TEMPLATES]
    assert {"playbooks/awx/site.yml", "playbooks/teardown.yml", "playbooks/report.yml"} <= set(playbooks)
    assert all((ROOT / playbook).is_file() for playbook in playbooks)
    assert len({template["name"] for template in TEMPLATES}) == len(TEMPLATES)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["variable"])
def test_each_question_is_one_that_awx_takes(question: dict[str, Any]) -> None:
    assert question.keys() <= KEYS
    assert question["type"] in TYPES
    assert isinstance(question["required"], bool)
    assert isinstance(question["default"], str)
    if question["type"] == "multiplechoice":
        assert all(isinstance(choice, str) for choice in question["choices"])
        assert question["default"] in question["choices"]
    else:
        assert question["min"] <= question["max"]


def test_the_survey_asks_for_what_the_playbook_reads() -> None:
    asked = {question["variable"] for question in QUESTIONS}
    assert asked == set(re.findall(r"virtnet_asked_\w+", (AWX / "site.yml").read_text()))
