# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of others, as hosts answer them, written as an inventory with the networks of each host. Pure.

The controller trusts no host, and what is written here is read as variables later. So each network is put to the model
once more, and a text in which Ansible could find a template is refused.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.options import NO_PROXY
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.dangerous_options import option_dangers
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.plugin_utils.answer_values import BadAnswer, Budget, Values, plain, shown
from ansible_collections.virtnet.linux.plugins.plugin_utils.answers import failure

MOST_NETWORKS = 4096
MOST_NOTES = 64
# Of all lists and values of an answer together.
MOST_ITEMS = 500_000
LONGEST_SENTENCE = 1024

_MOST_DEPTH = 12
_TEMPLATES = ("{{", "{%", "{#")
# UUIDs and MAC addresses that the model derives from it are not written.
_ANY_HOST = "import"
_WIDTH = 116
_INDENT = "    "

_HEAD = """\
# Networks that others run on these hosts, as virtnet.linux.import read them. Nothing was changed there, and nothing is
# until you take what you want into your own inventory. The guide "Coming from shell scripts" says how to go on.
# A run of the import replaces this file, and keeps a copy of it.
"""


def as_inventory(answers: Mapping[Any, Any]) -> str:
    """The results of virt_network_info with ``gather: foreign``, by host, as a YAML inventory with comments."""
    rows = [_HEAD, "all:\n", "  hosts:\n" if any(map(_answered, answers.values())) else "  hosts: {}\n"]
    for host, result in answers.items():
        rows += (f"{row}\n" for row in _host_rows(str(host), result))
    return "".join(rows)


def _answered(result: Any) -> bool:
    return isinstance(result, Mapping) and result.get("foreign") is not None


def _host_rows(host: str, result: Any) -> Iterator[str]:
    """The rows of one host: comments, its name, its networks."""
    try:
        if not isinstance(result, Mapping) or not _answered(result):
            raise BadAnswer(
                host, "", failure(result) if isinstance(result, Mapping) else f"{shown(result)} is no answer"
            )
        values = Values(host, result, budget=Budget(MOST_ITEMS))
        networks = list(values.each("foreign", most=MOST_NETWORKS))
        comments, items = _read(host, networks)
    except BadAnswer as error:
        yield from _comment_rows(f"{_comment(host)}: {_comment(error.sentence)}")
        return
    yield from (row for text in comments for row in _comment_rows(text))
    # With a value, since YAML would fold the name of a host that stands alone.
    variables = {"virtnet_networks": items} if items else {}
    text = yaml.safe_dump({host: variables}, sort_keys=False, width=_WIDTH, default_flow_style=False)
    yield from (f"{_INDENT}{row}" for row in text.rstrip("\n").split("\n"))


def _read(host: str, networks: list[Values]) -> tuple[list[str], list[dict[str, Any]]]:
    """The comments on the networks of a host, and those that can be ours; raises BadAnswer."""
    comments: list[str] = []
    items: dict[str, dict[str, Any]] = {}
    for one in networks:
        name = one.network_name("name")
        title = f"{name} ({_comment(one.text('source', longest=60))})"
        notes = [_comment(note) for note in one.texts("notes", most=MOST_NOTES, longest=LONGEST_SENTENCE)]
        stays = one.text("stays", "", longest=LONGEST_SENTENCE)
        if not stays:
            try:
                item = _item(host, one)
            except (BadAnswer, VirtnetError) as error:
                stays = f"what the host answers is no network: {error}"
            else:
                stays = f"{name!r} is given twice" if name in items else ""
                notes += map(_comment, option_dangers(item))
                items.setdefault(name, item)
        comments += [f"{title} stays: {_comment(stays)}"] if stays else []
        comments += [f"{title}: {note}" for note in notes]
    return comments, list(items.values())


def _comment(text: str) -> str:
    """A text in one line, in which nothing is a template."""
    shown_text = plain(text, LONGEST_SENTENCE)
    for mark in _TEMPLATES:
        shown_text = shown_text.replace(mark, " ".join(mark))
    return shown_text


def _comment_rows(text: str) -> Iterator[str]:
    for i, row in enumerate(textwrap.wrap(text, _WIDTH - len(_INDENT), break_long_words=False) or [""]):
        yield f"{_INDENT}# {'  ' if i else ''}{row}"


def _item(host: str, one: Values) -> dict[str, Any]:
    """The options of a network as plain data; raises BadAnswer and VirtnetError."""
    data = _plain(host, one.group("options").mapping(), "options", _MOST_DEPTH, Budget(MOST_ITEMS))
    network = read_network(Options(data), _ANY_HOST)
    if network.name != one.network_name("name"):
        raise BadAnswer(host, "options.name", "is another name than that of the network")
    return dict(data)


def _plain(host: str, value: Any, path: str, depth: int, budget: Budget) -> Any:
    """Data of Python's own types, in which no text is a template; raises BadAnswer."""
    budget.left -= 1
    if depth == 0 or budget.left < 0:
        raise BadAnswer(host, path, "is nested too deeply, or has too many values")
    if isinstance(value, Mapping):
        return {
            _plain(host, key, path, 1, budget): _plain(host, inner, path, depth - 1, budget)
            for key, inner in value.items()
            if isinstance(key, str)
        }
    if isinstance(value, (list, tuple)):
        return [_plain(host, inner, path, depth - 1, budget) for inner in value]
    if isinstance(value, str):
        text = str.__str__(value)
        # A newline alone is the value of a DHCP option: there is no proxy.
        if not (text.isprintable() or text == NO_PROXY) or any(mark in text for mark in _TEMPLATES):
            raise BadAnswer(host, path, f"{shown(value)} cannot be written into a file of variables")
        return "".join(text)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() < 64:
        return int(value)
    raise BadAnswer(host, path, f"{shown(value)} is no value of an option")
