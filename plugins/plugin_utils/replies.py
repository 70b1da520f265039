# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replies of hosts for the inventory of guests: lines that the callback virtnet.linux.answers prints. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.virtnet.linux.plugins.plugin_utils.network_list import network_items
from ansible_collections.virtnet.linux.plugins.plugin_utils.proxy import Access

PREFIX = '{"virtnet_reply": '


@dataclass(frozen=True)
class Reply:
    """One host's result, and the controller's own data about the host.

    ``result`` comes from the host and is not checked yet. ``access`` is None where the host's variables do not say
    how it is reached; ``access_error`` says why. ``declared``: network and name of each static host that the variables
    of the host define.
    """

    host: str
    status: str
    result: Any
    access: Access | None = None
    access_error: str = ""
    declared: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_json(cls, data: Any) -> Reply:
        """The inverse of ``as_json``; raises ValueError, as for a cache of an older version."""
        try:
            access = data["access"]
            return cls(
                host=data["host"],
                status=data["status"],
                result=data["result"],
                access=None if access is None else Access.from_json(access),
                access_error=data["access_error"],
                declared=tuple((network, name) for network, name in data["declared"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a reply of the callback virtnet.linux.answers: {error}") from error

    def as_json(self) -> dict[str, Any]:
        """Every field."""
        return {
            "host": self.host,
            "status": self.status,
            "result": self.result,
            "access": None if self.access is None else self.access.as_json(),
            "access_error": self.access_error,
            "declared": [list(one) for one in self.declared],
        }

    def line(self) -> str:
        """The line that the callback prints."""
        return f"{PREFIX}{json.dumps(self.as_json(), default=str)}}}"


def read_lines(text: str) -> list[Any]:
    """The replies among the lines that Ansible printed, as JSON."""
    return [json.loads(line)["virtnet_reply"] for line in text.splitlines() if line.startswith(PREFIX)]


def declared_hosts(networks: Any) -> Iterator[tuple[str, str]]:
    """Network and name of each static host in a value of ``virtnet_networks``, a list or a mapping by name.

    What is no definition has none: the role refuses it, the inventory does not.
    """
    for one in network_items(networks):
        for family in ("ipv4", "ipv6"):
            hosts = _inner(_inner(one, family), "dhcp").get("hosts")
            for host in hosts if isinstance(hosts, (list, tuple)) else ():
                if isinstance(host, Mapping) and host.get("name"):
                    yield str(one.get("name")), str(host["name"]).partition(".")[0].lower()


def _inner(value: Any, key: str) -> Mapping[str, Any]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}
