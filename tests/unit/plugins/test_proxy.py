# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command by which a guest is reached through its host: every word arrives as it was given, by way of real ssh."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.plugin_utils.proxy import Access

# It takes the place of the ssh that connects to the host.
PRINT = """#!{python}
import json, os, sys
with open(os.path.join(os.path.dirname(sys.argv[0]), "words"), "w") as file:
    json.dump(sys.argv[1:], file)
"""


def words_of(access: Access, folder: Path, guest: str = "192.168.90.10") -> list[str]:
    """The words of the inner ssh, as they arrive when Ansible splits the arguments and real ssh runs the command."""
    program = folder / "ssh of the 'host'"
    program.write_text(PRINT.format(python=sys.executable))
    program.chmod(0o755)
    arguments = shlex.split(Access(**{**vars(access), "executable": str(program)}).proxy_arguments())
    ssh = ["ssh", "-F", "none", *arguments, "-p", "2022", "--", guest]
    subprocess.run(ssh, capture_output=True, check=False)
    words: list[str] = json.loads((folder / "words").read_text())
    return words


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"user": "root", "port": 2222, "key": "/keys/of hv1", "check_host_key": False, "timeout": 7},
        {"first": ("-C", "-o", "ControlPath=~/.ssh/%r@%h:%p"), "last": ("-o", "ProxyCommand=ssh -W '[%h]:%p' bastion")},
        {"last": ("-o", "UserKnownHostsFile=/a b/$HOME`id`", "$(touch x)", "'", '"', "\\", ";", "!", "*")},
        {"user": "$(touch x); ` % %h '", "key": "/k%%h/$x"},
    ],
)
def test_each_word_arrives_as_given(options: dict[str, Any], tmp_path: Path) -> None:
    access = Access(host="hv1.example.org", **options)
    words = words_of(access, tmp_path)
    assert words[:2] == ["-o", "ControlMaster=no"]
    assert words[-4:] == ["-W", "[192.168.90.10]:2022", "--", "hv1.example.org"]
    expected = [*access.first, *access.last]
    expected += [f'User="{access.user}"'] if access.user else []
    expected += [f'IdentityFile="{access.key}"'] if access.key else []
    expected += [f"Port={access.port}"] if access.port else []
    expected += ["StrictHostKeyChecking=no"] if not access.check_host_key else []
    for word in expected:
        assert word in words


def test_addresses_of_ipv6_on_both_sides(tmp_path: Path) -> None:
    words = words_of(Access(host="fe80::1%eth0"), tmp_path, "fd00:90::10")
    assert words[-4:] == ["-W", "[fd00:90::10]:2022", "--", "fe80::1%eth0"]


@pytest.mark.parametrize(
    "options",
    [
        {"host": ""},
        {"host": "-oProxyCommand=id"},
        {"host": "hv1\nhv2"},
        {"host": "hv1", "user": "-oProxyCommand=id"},
        {"host": "hv1", "user": 'a" -oProxyCommand="id'},
        {"host": "hv1", "key": 'k" x'},
        {"host": "hv1", "executable": "-x"},
        {"host": "hv1", "last": ("-o\nx",)},
    ],
)
def test_what_would_become_an_option_or_a_second_line_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="to reach it"):
        Access(**options)


def test_options_of_ansibles_connection_plugin() -> None:
    options = {
        "host": "192.0.2.1",
        "remote_user": "admin",
        "port": 2222,
        "private_key_file": "~/key",
        "ssh_executable": "ssh",
        "ssh_args": "-C -o 'A=b c'",
        "ssh_common_args": "-o X=1",
        "ssh_extra_args": "-o Y=2",
        "host_key_checking": False,
        "timeout": 10,
    }
    access = Access.from_options(options)
    assert access == Access(
        host="192.0.2.1",
        user="admin",
        port=2222,
        key=str(Path("~/key").expanduser()),
        first=("-C", "-o", "A=b c"),
        last=("-o", "X=1", "-o", "Y=2"),
        check_host_key=False,
        timeout=10,
    )
    assert Access.from_json(json.loads(json.dumps(access.as_json()))) == access
