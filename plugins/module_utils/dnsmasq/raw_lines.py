# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's own lines of dnsmasq's configuration, limited to the guests of one network where tags can do that. Pure.

dnsmasq gives each DHCP request the name of its interface as a tag. Lines of DHCP that take tags get this one, so that
they concern no other guest. Tags that the user's lines set are renamed, so that no line of others refers to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile

from ..dhcp.dnsmasq_syntax import Setting, read_lines

# dnsmasq(8), version 2.91. In these, dnsmasq looks for the option's number among tags and words of some kinds.
_OPTIONS = frozenset(("dhcp-option", "dhcp-option-force", "dhcp-option-pxe"))
_OPTION, _CLASSES = ("option:", "option6:"), ("vendor:", "encap:", "vi-encap:")
# In these, tags that have to match come first, before the value. pxe-service and pxe-prompt take tags too, but they
# open port 4011, and add PXE options to the answers to all PXE clients. While dnsmasq waits because of
# dhcp-reply-delay, it serves no DHCP at all.
_TAGS_THEN_VALUE = _OPTIONS | {"dhcp-boot"}
# In these, the value consists of tags that have to match.
_TAGS_MAY_BE_ABSENT = frozenset(("dhcp-ignore-names", "dhcp-generate-names", "dhcp-broadcast"))
_TAGS = _TAGS_MAY_BE_ABSENT | {"dhcp-ignore"}
# These set a tag for requests of a kind, and concern nobody who does not refer to the tag.
_SETTERS = frozenset(
    (
        *("dhcp-match", "dhcp-name-match", "dhcp-vendorclass", "dhcp-userclass", "dhcp-mac"),
        *("dhcp-circuitid", "dhcp-remoteid", "dhcp-subscrid"),
    )
)
_CONDITIONAL_SETTER = "tag-if"
_SET, _MATCH = "set:", ("tag:", "net:")
# Tags that mean something to dnsmasq when they are set.
_MEANINGFUL = frozenset(("known", "known-othernet"))
# Not in the name of an interface, so that no tag of an interface is taken for one of these.
_SEPARATOR = "/"


def line_setting(line: str) -> Setting | None:
    """A line as dnsmasq reads it; None for one that it reads as several."""
    settings = list(read_lines(line, ""))
    return settings[0] if len(settings) == 1 else None


def can_be_limited(line: str) -> bool:
    """Whether tags can limit a line to the guests of one network."""
    setting = line_setting(line)
    if setting is None or setting.name != line.partition("=")[0].strip():
        return False
    # In quotes or a comment, a comma or a tag may be another one than it seems.
    if any(sign in tag for tag in _leading_tags(line) for sign in '"#'):
        return False
    if setting.value is None:
        return setting.name in _TAGS_MAY_BE_ABSENT
    if _tags(setting) != _leading_tags(line):
        return False
    if setting.name in _TAGS:
        return all(map(_is_match, setting.fields))
    if setting.name in _SETTERS:
        return setting.fields[0].startswith(_SET) and not _set_tags(line) & _MEANINGFUL
    return setting.name in _TAGS_THEN_VALUE or setting.name == _CONDITIONAL_SETTER


def limited_lines(lines: Sequence[str], interface: str) -> Iterator[str]:
    """Lines of which each can be limited, limited to the guests of one interface."""
    own_tags = frozenset[str]().union(*map(_set_tags, lines)) - _MEANINGFUL
    for line in lines:
        name, _equals, value = line.partition("=")
        name = name.strip()
        count = len(_leading_tags(line))
        fields = value.split(",")
        words = [_renamed(field.strip(), interface, own_tags) for field in fields[:count]]
        if name not in _SETTERS:
            words.insert(0, f"tag:{interface}")
        rest = ",".join(fields[count:]).strip()
        yield f"{name}={','.join([*words, rest] if rest else words)}"


def defaults_first(lines: Sequence[str]) -> dict[int, str]:
    """The lines by their numbers, those without tags of their own before those with tags.

    All of them get the tag of the interface, and of those with tags dnsmasq takes the last one.
    """
    return dict(sorted(enumerate(lines), key=lambda numbered: _is_for_some_guests(numbered[1])))


def prioritized(line: str, interface: str) -> str:
    """A line of an instance of one network, with the tag that makes it win over our own lines before it.

    dnsmasq prefers options with tags, and of these the last one (src/dhcp-common.c, option_filter(); seen with 2.90).
    """
    setting = line_setting(line)
    if setting is None or setting.name not in _TAGS_THEN_VALUE or setting.value is None:
        return line
    name, _equals, value = line.partition("=")
    return f"{name.strip()}=tag:{interface},{value.strip()}"


def refers_to_known(line: str) -> bool:
    """Whether a line is for guests that dnsmasq knows, or does not know."""
    setting = line_setting(line)
    tags = [] if setting is None else filter(_is_match, _tags(setting))
    return any(tag.partition(":")[2].lstrip("!") == "known" for tag in tags)


def sets_upstream_file(lines: Sequence[str]) -> bool:
    """Whether one of the lines says in which file dnsmasq finds the servers that it asks."""
    return any(setting.name == "resolv-file" for line in lines for setting in read_lines(line, ""))


def _is_for_some_guests(line: str) -> bool:
    setting = line_setting(line)
    return setting is not None and setting.name in _TAGS_THEN_VALUE and bool(_tags(setting))


def _tags(setting: Setting) -> list[str]:
    """The tags as dnsmasq reads them."""
    if setting.name not in _OPTIONS:
        return list(takewhile(lambda field: _is_match(field) or field.startswith(_SET), setting.fields))
    before = takewhile(lambda field: not (field.isdecimal() or field.startswith(_OPTION)), setting.fields)
    return [field for field in before if not field.startswith(_CLASSES)]


def _leading_tags(line: str) -> list[str]:
    """The fields before the value that set or match tags."""
    fields = [field.strip() for field in line.partition("=")[2].split(",")]
    count = next(
        (at for at, field in enumerate(fields) if not (_is_match(field) or field.startswith(_SET))), len(fields)
    )
    return fields[:count]


def _set_tags(line: str) -> frozenset[str]:
    return frozenset(field[len(_SET) :] for field in _leading_tags(line) if field.startswith(_SET))


def _is_match(field: str) -> bool:
    return field.startswith(_MATCH)


def _renamed(field: str, interface: str, own_tags: Collection[str]) -> str:
    kind, _colon, tag = field.partition(":")
    negation = "!" if tag.startswith("!") else ""
    plain = tag[len(negation) :]
    return f"{kind}:{negation}{interface}{_SEPARATOR}{plain}" if plain in own_tags else field
