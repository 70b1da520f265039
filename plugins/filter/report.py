# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible filters: the networks of a fleet as a page, or as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.virtnet.linux.plugins.plugin_utils.report import as_html, as_text, fleet


def _report(show: Callable[[Any], str]) -> Callable[[Any, Any], str]:
    def report(answers: Any, when: Any) -> str:
        if not isinstance(answers, Mapping):
            raise AnsibleFilterError("give what virt_network_info returned, by the name of the host")
        return show(fleet(answers, str(when)))

    return report


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"report_html": _report(as_html), "report_text": _report(as_text)}
