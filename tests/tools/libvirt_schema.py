# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's own schema of networks, from Debian packages that are unpacked, not installed."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from lxml import etree

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".build" / "debs" / "libvirt-schemas"
SUITES = {"bookworm": "libvirt0", "trixie": "libvirt-common"}
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_RNG = "{http://relaxng.org/ns/structure/1.0}"
_DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"


def debian_mirror() -> str:
    """The Debian mirror that this machine uses; raises LookupError."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        uri, _, codename = line.partition(" ")
        if codename and "-" not in codename:
            return uri
    raise LookupError("no Debian mirror is configured on this machine")


def apt_in(base: Path, kind: str, suites: Iterable[str]) -> list[str]:
    """The command apt-get for ``deb`` or ``deb-src`` of these suites; its lists are separate from the machine's."""
    (base / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (base / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    mirror = debian_mirror()
    (base / "sources.list").write_text(
        "".join(f"{kind} [signed-by={_KEYS}] {mirror} {suite} main\n" for suite in suites)
    )
    settings = {
        "Dir::Etc::SourceList": base / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": base / "lists",
        "Dir::Cache": base / "cache",
        "Acquire::Languages": "none",
        # apt's own user cannot write into this folder.
        "APT::Sandbox::User": "root",
    }
    return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]


def _download(base: Path) -> None:
    """Unpack the packages of all suites in ``base``."""
    # One update for all suites: apt needs some seconds to parse the lists.
    apt = apt_in(base, "deb", SUITES)
    subprocess.run([*apt, "update"], check=True, cwd=base, timeout=110)
    packages = [f"{package}/{suite}" for suite, package in SUITES.items()]
    subprocess.run([*apt, "download", *packages], check=True, cwd=base, timeout=110)
    for suite, package in SUITES.items():
        subprocess.run(["dpkg-deb", "-x", next(base.glob(f"{package}_*.deb")), base / suite], check=True)


@cache
def schema_folder(suite: str) -> Path:
    """The folder with the schemas of a suite's libvirt; the first call downloads those of all suites."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folders = {name: CACHE / name / "usr" / "share" / "libvirt" / "schemas" for name in SUITES}
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / "network.rng").exists() for folder in folders.values()):
            _download(CACHE)
    return folders[suite]


@cache
def schema(suite: str) -> etree.RelaxNG:
    """libvirt's schema of networks, ready to validate with."""
    return etree.RelaxNG(file=str(schema_folder(suite) / "network.rng"))


@cache
def _definitions(suite: str) -> dict[str, list[etree._Element]]:
    definitions: dict[str, list[etree._Element]] = {}
    for name in ("basictypes.rng", "networkcommon.rng", "network.rng"):
        for define in etree.parse(str(schema_folder(suite) / name)).getroot().iter(f"{_RNG}define"):
            definitions[define.get("name", "")] = [child for child in define if isinstance(child.tag, str)]
    return definitions


def paths(suite: str) -> set[str]:
    """Every element and attribute that the schema allows, as paths like those of libvirt_xml/schema.py."""
    return set(_walk(_definitions(suite)["network"], "", suite))


def _walk(nodes: list[etree._Element], parent: str, suite: str) -> Iterator[str]:
    for node in nodes:
        if not isinstance(node.tag, str):
            continue
        name = node.get("name")
        if node.tag == f"{_RNG}ref":
            # <metadata> may contain any element.
            if name != "customElement":
                yield from _walk(_definitions(suite)[name or ""], parent, suite)
        elif node.tag == f"{_RNG}attribute":
            yield f"{parent}@{name}"
        elif node.tag == f"{_RNG}element":
            path = f"{parent}/{_prefixed_name(node)}".lstrip("/")
            yield path
            yield from _walk(list(node), path, suite)
        else:
            yield from _walk(list(node), parent, suite)


def _prefixed_name(element: etree._Element) -> str:
    """The name of an element; ``ns=`` also applies to descendants (RELAX NG section 4.8)."""
    namespaces = [node.get("ns") for node in [element, *element.iterancestors()] if node.get("ns")]
    return f"dnsmasq:{element.get('name')}" if namespaces[:1] == [_DNSMASQ] else str(element.get("name"))
