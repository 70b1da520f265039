# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The family of a distribution, from what its os-release says, and the names of packages there."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.families import (
    DNSMASQ_PROGRAM,
    FAMILIES,
    Distribution,
    parse_distribution,
    read_distribution,
)

# Distribution -> the lines of its os-release that name it, as it ships them, and its family.
OS_RELEASES = {
    "almalinux-10": (
        'ID="almalinux"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="AlmaLinux 10.0 (Purple Lion)"\n',
        "RedHat",
    ),
    "alpine-3.22": (
        'ID=alpine\nPRETTY_NAME="Alpine Linux v3.22"\n',
        "",
    ),
    "arch": (
        'PRETTY_NAME="Arch Linux"\nID=arch\n',
        "Arch",
    ),
    "centos-stream-9": (
        'ID="centos"\nID_LIKE="rhel fedora"\nPRETTY_NAME="CentOS Stream 9"\n',
        "RedHat",
    ),
    "debian-13": (
        'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n',
        "Debian",
    ),
    "fedora-40": (
        'ID=fedora\nPRETTY_NAME="Fedora Linux 40 (Workstation Edition)"\n',
        "RedHat",
    ),
    "manjaro": (
        'PRETTY_NAME="Manjaro Linux"\nID=manjaro\nID_LIKE=arch\n',
        "Arch",
    ),
    "nixos-25.05": (
        'ID=nixos\nID_LIKE=""\nPRETTY_NAME="NixOS 25.05 (Warbler)"\n',
        "",
    ),
    "opensuse-leap-15.6": (
        'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nPRETTY_NAME="openSUSE Leap 15.6"\n',
        "SUSE",
    ),
    "opensuse-leap-16.0": (
        'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nPRETTY_NAME="openSUSE Leap 16.0"\n',
        "SUSE",
    ),
    "opensuse-tumbleweed": (
        'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\nPRETTY_NAME="openSUSE Tumbleweed"\n',
        "SUSE",
    ),
    "rhel-9.6": (
        'ID="rhel"\nID_LIKE="fedora"\nPRETTY_NAME="Red Hat Enterprise Linux 9.6 (Plow)"\n',
        "RedHat",
    ),
    "rocky-9.5": (
        'ID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 9.5 (Blue Onyx)"\n',
        "RedHat",
    ),
    "sles-15.7": (
        'PRETTY_NAME="SUSE Linux Enterprise Server 15 SP7"\nID="sles"\nID_LIKE="suse"\n',
        "SUSE",
    ),
    "ubuntu-24.04": (
        'PRETTY_NAME="Ubuntu 24.04 LTS"\nID=ubuntu\nID_LIKE=debian\n',
        "Debian",
    ),
}


@pytest.mark.parametrize("name", OS_RELEASES)
def test_the_family_of_a_distribution(name: str) -> None:
    text, family = OS_RELEASES[name]
    assert parse_distribution(text).family == family


def test_the_family_that_id_names_goes_before_those_of_id_like_from_left_to_right() -> None:
    assert parse_distribution("ID_LIKE=debian\nID=fedora\n").family == "RedHat"
    assert parse_distribution("ID=x\nID_LIKE='arch debian'\n").family == "Arch"


def test_a_distribution_is_named_as_it_names_itself(tmp_path: Path) -> None:
    text, _family = OS_RELEASES["alpine-3.22"]
    assert parse_distribution(text) == Distribution("alpine", "Alpine Linux v3.22", "")
    # Comments, and variables that end with ID, say nothing.
    assert parse_distribution("# ID=debian\nVARIANT_ID=arch\n") == Distribution()
    assert read_distribution(str(tmp_path)) == Distribution()


@pytest.mark.parametrize(
    ("family", "packages"),
    [
        ("Debian", "iproute2 iproute2 nftables dnsmasq dnsmasq-base python3-pyroute2 python3-libvirt python3-lxml"),
        ("RedHat", "iproute iproute-tc nftables dnsmasq dnsmasq python3-pyroute2 python3-libvirt python3-lxml"),
        ("SUSE", "iproute2 iproute2 nftables dnsmasq dnsmasq python3-pyroute2 python3-libvirt-python python3-lxml"),
        ("Arch", "iproute2 iproute2 nftables dnsmasq dnsmasq python-pyroute2 libvirt-python python-lxml"),
    ],
)
def test_packages_have_the_names_of_the_family(family: str, packages: str) -> None:
    tools = ("ip", "tc", "nft", "dnsmasq", DNSMASQ_PROGRAM, "pyroute2", "libvirt", "lxml")
    assert " ".join(map(Distribution(family=family).package, tools)) == packages


def test_every_family_names_the_package_of_every_tool() -> None:
    (tools,) = {frozenset(family.packages) for family in FAMILIES}
    assert "ovs-vsctl" in tools


def test_a_tool_without_a_package_of_another_name_is_named_itself() -> None:
    assert Distribution(family="Debian").package("named") == "named"
    assert Distribution().package("nft") == "nftables"
