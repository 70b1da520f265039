# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""dnsmasq's own syntax: one line of a configuration file, and a command line. Pure.

Follows read_file() and read_opts() of dnsmasq's src/option.c, version 2.90. Not followed: long options
that are abbreviated on the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

COMMAND_LINE = ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Long options without a value; all others take one (the optional ones only after "=" on a command line).
_NO_VALUE = _words(
    """
    all-servers bind-dynamic bind-interfaces bogus-priv clear-on-reload conntrack dhcp-authoritative
    dhcp-client-update dhcp-fqdn dhcp-ignore-clid dhcp-no-override dhcp-rapid-commit dhcp-sequential-ip
    dns-loop-detect dnssec dnssec-debug dnssec-no-timecheck domain-needed enable-ra expand-hosts filter-A
    filter-AAAA filterwin2k help keep-in-foreground leasefile-ro local-service localise-queries localmx log-debug
    log-dhcp no-0x20-encode no-daemon no-hosts no-ident no-negcache no-ping no-poll no-resolv no-round-robin
    proxy-dnssec quiet-dhcp quiet-dhcp6 quiet-ra quiet-tftp read-ethers rebind-localhost-ok script-arp
    script-on-renewal selfmx stop-dns-rebind strict-order strip-mac strip-subnet test tftp-lowercase
    tftp-no-blocksize tftp-no-fail tftp-secure tftp-single-port version
    """
)
_OPTIONAL_VALUE = _words(
    """
    add-mac add-subnet bootp-dynamic cache-size conf-file connmark-allowlist-enable dhcp-alternate-port
    dhcp-broadcast dhcp-generate-names dhcp-ignore-names dhcp-leasefile dhcp-proxy dnssec-check-unsigned
    enable-dbus enable-tftp enable-ubus group leasequery local-service log-async log-queries pid-file resolv-file
    tftp-unique-root umbrella use-stale-cache user
    """
)
_SHORT_WITHOUT_VALUE = frozenset("951yZDNLERKzowefnbvhdkq")
# Only those whose meaning somebody asks for; any other short option keeps its letter as its name.
_LONG_OF_SHORT = {
    "C": "conf-file",
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
# What quotes take the meaning from is moved out of the way until the value has been split at its commas.
_META = " ,.:"
_HIDE = {ord(sign): 0xE000 + ord(sign) for sign in _META}
_SHOW = {hidden: sign for sign, hidden in _HIDE.items()}
_ESCAPES = {'"': '"', "\\": "\\", "t": "\t", "n": "\n", "b": "\b", "r": "\r", "e": "\033"}
# fgets() into a buffer of MAXDNAME (1025): up to 2.91, what is longer is read as a further line.
_LONGEST_LINE = 1024


@dataclass(frozen=True)
class Setting:
    """One option as dnsmasq reads it; ``value`` None where none was given. Line 0 is the command line."""

    name: str
    value: str | None
    fields: tuple[str, ...] = ()
    file: str = COMMAND_LINE
    line: int = 0

    def __str__(self) -> str:
        text = self.name if self.value is None else f"{self.name}={self.value}"
        return f"{text!r} in line {self.line} of {self.file}" if self.file else f"'--{text}' on dnsmasq's command line"


def quoted(text: str) -> str:
    """A text as one value that means nothing but itself; control characters are for the caller to refuse."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_lines(content: str, file: str) -> Iterator[Setting]:
    """The settings of one file, in order."""
    for number, whole in enumerate(content.split("\n"), 1):
        for start in range(0, len(whole), _LONGEST_LINE):
            text = _plain(whole[start : start + _LONGEST_LINE].partition("\0")[0])
            if text:
                yield _setting(text, file, number)


def _setting(text: str, file: str, line: int) -> Setting:
    name, equals, value = text.partition("=")
    return _made(name.rstrip(" ").translate(_SHOW), value.lstrip(" ") if equals else None, file, line)


def _made(name: str, value: str | None, file: str = COMMAND_LINE, line: int = 0) -> Setting:
    if value is None:
        return Setting(name, None, (), file, line)
    fields = tuple(field.strip(" ").translate(_SHOW) for field in value.split(","))
    return Setting(name, value.translate(_SHOW), fields, file, line)


def _plain(line: str) -> str:
    """A line without its comment and quotes, what was quoted hidden; '' for a line that says nothing."""
    # Most lines of most files; the careful way below costs some 30 times as much.
    if '"' not in line and "#" not in line:
        return line.translate(_SPACES).strip(" ")
    result: list[str] = []
    at, white = 0, True
    while at < len(line):
        if line[at] == '"':
            inside, at = _inside_quotes(line, at + 1)
            result.append(inside)
            # dnsmasq goes on with the character after the closing quote without looking for a quote again.
            if at >= len(line):
                break
        sign = line[at]
        if sign in " \t\n\v\f\r":
            sign, white = " ", True
        elif white and sign == "#":
            break
        else:
            white = False
        result.append(sign)
        at += 1
    return "".join(result).strip(" ")


_SPACES = {ord(sign): " " for sign in "\t\n\v\f\r"}


def _inside_quotes(line: str, at: int) -> tuple[str, int]:
    """The text up to the closing quote, hidden, and the place after that quote; an open quote ends with the line."""
    result: list[str] = []
    while at < len(line) and line[at] != '"':
        if line[at] == "\\" and line[at + 1 : at + 2] in _ESCAPES:
            at += 1
            result.append(_ESCAPES[line[at]])
        else:
            result.append(line[at])
        at += 1
    return "".join(result).translate(_HIDE), at + 1


@dataclass(frozen=True)
class Argument:
    """One option of a command line: what it says, and the words that said it."""

    setting: Setting
    words: tuple[str, ...]


def read_arguments(words: Sequence[str]) -> list[Argument]:
    """The options of a command line without the program's name, as getopt_long(3) cuts it."""
    found: list[Argument] = []
    at = 0
    while at < len(words):
        word = words[at]
        following = words[at + 1] if at + 1 < len(words) else None
        if word == "--":
            break
        if word.startswith("--"):
            taken = _long(word, following, found)
        elif word.startswith("-") and len(word) > 1:
            taken = _short(word, following, found)
        else:
            taken = 1
        at += taken
    return found


def _long(word: str, following: str | None, found: list[Argument]) -> int:
    name, equals, value = word[2:].partition("=")
    if equals:
        found.append(Argument(_made(name, value), (word,)))
    elif name in _NO_VALUE or name in _OPTIONAL_VALUE or following is None:
        found.append(Argument(_made(name, None), (word,)))
    else:
        found.append(Argument(_made(name, following), (word, following)))
        return 2
    return 1


def _short(word: str, following: str | None, found: list[Argument]) -> int:
    """One word may hold several options without value, the last of them one with a value."""
    for at, letter in enumerate(word[1:], 1):
        name = _LONG_OF_SHORT.get(letter, letter)
        if letter in _SHORT_WITHOUT_VALUE:
            found.append(Argument(_made(name, None), (f"-{letter}",)))
        elif word[at + 1 :]:
            found.append(Argument(_made(name, word[at + 1 :]), (f"-{letter}", word[at + 1 :])))
            return 1
        elif following is not None:
            found.append(Argument(_made(name, following), (f"-{letter}", following)))
            return 2
    return 1
