# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines for dnsmasq and folders for TFTP that affect more than their network: each is reported, and none is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.filter import libvirt_xml
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.dnsmasq_syntax import read_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.dangerous_options import (
    acts_when_started,
    is_private_folder,
    line_dangers,
    option_dangers,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reconciler import Fragments, FragmentSpec
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


@pytest.mark.parametrize(
    ("line", "acts"),
    [
        ("conf-file=/etc/more.conf", True),
        ("conf-dir=/etc/more", True),
        ("dhcp-script=/x", True),
        ("enable-dbus", True),
        ("log-facility=/x", True),
        ("dhcp-hostsfile=/x", False),
        ("user=dnsmasq", False),
        ("stop-dns-rebind", False),
    ],
)
def test_a_start_is_tried_only_where_it_can_do_nothing_but_read_files(line: str, acts: bool) -> None:
    """A file of further configuration may name a program that dnsmasq runs when it starts."""
    (setting,) = read_lines(line, "")
    assert acts_when_started(setting) == acts
