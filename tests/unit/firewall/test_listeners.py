# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Port forwards of ports on which a program listens."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.listeners import (
    check_listeners,
    parse,
    read_listeners,
)
from ansible_collections.virtnet.linux.plugins.module_utils.nft.port_forwards import Forward

# iproute2 6.1.
LISTING = """\
udp   UNCONN 0      0          192.168.30.1:53         0.0.0.0:*    users:(("dnsmasq",pid=7,fd=4)) ino:1 sk:1 <->
udp   UNCONN 0      0            127.0.0.53%lo:5353    0.0.0.0:*    users:(("stub",pid=6,fd=4)) ino:1 sk:1 <->
tcp   LISTEN 0      128              0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=8,fd=3)) ino:2 sk:2 <->
tcp   LISTEN 0      511                    *:80              *:*    users:(("nginx",pid=9,fd=3),("nginx",pid=10,fd=3))
tcp   LISTEN 0      5                  [::1]:631          [::]:*    ino:4 sk:4 v6only:1 <->
tcp   LISTEN 0      5                   [::]:8443         [::]:*    ino:4 sk:4 v6only:1 <->
"""


def message(forward: Forward) -> str:
    try:
        check_listeners([(forward, "network 'lab'")], parse(LISTING))
    except InvalidOption as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (Forward("tcp", 22, 22, "10.0.0.2", 22), "sshd (process 8), which listens on all addresses"),
        (Forward("tcp", 1, 80, "10.0.0.2", None, "203.0.113.2"), "port 22 from sshd"),
        (Forward("tcp", 80, 80, "10.0.0.2", 80), "nginx (process 9)"),
        (Forward("tcp", 80, 80, "fd00::2", 80), "nginx (process 9)"),
        (Forward("tcp", 8443, 8443, "fd00::2", 80), "port 8443 from a program"),
        (Forward("udp", 53, 53, "10.0.0.2", 53, "192.168.30.1"), "dnsmasq (process 7), which listens on 192.168.30.1"),
    ],
)
def test_a_forward_of_a_port_in_use_is_refused_with_both_names(forward: Forward, expected: str) -> None:
    assert expected in message(forward)
    assert str(forward) in message(forward)


@pytest.mark.parametrize(
    "forward",
    [
        Forward("udp", 22, 22, "10.0.0.2", 22),
        Forward("tcp", 22, 22, "fd00::2", 22),
        Forward("tcp", 631, 631, "fd00::2", 631),
        Forward("tcp", 8443, 8443, "10.0.0.2", 80),
        Forward("udp", 53, 53, "10.0.0.2", 53, "203.0.113.2"),
        Forward("udp", 5353, 5353, "10.0.0.2", 5353),
    ],
)
def test_other_ports_can_be_forwarded(forward: Forward) -> None:
    assert message(forward) == ""


def test_a_socket_of_this_process_is_found() -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        assert [s.address for s in read_listeners() if s.port == port and s.protocol == "tcp"] == [""]
