# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a guest is reached by ssh through its host. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Access:
    """How Ansible itself reaches a host by ssh: the options of its connection plugin ssh, whatever gave them.

    ``first``: ssh_args; ``last``: ssh_common_args and ssh_extra_args, each split into words. ``timeout`` in seconds,
    0 for the default of ssh.
    """

    host: str
    user: str = ""
    port: int = 0
    key: str = ""
    executable: str = "ssh"
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    check_host_key: bool = True
    timeout: int = 0

    def __post_init__(self) -> None:
        """Refuse what ssh or the shell would take for something else. Raises ValueError.

        Words of other fields are quoted; a quotation mark within an option of ssh_config(5) cannot be.
        """
        for name in ("host", "user", "key", "executable"):
            text = getattr(self, name)
            if not text.isprintable():
                raise ValueError(f"the {name} to reach it has characters that cannot be printed")
            if name != "key" and text.startswith("-"):
                raise ValueError(f"the {name} to reach it begins with '-'")
            if name in ("user", "key") and '"' in text:
                raise ValueError(f"the {name} to reach it has a quotation mark")
        if not self.host:
            raise ValueError("the host to reach it has no address")
        if any("\n" in word or "\0" in word for word in (*self.first, *self.last)):
            raise ValueError("the arguments of ssh to reach it have a line break")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Access:
        """From the options of Ansible's connection plugin ssh; raises ValueError."""
        words = [options.get(name) or "" for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")]
        first, common, extra = (tuple(shlex.split(str(text))) for text in words)
        key = options.get("private_key_file")
        return cls(
            host=str(options.get("host") or ""),
            user=str(options.get("remote_user") or ""),
            port=int(options.get("port") or 0),
            key=str(Path(str(key)).expanduser()) if key else "",
            executable=str(options.get("ssh_executable") or "ssh"),
            first=first,
            last=(*common, *extra),
            check_host_key=options.get("host_key_checking") is not False,
            timeout=int(options.get("timeout") or 0),
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Access:
        """The inverse of ``as_json``; raises TypeError or ValueError."""
        return cls(**{**data, "first": tuple(data["first"]), "last": tuple(data["last"])})

    def as_json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)

    def command(self) -> list[str]:
        """The words of a command that connects its standard input and output with a guest's port of ssh.

        Options and their order are those of Ansible's own connection to the host (_build_command() in ansible-core's
        plugins/connection/ssh.py), because ssh takes the first value of each. ``-W [%h]:%p`` is what ssh itself makes
        of ProxyJump (OpenSSH's ssh.c); it takes IPv4 addresses, IPv6 addresses and names.
        """
        return [*map(_no_tokens, [self.executable, *self._options()]), "-W", "[%h]:%p", "--", _no_tokens(self.host)]

    def _options(self) -> Iterator[str]:
        # It uses a shared connection where ssh's configuration names one, and never becomes one itself.
        yield from ("-o", "ControlMaster=no", *self.first)
        if not self.check_host_key:
            yield from ("-o", "StrictHostKeyChecking=no")
        if self.port:
            yield from ("-o", f"Port={self.port}")
        if self.key:
            yield from ("-o", f'IdentityFile="{self.key}"')
        # A password of the host is not passed on: every user of the controller could read it in the list of processes.
        yield from ("-o", "KbdInteractiveAuthentication=no", "-o", "PasswordAuthentication=no")
        if self.user:
            yield from ("-o", f'User="{self.user}"')
        if self.timeout:
            yield from ("-o", f"ConnectTimeout={self.timeout}")
        yield from self.last

    def proxy_arguments(self) -> str:
        """The same as a value of ansible_ssh_common_args.

        It is split into words twice: by Ansible, with shlex, and by the user's shell, to which ssh gives a ProxyCommand
        (ssh_config(5)).
        """
        command = " ".join(map(_quoted, self.command()))
        return f"-o {shlex.quote(f'ProxyCommand={command}')}"


def _no_tokens(word: str) -> str:
    """A word in which ssh finds no tokens (ssh_config(5), TOKENS) when it reads the ProxyCommand."""
    return word.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word for the shell whose quotation marks are in pairs for ssh too.

    ssh refuses an option with an odd quotation mark, and in single quotes takes a backslash before one as its escape
    (argv_split() in OpenSSH's misc.c); the shell does not.
    """
    return '"\\\\"'.join(shlex.quote(part) if part else "" for part in word.split("\\")) or "''"
