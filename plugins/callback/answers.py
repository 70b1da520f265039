# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible callback: what each host answered, a line of JSON each."""

from __future__ import annotations

DOCUMENTATION = r"""
name: answers
type: stdout
short_description: What each host answered, a line of JSON each
version_added: 1.0.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - The inventory plugin P(virtnet.linux.guests#inventory) asks the hosts through it. It is of no use to people.
  - A line has C(host), C(status) (V(ok), V(failed), V(unreachable)), C(result), and C(access) with those of
    C(ansible_host), C(ansible_user) and C(ansible_port) that the host has.
"""

import json
from typing import Any

from ansible.plugins.callback import CallbackBase

ACCESS = ("ansible_host", "ansible_user", "ansible_port")


class CallbackModule(CallbackBase):
    """Prints nothing else, so that a program can read it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "virtnet.linux.answers"

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Kept for the variables of its hosts."""
        self._play = play

    def v2_runner_on_ok(self, result: Any) -> None:
        """A host has answered."""
        self._tell("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A host could not answer."""
        self._tell("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host was not there."""
        self._tell("unreachable", result)

    def _tell(self, status: str, result: Any) -> None:
        host = result._host
        known = self._play.get_variable_manager().get_vars(play=self._play, host=host)
        access = {name: str(known[name]) for name in ACCESS if name in known}
        line = {"host": host.get_name(), "status": status, "access": access, "result": result._result}
        print(json.dumps(line, default=str), flush=True)
