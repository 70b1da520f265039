# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that a host lacks, installed by the real apt from sources that work, are broken, or are not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.fleet_testbed import QUIET, FleetTestbed, ManagedHost, Run

PACKAGE = "virtnet-sample"
CONTROL = f"""\
Package: {PACKAGE}
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: A package without files
"""
BROKEN = "deb [trusted=yes] file:/nowhere ./"
INSTALL = {"name": "virtnet.linux.host", "tasks_from": "install"}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetTestbed]:
    testbed = FleetTestbed(tmp_path)
    yield testbed
    testbed.close()


def source(folder: Path, host: ManagedHost) -> str:
    """A source with the package, as a line of sources.list(5)."""
    tree, repository = folder / "tree", folder / "repository"
    (tree / "DEBIAN").mkdir(parents=True)
    repository.mkdir()
    (tree / "DEBIAN/control").write_text(CONTROL)
    file = repository / "sample.deb"
    host.run("dpkg-deb", "--root-owner-group", "-b", str(tree), str(file))
    digest = host.run("sha256sum", str(file)).split()[0]
    index = f"Filename: ./sample.deb\nSize: {file.stat().st_size}\nSHA256: {digest}\n"
    (repository / "Packages").write_text(CONTROL + index)
    return f"deb [trusted=yes] file:{repository} ./"


def set_sources(host: ManagedHost, *lines: str) -> None:
    text = "".join(f"{line}\n" for line in lines)
    host.run("sh", "-c", 'rm -rf /etc/apt/sources.list.d/*; printf %s "$1" > /etc/apt/sources.list', "-", text)


def is_installed(host: ManagedHost) -> bool:
    return "install ok installed" in host.run("dpkg-query", "--show", "-f", "${Status}", PACKAGE, check=False)


def install(fleet: FleetTestbed) -> Run:
    variables = {"host_packages": [PACKAGE], "host_packages_family": "Debian"}
    book = fleet.folder / "install.yml"
    tasks = [{"ansible.builtin.include_role": INSTALL, "vars": variables}]
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return fleet.run_book(book)


def test_a_package_is_installed_although_a_source_of_others_is_broken(fleet: FleetTestbed) -> None:
    """From an index that the host has, and from one that is fresh; without a source, the package is named."""
    host = fleet.host("hv1")
    working = source(fleet.folder, host)
    set_sources(host)
    offline = install(fleet)
    assert offline.recap["hv1"]["failed"] == 1
    assert f"Where a host reaches no source of packages, install them beforehand: {PACKAGE}" in offline.words
    set_sources(host, working, BROKEN)
    fresh = install(fleet)
    assert fresh.recap["hv1"]["failed"] == 0, "the next run asks again"
    assert is_installed(host)
    host.run("dpkg", "--purge", PACKAGE)
    host.run("apt-get", "-qq", "update", check=False)
    known = install(fleet)
    assert known.recap["hv1"]["failed"] == 0
    assert is_installed(host)
    assert re.findall(r"Refresh the index.*\n(\w+)", known.output) == ["skipping"]


@pytest.mark.nightly
def test_the_service_waits_for_the_packages(fleet: FleetTestbed) -> None:
    """They cannot be installed here; each run tries again, and changes nothing before."""
    host = fleet.host("hv1", virtnet_networks={"lab": QUIET})
    set_sources(host)
    host.run("cp", "-p", "/usr/sbin/nft", "/usr/sbin/nft.away")
    host.run("dpkg", "--purge", "--force-depends", "nftables")
    for _run in range(2):
        run = fleet.run()
        assert run.recap["hv1"]["failed"] == 1
        assert "install them beforehand: nftables" in run.words
        assert host.run("sh", "-c", "ls -d /etc/virtnet /etc/systemd/system/virtnet.service || true") == ""
    host.run("mv", "/usr/sbin/nft.away", "/usr/sbin/nft")
    assert fleet.run().recap["hv1"]["failed"] == 0
    assert host.bridges() == ["vn-lab"]
