# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks of libvirt's own tests, from Debian's source package, which is fetched and not stored here.

``make libvirt-tests`` tries each of them and prints whether it is taken, or the reason of its refusal.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from tools.libvirt_schema import REPOSITORY, apt_in
from tools.libvirt_wild import try_all

SUITE = "trixie"
CACHE = REPOSITORY / ".build" / "debs" / "libvirt-source"
# Definitions for dnsmasq, for firewalls, for the parser, and for the daemon that is told of them.
_FOLDERS = ("networkxml2confdata", "networkxml2firewalldata", "networkxml2xmlin", "networkschemadata")


def networks() -> list[Path]:
    """The XML files of libvirt's tests of networks; fetches them if they are missing.

    Raises StopIteration if the mirror has no archive of the sources.
    """
    if not CACHE.exists() or not list(CACHE.rglob("*.xml")):
        apt = apt_in(CACHE, "deb-src", [SUITE])
        subprocess.run([*apt, "update"], check=True, cwd=CACHE, timeout=300)
        # Of its files, which apt verifies, only the archive is needed; some mirrors lack others.
        subprocess.run([*apt, "source", "--download-only", f"libvirt/{SUITE}"], check=False, cwd=CACHE, timeout=600)
        with tarfile.open(next(CACHE.glob("libvirt_*.orig.tar.*"))) as archive:
            wanted = [one for one in archive.getmembers() if one.isfile() and _is_network(Path(one.name))]
            archive.extractall(CACHE, wanted, filter="data")
    return sorted(CACHE.rglob("*.xml"))


def _is_network(path: Path) -> bool:
    return path.suffix in (".xml", ".conf") and path.parent.name in _FOLDERS


if __name__ == "__main__":
    try_all(networks())
