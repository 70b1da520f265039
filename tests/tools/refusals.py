# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of a network whose options have no effect."""

from __future__ import annotations

from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.network.combinations import refuse_without_effect
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network


def error_of_network(path: str, **options: Any) -> str:
    """The error of the network lab with these options in a new list, '' for options that are accepted."""
    network = read_network(Options({"name": "lab", **options}, path), "host")
    try:
        refuse_without_effect(network)
    except InvalidOption as error:
        return str(error)
    return ""
