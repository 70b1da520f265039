# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks as a list, or as a mapping by name, which inventories can combine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .options import Options, repr_short


def each_by_name(options: Options, name: str) -> Iterator[Options]:
    """The mappings of a list, or of a mapping in which each key is the ``name`` of its value; null is an empty one.

    Raises InvalidOption, also for a value that has another name inside.
    """
    value = options.raw(name, [])
    if isinstance(value, str) or not isinstance(value, (Mapping, Sequence)):
        options.error(
            name,
            f"{repr_short(value)} is neither a list of networks nor a mapping by name; "
            "write '- name: lab' or 'lab:' below it",
        )
    if not isinstance(value, Mapping):
        yield from options.each(name)
        return
    path = Options({}, options.at(name))
    for key, inner in value.items():
        item = Options({} if inner is None else inner, path.at(str(key)), options.owner)
        if item.given("name") and str(item.raw("name")) != str(key):
            item.error(
                "name",
                f"{repr_short(item.raw('name'))} contradicts the key {repr_short(key)}, which is the name of the "
                "network; remove name",
            )
        yield Options({**item.as_mapping(), "name": key}, item.path, options.owner)
