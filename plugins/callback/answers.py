# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible callback: what each host answered, and how it is reached, a line of JSON each."""

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
  - A line has C(host), C(status) (V(ok), V(failed), V(unreachable)) and C(result), which the host says, and what the
    controller knows of the host.
  - C(access) is how Ansible reaches the host by ssh, from its variables, the configuration and the command line.
    Passwords are not part of it. Where it cannot be told, it is null, and C(access_error) says why.
  - C(declared) has network and name of each static host that C(virtnet_networks) of the host defines.
"""

from dataclasses import dataclass, replace
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import connection_loader
from ansible.template import Templar
from ansible_collections.virtnet.linux.plugins.plugin_utils.proxy import Access
from ansible_collections.virtnet.linux.plugins.plugin_utils.replies import Reply, declared_hosts

# The name by which its options are registered.
SSH = "ssh"


@dataclass
class Known:
    """What the controller knows of a host."""

    declared: tuple[tuple[str, str], ...]
    access: Access | None = None
    error: str = ""


class CallbackModule(CallbackBase):
    """Prints nothing else, so that a program can read it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "virtnet.linux.answers"

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Kept for the variables of its hosts."""
        self._play = play
        self._known: dict[str, Known] = {}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A host is about to be asked: its variables are read before it can answer with facts that change them."""
        variables = self._play.get_variable_manager().get_vars(play=self._play, host=host)
        templar = Templar(loader=self._play.get_loader(), variables=variables)
        known = Known(declared=_declared(variables, templar))
        try:
            known.access = _access(variables, templar, self._play.remote_user)
        except (AnsibleError, ValueError, TypeError, RuntimeError) as error:
            known.error = str(error)
        self._known[host.get_name()] = known

    def v2_runner_on_ok(self, result: Any) -> None:
        """A host has answered."""
        self._print("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A host could not answer."""
        self._print("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host was not there."""
        self._print("unreachable", result)

    def _print(self, status: str, result: Any) -> None:
        host = result._host.get_name()
        known = self._known[host]
        reply = Reply(host, status, result._result, known.access, known.error, known.declared)
        try:
            line = reply.line()
        except (RecursionError, ValueError, TypeError) as error:
            line = replace(reply, status="failed", result={"msg": f"its answer is no JSON: {error}"}).line()
        print(line, flush=True)


def _access(variables: dict[str, Any], templar: Any, remote_user: str | None) -> Access:
    """Raises AnsibleError for what Ansible refuses, ValueError for what ssh would misread."""
    connection_loader.get(SSH, class_only=True)
    names = C.config.get_plugin_vars("connection", SSH)
    given = {name: templar.template(variables[name]) for name in names if name in variables}
    keys = {"remote_user": remote_user}
    return Access.from_options(C.config.get_plugin_options("connection", SSH, keys=keys, variables=given))


def _declared(variables: dict[str, Any], templar: Any) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(declared_hosts(templar.template(variables.get("virtnet_networks"))))
    except AnsibleError:
        # A template that needs more than the inventory, such as facts.
        return ()
