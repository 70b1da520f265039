# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's own schema of networks, out of Debian's packages; they are unpacked, not installed."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lxml import etree

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".build" / "debs"
SUITES = {"bookworm": "libvirt0", "trixie": "libvirt-common"}
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_RNG = "{http://relaxng.org/ns/structure/1.0}"
_DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"


def _mirror() -> str:
    """Where this machine gets Debian from."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    for line in subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines():
        uri, _, codename = line.partition(" ")
        if codename and "-" not in codename:
            return uri
    raise LookupError("no Debian mirror is configured on this machine")


def _fetch(suite: str, package: str, folder: Path) -> Path:
    """The file of a package of any suite, with lists of its own beside the machine's."""
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYS}] {_mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        # The sandbox user of apt cannot write into a folder of ours.
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    subprocess.run([*apt, "update"], check=True, cwd=folder, timeout=110)
    subprocess.run([*apt, "download", package], check=True, cwd=folder, timeout=110)
    return next(folder.glob(f"{package}_*.deb"))


@cache
def folder(suite: str) -> Path:
    """Where the schemas of a suite's libvirt are; fetched once."""
    base = CACHE / f"libvirt-{suite}"
    schemas = base / "tree" / "usr" / "share" / "libvirt" / "schemas"
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (schemas / "network.rng").exists():
            file = _fetch(suite, SUITES[suite], base)
            subprocess.run(["dpkg-deb", "-x", file, base / "tree"], check=True)
    return schemas


@cache
def schema(suite: str) -> etree.RelaxNG:
    """The schema itself."""
    return etree.RelaxNG(file=str(folder(suite) / "network.rng"))


@cache
def _definitions(suite: str) -> dict[str, list[etree._Element]]:
    found: dict[str, list[etree._Element]] = {}
    for name in ("basictypes.rng", "networkcommon.rng", "network.rng"):
        for define in etree.parse(str(folder(suite) / name)).getroot().iter(f"{_RNG}define"):
            found[define.get("name", "")] = [child for child in define if isinstance(child.tag, str)]
    return found


def paths(suite: str) -> set[str]:
    """Every element and attribute that the schema allows, as libvirt_table.py writes them."""
    return set(_walk(_definitions(suite)["network"], "", suite))


def _walk(nodes: list[etree._Element], inside: str, suite: str) -> Iterator[str]:
    for node in nodes:
        if not isinstance(node.tag, str):
            continue
        name = node.get("name")
        if node.tag == f"{_RNG}ref":
            # Below metadata anything goes.
            if name != "customElement":
                yield from _walk(_definitions(suite)[name or ""], inside, suite)
        elif node.tag == f"{_RNG}attribute":
            yield f"{inside}@{name}"
        elif node.tag == f"{_RNG}element":
            where = f"{inside}/{_prefixed(node)}".lstrip("/")
            yield where
            yield from _walk(list(node), where, suite)
        else:
            yield from _walk(list(node), inside, suite)


def _prefixed(element: etree._Element) -> str:
    """ns= counts for what is inside too (RELAX NG section 4.8)."""
    spaces = [one.get("ns") for one in [element, *element.iterancestors()] if one.get("ns")]
    return f"dnsmasq:{element.get('name')}" if spaces[:1] == [_DNSMASQ] else str(element.get("name"))
