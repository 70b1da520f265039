# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nft scripts that load, change and delete the table ``inet virtnet``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from . import policies
from .chains import chains
from .helpers import PORTS, declarations, helper_set
from .policy_sets import policy_set
from .sets import FAMILY, KEY_TYPES, LIMITS, MAPS, OF_POLICIES, OWNED, SETS, TABLE, Elements


def _key(name: str, key: tuple[str, ...]) -> str:
    of_policy = policy_set(name)
    if of_policy:
        return of_policy.text(key)
    parts = key[1:] if name in OWNED else key
    # Some interface names are keywords of nft. All other parts are digits, dots, colons and slashes.
    return " . ".join(f'"{part}"' if part_type == "ifname" else part for part_type, part in zip(KEY_TYPES[name], parts))


def _element(name: str, key: tuple[str, ...], value: str) -> str:
    text = _key(name, key)
    if name in LIMITS:
        return f"{text} {value}"
    comment = key[0] if name in OWNED else "" if name in MAPS else value
    if comment:
        text += f' comment "{comment}"'
    return f"{text} : {value}" if name in MAPS else text


def _element_list(name: str, elements: Iterable[tuple[tuple[str, ...], str]]) -> str:
    return ", ".join(_element(name, key, value) for key, value in sorted(elements))


def _declarations(elements: Elements) -> dict[str, str]:
    """The declarations of all sets and maps of a table with these elements."""
    optional = {name: declaration for name, declaration in OF_POLICIES.items() if elements.get(name)}
    return {**SETS, **optional, **policies.declarations(elements)}


def static_comments(elements: Elements, *, marks: bool = False) -> dict[str, list[str]]:
    """The comments of each chain's rules; the first one of vn_forward contains the version of the chains."""
    rules = {name: chain.rules for name, chain in chains(elements, marks=marks).items()}
    comments = {name: [comment for _text, comment in of_chain] for name, of_chain in rules.items()}
    comments["vn_forward"][0] += f" [{version(elements, marks=marks)}]"
    return comments


def version(elements: Elements, *, marks: bool = False) -> str:
    """A digest of the declarations of sets and of the chains that a table with these elements has."""
    of_policies = _declarations(elements).keys() - SETS.keys()
    content = json.dumps([SETS, chains(elements, marks=marks), *sorted(of_policies)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def render(elements: Elements, *, marks: bool = False) -> str:
    """A script that creates the whole table in one transaction; an existing table is replaced.

    ``marks``: connections get the mark for other firewalls.
    """
    # nft 1.0.6 does not know "destroy table".
    lines = [f"table {FAMILY} {TABLE}", f"delete table {FAMILY} {TABLE}", f"table {FAMILY} {TABLE} {{"]
    for name, declaration in _declarations(elements).items():
        members = elements.get(name, {})
        body = f" elements = {{ {_element_list(name, members.items())} }};" if members else ""
        lines.append(f"\t{'map' if name in MAPS else 'set'} {name} {{ {declaration};{body} }}")
    lines += [f"\t{line}" for line in declarations([name for name in PORTS if elements.get(helper_set(name))])]
    comments = static_comments(elements, marks=marks)
    for name, chain in chains(elements, marks=marks).items():
        lines.append(f"\tchain {name} {{")
        lines += [f"\t\t{chain.hook}"] if chain.hook else []
        lines += [f'\t\t{text} comment "{comment}"' for (text, _comment), comment in zip(chain.rules, comments[name])]
        lines.append("\t}")
    return "\n".join([*lines, "}", ""])


def render_delta(before: Elements, after: Elements, *, marks: bool = False) -> str:
    """A script that changes the elements that differ; the whole table where the chains differ."""
    declarations_after = _declarations(after)
    if chains(before, marks=marks) != chains(after, marks=marks) or _declarations(before) != declarations_after:
        return render(after, marks=marks)
    deletions, additions = [], []
    for name in declarations_after:
        old, new = before.get(name, {}), after.get(name, {})
        removed, added = old.items() - new.items(), new.items() - old.items()
        if removed:
            # nft identifies an element of a map by key and value, an element of a set by the key alone.
            listed = [f"{_key(name, key)}{f' : {value}' if name in MAPS else ''}" for key, value in sorted(removed)]
            deletions.append(f"delete element {FAMILY} {TABLE} {name} {{ {', '.join(listed)} }}\n")
        if added:
            additions.append(f"add element {FAMILY} {TABLE} {name} {{ {_element_list(name, added)} }}\n")
    return "".join([*deletions, *additions])


def delete() -> str:
    """A script that deletes the table."""
    return f"delete table {FAMILY} {TABLE}\n"
