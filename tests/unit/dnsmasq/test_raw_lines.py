# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user's own lines for dnsmasq: limited to one network, or refused where nothing can put them in force."""

from __future__ import annotations

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.raw_lines import (
    can_be_limited,
    defaults_first,
    limited_lines,
    prioritized,
    refers_to_known,
)

LIMITED = {
    "dhcp-option=3,10.0.0.9": "dhcp-option=tag:vn-lab,3,10.0.0.9",
    "dhcp-option = option:router": "dhcp-option=tag:vn-lab,option:router",
    "dhcp-option=tag:guest,6,1.1.1.1": "dhcp-option=tag:vn-lab,tag:guest,6,1.1.1.1",
    'dhcp-option=15,"a, b"': 'dhcp-option=tag:vn-lab,15,"a, b"',
    "dhcp-boot=pxelinux.0,boot,10.0.0.9": "dhcp-boot=tag:vn-lab,pxelinux.0,boot,10.0.0.9",
    "dhcp-ignore=tag:!known": "dhcp-ignore=tag:vn-lab,tag:!known",
    "dhcp-broadcast": "dhcp-broadcast=tag:vn-lab",
    "dhcp-generate-names=tag:known": "dhcp-generate-names=tag:vn-lab,tag:known",
    "dhcp-option=vendor:PXEClient,1,0.0.0.0": "dhcp-option=tag:vn-lab,vendor:PXEClient,1,0.0.0.0",
}


@pytest.mark.parametrize("line", LIMITED)
def test_a_line_of_dhcp_gets_the_tag_of_its_network(line: str) -> None:
    assert can_be_limited(line)
    assert list(limited_lines([line], "vn-lab")) == [LIMITED[line]]


def test_tags_that_lines_set_are_renamed_wherever_they_are_matched() -> None:
    lines = [
        "dhcp-match=set:efi,option:client-arch,7",
        "dhcp-vendorclass=set:pxe,PXEClient",
        "tag-if=set:both,tag:efi,tag:pxe",
        "dhcp-boot=tag:both,boot.efi",
        "dhcp-boot=tag:!efi,tag:known,boot.bios",
    ]
    assert all(map(can_be_limited, lines))
    assert list(limited_lines(lines, "vn-lab")) == [
        "dhcp-match=set:vn-lab/efi,option:client-arch,7",
        "dhcp-vendorclass=set:vn-lab/pxe,PXEClient",
        "tag-if=tag:vn-lab,set:vn-lab/both,tag:vn-lab/efi,tag:vn-lab/pxe",
        "dhcp-boot=tag:vn-lab,tag:vn-lab/both,boot.efi",
        "dhcp-boot=tag:vn-lab,tag:!vn-lab/efi,tag:known,boot.bios",
    ]


def test_a_tag_with_a_meaning_keeps_its_name_and_is_set_for_the_network_alone() -> None:
    assert list(limited_lines(["tag-if=set:known,tag:guest"], "vn-lab")) == ["tag-if=tag:vn-lab,set:known,tag:guest"]
    assert not can_be_limited("dhcp-vendorclass=set:known,PXEClient")


@pytest.mark.parametrize(
    "line",
    [
        "stop-dns-rebind",
        "filter-AAAA",
        "log-queries",
        "server=1.1.1.1",
        "dhcp-range=10.0.0.2,10.0.0.9",
        "dhcp-host=52:54:00:00:00:01,10.0.0.9",
        "dhcp-lease-max=5",
        "dhcp-authoritative",
        "resolv-file=/x",
        "dhcp-ignore",
        "dhcp-option",
        "dhcp-ignore=vn-lab",
        "dhcp-vendorclass=PXEClient",
        'dhcp-option=tag:"a,b",3',
        '"dhcp-option=3,10.0.0.9"',
        "tag-if=set:a,tag:b # both",
        "conf-file=/x",
        # They change what all clients get, or wait for.
        "pxe-service=x86PC, Install, pxelinux",
        'pxe-prompt="Press F8", 60',
        "dhcp-reply-delay=3",
        # dnsmasq reads tags in them that would not be renamed.
        'dhcp-match="s"et:known,60,X',
        'dhcp-match=set"":foo,60,X',
        "dhcp-option=vendor:X,tag:bar,1,10.0.0.9",
        "dhcp-option=bar,6,10.0.0.9",
        "",
    ],
)
def test_other_lines_are_for_a_whole_dnsmasq(line: str) -> None:
    assert not can_be_limited(line)


def test_in_an_instance_of_its_own_a_network_has_its_lines_as_written_but_for_options() -> None:
    lines = ["stop-dns-rebind", "dhcp-option=6,1.1.1.1", "dhcp-match=set:efi,option:client-arch,7", "dhcp-option"]
    assert [prioritized(line, "vn-lab") for line in lines] == [
        "stop-dns-rebind",
        "dhcp-option=tag:vn-lab,6,1.1.1.1",
        "dhcp-match=set:efi,option:client-arch,7",
        "dhcp-option",
    ]


def test_lines_without_tags_stand_before_those_for_some_guests_which_win() -> None:
    lines = ["dhcp-match=set:efi,option:client-arch,7", "dhcp-boot=tag:efi,efi.bin", "dhcp-boot=bios.bin"]
    assert list(defaults_first(lines)) == [0, 2, 1]


@pytest.mark.parametrize(
    ("line", "refers"),
    [("dhcp-ignore=tag:!known", True), ("dhcp-option=tag:known,6,10.0.0.9", True), ("dhcp-boot=known", False)],
)
def test_lines_for_known_guests_are_recognized(line: str, refers: bool) -> None:
    assert refers_to_known(line) is refers
