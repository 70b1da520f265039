# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What dnsmasq refuses has the name of the network, the options and the line, also where dnsmasq names no line."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.config_check import check_lines, check_start
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.refused_lines import with_place
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_config import Line

PLAIN = ["no-hosts", "no-resolv", "domain=x.test,192.168.30.0/24", "dhcp-range=192.168.30.2,192.168.30.9"]


def refused(*lines: str) -> str:
    """The error of a private instance of the network lab with these lines, '' for none."""
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin") or "dnsmasq"
    whole = [Line(text, "_.conf", at) for at, text in enumerate(PLAIN, 1)]
    whole += [Line(text, "lab.conf", at, "lab") for at, text in enumerate(lines, 1)]
    try:
        check_lines((program,), whole)
        check_start(program, whole, "lab")
    except VirtnetError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("cname=b.test,a.test", "CNAME loop involving b.test (line 2 of lab.conf: 'cname=a.test,b.test')"),
        ("user=nosuchuser", "unknown user or group: nosuchuser (line 3 of lab.conf: 'user=nosuchuser')"),
        ("group=nosuchgroup", "unknown user or group: nosuchgroup (line 3 of lab.conf: 'group=nosuchgroup')"),
        ("conf-file=/no/such", "cannot read /no/such: No such file or directory (line 3 of lab.conf: 'conf-file=/no"),
        ("conf-dir=/no/such,*.x", "cannot access directory /no/such: No such file or directory (line 3 of lab.conf"),
        ("tftp-root=/no/such", "TFTP directory /no/such inaccessible: No such file or directory (line 3 of lab.conf"),
        ("dnssec", "no root trust anchor provided for DNSSEC (line 3 of lab.conf: 'dnssec')"),
        ("trust-anchor=.,1,2,zz", "bad trust anchor in line 3 of lab.conf: 'trust-anchor=.,1,2,zz'"),
        ("auth-zone=x.test", "--auth-server required when an auth zone is defined. (line 3 of lab.conf: 'auth-zone"),
        ("dhcp-host=52:54:00:00:00:02,192.168.30.9", "duplicate dhcp-host IP address 192.168.30.9 in line 3 of lab"),
    ],
)
def test_a_refusal_has_the_network_and_the_line(line: str, problem: str) -> None:
    error = refused("enable-tftp", "cname=a.test,b.test", line, "dhcp-host=52:54:00:00:00:01,192.168.30.9")
    if line.startswith("dhcp-host"):
        problem = problem.replace("line 3", "line 4")
    assert error.startswith(f"dnsmasq refuses the configuration, nothing was changed: network 'lab': {problem}")
    assert error.endswith("dnsmasq.options")


@pytest.mark.parametrize("line", ["addn-hosts=/no/such", "servers-file=/no/such", "dhcp-hostsdir=/no/such"])
def test_files_without_which_dnsmasq_starts_are_no_reason_to_refuse(line: str) -> None:
    assert not refused(line)


def test_other_lines_are_tried_beside_those_with_which_a_start_would_do_more() -> None:
    assert "TFTP directory /no/such" in refused("dhcp-script=/bin/sh", "enable-tftp", "tftp-root=/no/such")


def test_a_message_about_no_line_that_is_known_has_the_network_of_the_instance() -> None:
    lines = [Line("txt-record=x.test,directory", "lab.conf", 1, "lab")]
    message = "dnsmasq: cannot do /x: No such file or directory"
    assert with_place(message, lines, "lab") == (
        "network 'lab': cannot do /x: No such file or directory; put right dnsmasq.options"
    )
    assert with_place(message, lines) == "cannot do /x: No such file or directory"
