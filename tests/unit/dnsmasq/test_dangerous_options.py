# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines for dnsmasq and folders for TFTP that affect more than their network: each is reported, and none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.filter import libvirt_xml
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.dnsmasq_syntax import read_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.config_check import check_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.dangerous_options import (
    acts_when_started,
    is_private_folder,
    line_dangers,
    option_dangers,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reconciler import Fragments, FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_config import Line
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.unit_limits import refuse_beyond_unit
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import (
    from_xml,
    with_domain_of_libvirt,
)

DANGEROUS_XML = """<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <name>lab</name><forward mode='nat'/>
  <ip address='192.168.9.1' netmask='255.255.255.0'><tftp root='/'/><dhcp><range start='192.168.9.2' end='192.168.9.9'/>
  </dhcp></ip>
  <dnsmasq:options><dnsmasq:option value='log-queries'/>
    <dnsmasq:option value=' dhcp&quot;-&quot;script = /tmp/x&#10;user=root'/></dnsmasq:options></network>"""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("dhcp-script=/x", "runs a program"),
        ("dhcp-luascript=/x", "runs a program"),
        ("conf-script=/x", "runs a program"),
        ("  dhcp-script\t= /x", "runs a program"),
        ('dhcp"-"script=/x', "runs a program"),
        ("user=root", "changes the user"),
        ("user", "changes the user"),
        ("group=shadow", "changes the user"),
        ("dhcp-scriptuser=root", "changes the user"),
        ("conf-file=/x", "configuration"),
        ("conf-dir=/x,*.conf", "configuration"),
        ("servers-file=/x", "configuration"),
        ("dhcp-hostsdir=/x", "configuration"),
        ("log-facility=/etc/cron.d/x", "write to a file"),
        ("dumpfile=/x", "write to a file"),
        ("enable-dbus", "control dnsmasq"),
        ("enable-ubus=x", "control dnsmasq"),
        ("nftset=/x/inet#filter#set", "firewall"),
        ("auth-server=ns.example.com,eth0", "elsewhere"),
        ("tftp-root=/srv/../etc,eth0", "gives guests files"),
    ],
)
def test_a_line_that_affects_more_than_its_network_is_reported(line: str, why: str) -> None:
    (danger,) = line_dangers(["log-queries", line])
    assert repr(line) in danger and "(dnsmasq.options[1])" in danger and why in danger


@pytest.mark.parametrize(
    "line",
    ["stop-dns-rebind", "dhcp-ignore=tag:!known", "log-facility=local0", "log-facility=-", "tftp-root=/srv/tftp",
     "dhcp-option=3 # dhcp-script=/x", 'txt-record=x,"dhcp-script=/x"', "dhcp-scripts=/x"],
)  # fmt: skip
def test_other_lines_are_not_reported(line: str) -> None:
    assert not list(line_dangers([line]))


@pytest.mark.parametrize(
    "folder",
    ["/", "//", "/etc", "//etc/x", "/etc/", "/srv/../etc", "/./root", "/home/user/tftp", "/var", "/var/lib", "/proc/1",
     "/var/lib/virtnet", "/run/x", "/var/log"],
)  # fmt: skip
def test_folders_that_are_not_for_the_public(folder: str) -> None:
    assert is_private_folder(folder)


@pytest.mark.parametrize(
    "folder", ["/srv/tftp", "/srv", "/var/lib/tftpboot/x", "/var/lib/tftp", "/opt/boot", "/etcetera"]
)
def test_folders_for_the_public(folder: str) -> None:
    assert not is_private_folder(folder)


def test_dangerous_lines_of_xml_are_read_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(libvirt_xml._DISPLAY, "warning", warnings.append)
    options = libvirt_xml.from_libvirt_xml(DANGEROUS_XML)
    assert options == with_domain_of_libvirt(from_xml(DANGEROUS_XML))
    assert options["dns"]["domain"] == ""
    line, folder = warnings
    assert line.startswith("from_libvirt_xml: network 'lab': the line ' dhcp\"-\"script = /tmp/x\\nuser=root'")
    assert "(dnsmasq.options[1]) runs a program" in line and "ipv4.dhcp.tftp_root '/' gives guests files" in folder
    assert "".join(warnings).isprintable()


@pytest.mark.parametrize("options", [{}, {"dnsmasq": 7}, {"dnsmasq": {"options": [7, None]}}, {"ipv4": {"dhcp": []}}])
def test_options_that_are_not_validated_raise_no_error(options: dict[str, Any]) -> None:
    assert not list(option_dangers(options))


def test_a_note_names_network_option_and_line(tmp_path: Any) -> None:
    (tmp_path / "link").symlink_to("/etc")
    options = {
        "name": "lab",
        "interface": "vn-lab",
        "address": "10.9.0.1/24",
        "ranges": [{"start": "10.9.0.2", "end": "10.9.0.9"}],
        "raw": ["dhcp-script=/x"],
        "tftp_root": str(tmp_path / "link"),
    }
    spec = FragmentSpec.from_options(Options(options, "fragments[0]"))
    reconciler = Fragments([spec], False, Paths(str(tmp_path)))
    notes = reconciler.plan(reconciler.read()).notes
    assert "network 'lab': the line 'dhcp-script=/x' (dnsmasq.options[0]) runs a program" in notes[0]
    assert f"network 'lab': tftp_root '{tmp_path}/link', which is '/etc', gives guests files" in notes[1]


def test_a_file_that_dnsmasq_cannot_read_is_noted(tmp_path: Any) -> None:
    options = {
        "name": "lab",
        "interface": "vn-lab",
        "address": "10.9.0.1/24",
        "raw": ["addn-hosts=/etc/passwd", "hostsdir=/etc", f"addn-hosts={tmp_path}", "servers-file=/no/such"],
    }
    spec = FragmentSpec.from_options(Options(options, "fragments[0]"))
    reconciler = Fragments([spec], False, Paths(str(tmp_path)))
    notes = [note for note in reconciler.plan(reconciler.read()).notes if "has no effect as long as" in note]
    folder, missing = notes
    assert folder.startswith("network 'lab': the line 'addn-hosts=/") and "(dnsmasq.options[2])" in folder
    assert missing.startswith("network 'lab': the line 'servers-file=/no/such' (dnsmasq.options[3]) has no effect")


@pytest.mark.parametrize(
    ("line", "acts"),
    [
        ("dhcp-script=/x", True),
        ("enable-dbus", True),
        ("log-facility=/x", True),
        ("dhcp-hostsfile=/x", False),
        ("user=dnsmasq", False),
        ("stop-dns-rebind", False),
    ],
)
def test_a_line_with_which_a_start_does_more_than_read_files_is_not_tried(line: str, acts: bool) -> None:
    (setting,) = read_lines(line, "")
    assert acts_when_started(setting) == acts


BUILT_WITH = "Compile time options: IPv6 GNU-getopt DBus no-UBus i18n DHCP TFTP dumpfile"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("enable-ubus", "this dnsmasq is built without UBus"),
        ("enable-dbus", ""),
        ("log-facility=/var/log/lab.log", "the service may write below /tmp, /var/tmp, /var/lib/virtnet/dnsmasq alone"),
        ("log-facility=/tmp/no/folder/log", "there is no folder /tmp/no/folder; make it first"),
        ("log-facility=/var/lib/virtnet/dnsmasq/lab.log", ""),
        ("log-facility=/dev/null", ""),
        ("log-facility=LOCAL3", ""),
        ("dumpfile = /srv/dump", "the service may write below"),
        ("dnssec-timestamp=/var/lib/x", "the service may write below"),
        ("dhcp-script=/no/file", "there is no such program; make it first"),
        ("dhcp-script=/etc/passwd", "there is no such program; make it first"),
        ("dhcp-script=/home/me/script", "the service does not see that folder"),
        ("conf-script=/root/../root/x", "the service does not see that folder"),
        ("dhcp-script=/tmp/x", "the service does not see that folder"),
        ("conf-file=/root/more.conf", "the service does not see that folder; put the file elsewhere, or allow it in"),
        ("conf-dir=/tmp/more,*.conf", "the service does not see that folder"),
        ("conf-file=/etc/more.conf", ""),
        ("dhcp-script=/bin/sh", ""),
    ],
)
def test_a_line_that_the_unit_cannot_put_into_force_is_refused_without_a_try(line: str, problem: str) -> None:
    lines = [Line("no-resolv", "lab.conf", 1), Line(line, "lab.conf", 2, "lab")]
    if not problem:
        refuse_beyond_unit(lines, BUILT_WITH, has_drop_in=False)
        return
    with pytest.raises(VirtnetError) as refusal:
        refuse_beyond_unit(lines, BUILT_WITH, has_drop_in=False)
    assert problem in str(refusal.value)
    assert "network 'lab': dnsmasq.options: " in str(refusal.value) and "in line 2 of lab.conf" in str(refusal.value)


def test_a_unit_that_the_administrator_changed_may_allow_more(tmp_path: Path) -> None:
    refuse_beyond_unit([Line(f"log-facility={tmp_path}/log", "lab.conf", 1)], BUILT_WITH, has_drop_in=True)
    with pytest.raises(VirtnetError, match="there is no folder /no/folder"):
        refuse_beyond_unit([Line("log-facility=/no/folder/log", "lab.conf", 1)], BUILT_WITH, has_drop_in=True)


def test_a_test_of_lines_runs_no_program_of_theirs(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    program.chmod(0o755)
    check_lines(("dnsmasq",), [Line(f"conf-script={program}", "lab.conf", 1), Line("no-resolv", "lab.conf", 2)])
    assert not (tmp_path / "was-run").exists()
    with pytest.raises(VirtnetError, match="in line 2 of lab.conf: 'no-such'"):
        check_lines(("dnsmasq",), [Line(f"conf-script={program}", "lab.conf", 1), Line("no-such", "lab.conf", 2)])
