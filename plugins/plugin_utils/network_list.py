# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The definitions in a value of ``virtnet_networks``, as an administrator or a host's facts give it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def network_items(networks: Any) -> Iterator[Mapping[str, Any]]:
    """The definitions of a list, or of a mapping by name, each with its name.

    What is no definition, or contradicts its key, is left out: the run of its own host refuses it.
    """
    if isinstance(networks, Mapping):
        for name, options in networks.items():
            item = {} if options is None else options
            if isinstance(item, Mapping) and item.get("name") in (None, name):
                yield {**item, "name": name}
    elif isinstance(networks, (list, tuple)):
        yield from (item for item in networks if isinstance(item, Mapping))
