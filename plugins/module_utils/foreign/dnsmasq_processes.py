# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads each dnsmasq that runs on the host, with the files that it was started with.

Any user can run a program of this name with any arguments, and a setting can name a file or a command. So a process
counts only if it has the rights that a DHCP server needs, and no command of a configuration is run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..core.errors import VirtnetError
from ..core.paths import Paths
from ..core.untrusted import UnusableFile, read_untrusted_text
from ..dhcp.dnsmasq_syntax import Setting, read_lines
from ..dnsmasq.config_reader import HostReader, read_config
from ..dnsmasq.system_config import Config

_PROC = "/proc"
_PROGRAM = "dnsmasq"
# A command line of the kernel's limit for one argument (MAX_ARG_STRLEN), and a status of some kilobytes.
_LARGEST = 128 * 1024
_LARGEST_HOSTS_FILE = 4 * 1024 * 1024
# include/uapi/linux/capability.h: dnsmasq keeps it for ARP entries, as every user that it changes to.
_CAP_NET_ADMIN = 1 << 12


class _QuietReader(HostReader):
    """Reads files, and runs no commands (conf-script)."""

    def output(self, command: str) -> str:
        """Nothing: the output of a command is not known."""
        del command
        return ""


def read_servers(paths: Paths) -> tuple[list[Config], list[str]]:
    """The configurations of all that serve this network namespace, and why one is left out. Ours are not among them."""
    servers: list[Config] = []
    problems: list[str] = []
    for words in _commands():
        if any(word.partition("=")[2].startswith(paths.private_instances) for word in words) or any(
            word.startswith(paths.private_instances) for word in words
        ):
            continue
        try:
            config = read_config(words, _QuietReader(), paths.dnsmasq_fragments)
        except (VirtnetError, OSError) as error:
            problems.append(f"a dnsmasq is left out, since its configuration cannot be read: {error}")
            continue
        servers.append(replace(config, settings=(*config.settings, *_hosts_files(config))))
    return servers, problems


def _hosts_files(config: Config) -> Iterator[Setting]:
    """The static hosts in the files that dhcp-hostsfile names, a file or a folder of files."""
    for setting in config.named("dhcp-hostsfile", "dhcp-hostsdir"):
        path = os.path.join("/", setting.value or "")
        files = [path]
        if os.path.isdir(path):
            with contextlib.suppress(OSError):
                files = [os.path.join(path, name) for name in sorted(os.listdir(path)) if name[:1] not in (".", "#")]
        for file in files:
            with contextlib.suppress(UnusableFile):
                text = read_untrusted_text(file, _LARGEST_HOSTS_FILE) or ""
                for row in text.splitlines():
                    yield from read_lines(f"dhcp-host={row}", file) if row.strip()[:1] not in ("", "#") else ()


def _commands() -> Iterator[Sequence[str]]:
    """The command lines of all dnsmasq in our network namespace with the rights of a DHCP server."""
    seen = set()
    for name in sorted((name for name in os.listdir(_PROC) if name.isdecimal()), key=int):
        folder = os.path.join(_PROC, name)
        with contextlib.suppress(OSError, UnusableFile):
            words = tuple((read_untrusted_text(f"{folder}/cmdline", _LARGEST) or "").split("\0")[:-1])
            if not words or os.path.basename(words[0]) != _PROGRAM or not _is_server_here(folder):
                continue
            # dnsmasq has a second process for scripts, with the same command line.
            if words not in seen:
                seen.add(words)
                yield words


def _is_server_here(folder: str) -> bool:
    same = all(os.readlink(f"{folder}/ns/{kind}") == os.readlink(f"{_PROC}/self/ns/{kind}") for kind in ("net", "user"))
    status = read_untrusted_text(f"{folder}/status", _LARGEST) or ""
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return same and bool(int(effective, 16) & _CAP_NET_ADMIN)
