# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parser of dnsmasq's syntax: lines of a configuration file, and a command line. Pure.

Follows read_file() and read_opts() in src/option.c of dnsmasq 2.90. Abbreviated long options on a command line are not
supported.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..core.options import Address, without_zone

COMMAND_LINE = ""

# Long options without a value. All others have one; on a command line an optional one only after "=".
_NO_VALUE = frozenset(
    """
    all-servers bind-dynamic bind-interfaces bogus-priv clear-on-reload conntrack dhcp-authoritative
    dhcp-client-update dhcp-fqdn dhcp-ignore-clid dhcp-no-override dhcp-rapid-commit dhcp-sequential-ip
    dns-loop-detect dnssec dnssec-debug dnssec-no-timecheck domain-needed enable-ra expand-hosts filter-A
    filter-AAAA filterwin2k help keep-in-foreground leasefile-ro local-service localise-queries localmx log-debug
    log-dhcp no-0x20-encode no-daemon no-hosts no-ident no-negcache no-ping no-poll no-resolv no-round-robin
    proxy-dnssec quiet-dhcp quiet-dhcp6 quiet-ra quiet-tftp read-ethers rebind-localhost-ok script-arp
    script-on-renewal selfmx stop-dns-rebind strict-order strip-mac strip-subnet test tftp-lowercase
    tftp-no-blocksize tftp-no-fail tftp-secure tftp-single-port version
    """.split()
)
_OPTIONAL_VALUE = frozenset(
    """
    add-mac add-subnet bootp-dynamic cache-size conf-file connmark-allowlist-enable dhcp-alternate-port
    dhcp-broadcast dhcp-generate-names dhcp-ignore-names dhcp-leasefile dhcp-proxy dnssec-check-unsigned
    enable-dbus enable-tftp enable-ubus group leasequery local-service log-async log-queries pid-file resolv-file
    tftp-unique-root umbrella use-stale-cache user
    """.split()
)
_SHORT_WITHOUT_VALUE = frozenset("951yZDNLERKzowefnbvhdkq")
# Only the short options that the engine uses; any other has its letter as its name.
_LONG_OF_SHORT = {
    "C": "conf-file",
    "D": "domain-needed",
    "7": "conf-dir",
    "i": "interface",
    "I": "except-interface",
    "2": "no-dhcp-interface",
    "a": "listen-address",
    "z": "bind-interfaces",
    "p": "port",
    "J": "dhcp-ignore",
    "F": "dhcp-range",
    "G": "dhcp-host",
    "s": "domain",
    "l": "dhcp-leasefile",
}
# Special characters within quotes are replaced until the value has been split at its commas.
_REPLACE = {ord(sign): 0xE000 + ord(sign) for sign in " ,.:"}
_RESTORE = {hidden: sign for sign, hidden in _REPLACE.items()}
_ESCAPES = {'"': '"', "\\": "\\", "t": "\t", "n": "\n", "b": "\b", "r": "\r", "e": "\033"}
# fgets() with a buffer of MAXDNAME (1025): up to 2.91, dnsmasq reads the rest of a longer line as a new line.
_LONGEST_LINE = 1024


@dataclass(frozen=True)
class Setting:
    """One option as dnsmasq reads it; ``value`` is None if it has none. Line 0 is the command line."""

    name: str
    value: str | None
    fields: tuple[str, ...] = ()
    file: str = COMMAND_LINE
    line: int = 0

    def __str__(self) -> str:
        text = self.name if self.value is None else f"{self.name}={self.value}"
        return f"{text!r} in line {self.line} of {self.file}" if self.file else f"'--{text}' on dnsmasq's command line"


def address_in(text: str) -> Address | None:
    """The address that a text is, also in brackets; None for anything else."""
    try:
        return ipaddress.ip_address(without_zone(text.strip("[]")))
    except ValueError:
        return None


def quoted(text: str) -> str:
    """A text in quotes, so that no character has a special meaning. The caller must refuse control characters."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_lines(content: str, file: str) -> Iterator[Setting]:
    """The settings in the content of a file, in order."""
    for number, whole in enumerate(content.split("\n"), 1):
        for start in range(0, len(whole), _LONGEST_LINE):
            text = _without_quotes(whole[start : start + _LONGEST_LINE].partition("\0")[0])
            name, equals, value = text.partition("=")
            if text:
                name = name.rstrip(" ").translate(_RESTORE)
                yield _new_setting(name, value.lstrip(" ") if equals else None, file, number)


def _new_setting(name: str, value: str | None, file: str = COMMAND_LINE, line: int = 0) -> Setting:
    if value is None:
        return Setting(name, None, (), file, line)
    fields = tuple(field.strip(" ").translate(_RESTORE) for field in value.split(","))
    return Setting(name, value.translate(_RESTORE), fields, file, line)


def _without_quotes(line: str) -> str:
    """A line without comment and quotes, with quoted special characters replaced; '' for an empty line."""
    # Most lines have neither quotes nor comments; the full parser below takes some 30 times as long.
    if '"' not in line and "#" not in line:
        return line.translate(_SPACES).strip(" ")
    result: list[str] = []
    at, after_space = 0, True
    while at < len(line):
        if line[at] == '"':
            inside, at = _inside_quotes(line, at + 1)
            result.append(inside)
            # dnsmasq continues with the character after the closing quote, and does not check whether it is a quote.
            if at >= len(line):
                break
        sign = line[at]
        if sign in " \t\n\v\f\r":
            sign, after_space = " ", True
        elif after_space and sign == "#":
            break
        else:
            after_space = False
        result.append(sign)
        at += 1
    return "".join(result).strip(" ")


_SPACES = {ord(sign): " " for sign in "\t\n\v\f\r"}


def _inside_quotes(line: str, at: int) -> tuple[str, int]:
    """The text up to the closing quote, with special characters replaced, and the position after that quote.

    A quote that is not closed ends with the line.
    """
    result: list[str] = []
    while at < len(line) and line[at] != '"':
        if line[at] == "\\" and line[at + 1 : at + 2] in _ESCAPES:
            at += 1
            result.append(_ESCAPES[line[at]])
        else:
            result.append(line[at])
        at += 1
    return "".join(result).translate(_REPLACE), at + 1


@dataclass(frozen=True)
class Argument:
    """One option of a command line, and the words that it consists of."""

    setting: Setting
    words: tuple[str, ...]


def read_arguments(words: Sequence[str]) -> list[Argument]:
    """The options of a command line without the program's name, split as getopt_long(3) does it."""
    arguments: list[Argument] = []
    following = iter(words)
    for word in following:
        if word == "--":
            break
        if word.startswith("--"):
            arguments.append(_long(word, following))
        elif word.startswith("-"):
            arguments += _short(word, following)
    return arguments


def _long(word: str, following: Iterator[str]) -> Argument:
    """The option of a word such as --name=value; ``following``: the next words, of which it may take one."""
    name, equals, value = word[2:].partition("=")
    if equals:
        return Argument(_new_setting(name, value), (word,))
    next_word = None if name in _NO_VALUE or name in _OPTIONAL_VALUE else next(following, None)
    return Argument(_new_setting(name, next_word), (word,) if next_word is None else (word, next_word))


def _short(word: str, following: Iterator[str]) -> Iterator[Argument]:
    """The options of a word such as -hkC; only the last one can have a value, the rest of the word or the next word."""
    for at, letter in enumerate(word[1:], 1):
        name = _LONG_OF_SHORT.get(letter, letter)
        if letter in _SHORT_WITHOUT_VALUE:
            yield Argument(_new_setting(name, None), (f"-{letter}",))
            continue
        value = word[at + 1 :] or next(following, None)
        if value is not None:
            yield Argument(_new_setting(name, value), (f"-{letter}", value))
        return
