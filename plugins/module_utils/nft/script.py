# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nft scripts that load, change and delete the table ``inet virtnet``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from . import policies
from .chains import Chain, Rule, chains
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


def _kind(name: str) -> str:
    return "map" if name in MAPS else "set"


def _set(name: str, declaration: str, members: Mapping[tuple[str, ...], str]) -> str:
    body = f" elements = {{ {_element_list(name, members.items())} }};" if members else ""
    return f"{_kind(name)} {name} {{ {declaration};{body} }}"


def _helpers(elements: Elements) -> dict[str, str]:
    """The declarations of the helpers of conntrack by name."""
    return declarations([name for name in PORTS if elements.get(helper_set(name))])


def _rule(rule: Rule) -> str:
    text, comment = rule
    return f'{text} comment "{comment}"'


def _labelled_chains(elements: Elements, *, marks: bool) -> dict[str, Chain]:
    """The chains with the comments that they have in the kernel."""
    comments = static_comments(elements, marks=marks)
    return {
        name: chain._replace(rules=[(text, label) for (text, _comment), label in zip(chain.rules, comments[name])])
        for name, chain in chains(elements, marks=marks).items()
    }


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
        lines.append(f"\t{_set(name, declaration, elements.get(name, {}))}")
    lines += [f"\t{line}" for line in _helpers(elements).values()]
    for name, chain in _labelled_chains(elements, marks=marks).items():
        lines.append(f"\tchain {name} {{")
        lines += [f"\t\t{chain.hook}"] if chain.hook else []
        lines += [f"\t\t{_rule(rule)}" for rule in chain.rules]
        lines.append("\t}")
    return "\n".join([*lines, "}", ""])


class Delta(NamedTuple):
    """The changes of a loaded table: ``script`` makes them in one transaction.

    ``new_sets``: scripts by set, to be loaded before in a transaction of their own. The kernel shows packets the
    elements of a set with intervals of several fields only at the end of a transaction, when its rules are in force
    already (nft_pipapo_commit() in net/netfilter/nft_set_pipapo.c).
    """

    script: str = ""
    new_sets: Mapping[str, str] = {}

    @property
    def first(self) -> str:
        """The script of the new sets."""
        return "".join(self.new_sets.values())

    @property
    def revert(self) -> str:
        """A script that deletes the new sets."""
        return "".join(f"delete set {FAMILY} {TABLE} {name}\n" for name in self.new_sets)


def render_delta(before: Elements, after: Elements, *, marks: bool = False, marked: bool | None = None) -> Delta:
    """What differs: sets, elements and chains; what stays is not touched, so that no new connection is refused.

    ``marked``: ``marks`` of the loaded table, if they are others.
    """
    old_chains = _labelled_chains(before, marks=marks if marked is None else marked)
    new_chains = _labelled_chains(after, marks=marks)
    old_sets, new_sets = _declarations(before), _declarations(after)
    kept_sets = [name for name in new_sets if name in old_sets]
    separate = [name for name in new_sets if name not in old_sets and name not in MAPS]
    changed = [name for name, chain in new_chains.items() if old_chains.get(name) != chain]
    gone = [name for name in old_chains if name not in new_chains]
    old_helpers, new_helpers = _helpers(before), _helpers(after)
    declared = [
        *(
            _set(name, declaration, {})
            for name, declaration in new_sets.items()
            if name in MAPS and name not in old_sets
        ),
        *(declaration for name, declaration in new_helpers.items() if name not in old_helpers),
        *(f"chain {name} {{ {new_chains[name].hook} }}" for name in changed if name not in old_chains),
    ]
    lines = [f"table {FAMILY} {TABLE} {{\n", *(f"\t{line}\n" for line in declared), "}\n"] if declared else []
    lines += [_deletion(name, removed) for name in kept_sets if (removed := _missing(before, after, name))]
    lines += [f"flush chain {FAMILY} {TABLE} {name}\n" for name in (*changed, *gone) if name in old_chains]
    for name in changed:
        lines += [f"add rule {FAMILY} {TABLE} {name} {_rule(rule)}\n" for rule in new_chains[name].rules]
    lines += [
        f"add element {FAMILY} {TABLE} {name} {{ {_element_list(name, added)} }}\n"
        for name in new_sets
        if name not in separate and (added := _missing(after, before, name))
    ]
    lines += [f"delete {_kind(name)} {FAMILY} {TABLE} {name}\n" for name in old_sets if name not in new_sets]
    lines += [f"delete chain {FAMILY} {TABLE} {name}\n" for name in gone]
    lines += [f"delete ct helper {FAMILY} {TABLE} {name}\n" for name in old_helpers if name not in new_helpers]
    return Delta(
        "".join(lines),
        {
            name: f"table {FAMILY} {TABLE} {{\n\t{_set(name, new_sets[name], after.get(name, {}))}\n}}\n"
            for name in separate
        },
    )


def _missing(elements: Elements, others: Elements, name: str) -> Collection[tuple[tuple[str, ...], str]]:
    """The elements of a set that are not among the others."""
    return elements.get(name, {}).items() - others.get(name, {}).items()


def _deletion(name: str, elements: Iterable[tuple[tuple[str, ...], str]]) -> str:
    # nft identifies an element of a map by key and value, an element of a set by the key alone.
    listed = [f"{_key(name, key)}{f' : {value}' if name in MAPS else ''}" for key, value in sorted(elements)]
    return f"delete element {FAMILY} {TABLE} {name} {{ {', '.join(listed)} }}\n"


def delete() -> str:
    """A script that deletes the table."""
    return f"delete table {FAMILY} {TABLE}\n"
