# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requirements of a host: programs and libraries, their versions and packages."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from ..core.command import find, run
from ..core.errors import VirtnetError
from ..core.files import read_text
from ..libvirt.connection import driver_installed

DEBIAN = "Debian"
RED_HAT = "RedHat"

_VERSION = re.compile(r"(\d+(?:\.\d+)+)")
_METADATA = re.compile(r"pyroute2-(\d+(?:\.\d+)+).*\.(?:dist|egg)-info")


@dataclass(frozen=True)
class Need:
    """A required program or library, its package, and its oldest supported version."""

    name: str
    debian: str
    red_hat: str
    least: tuple[int, ...] = ()

    def package(self, family: str) -> str:
        """The name of the package in a family of distributions."""
        return self.red_hat if family == RED_HAT else self.debian


NEEDS = (
    Need("ip", "iproute2", "iproute"),
    Need("nft", "nftables", "nftables", (1, 0)),
    Need("dnsmasq", "dnsmasq", "dnsmasq", (2, 80)),
    Need("pyroute2", "python3-pyroute2", "python3-pyroute2", (0, 7)),
)


# On hosts with libvirt's network driver, networks are registered with libvirt.
LIBVIRT_NEEDS = (
    Need("libvirt", "python3-libvirt", "python3-libvirt"),
    Need("lxml", "python3-lxml", "python3-lxml"),
)


def read_needs(root: str) -> tuple[Need, ...]:
    """The requirements of this host."""
    return (*NEEDS, *LIBVIRT_NEEDS) if driver_installed(root) else NEEDS


def missing(versions: Mapping[str, str], family: str, needs: Sequence[Need] = NEEDS) -> list[str]:
    """The missing packages."""
    return [need.package(family) for need in needs if need.name not in versions]


def prevents_services(versions: Mapping[str, str], needs: Sequence[Need] = NEEDS) -> bool:
    """Whether something is missing without which the services cannot work. A host without networks needs no dnsmasq."""
    return any(need.name not in versions for need in needs if need.name != "dnsmasq")


def refuse_wrong_python(versions: Mapping[str, str], system_python: str) -> None:
    """Raise VirtnetError if Ansible runs a Python that lacks pyroute2 while the system's has it ("": it has not).

    The services would get that Python too.
    """
    if "pyroute2" not in versions and system_python:
        raise VirtnetError(
            f"{sys.executable}, by which Ansible runs modules here, has no pyroute2, but {system_python} has; "
            f"set ansible_python_interpreter to {system_python}, or install pyroute2 for the other"
        )


def read_system_python(root: str) -> str:
    """The path of the system's Python if it is another one than this and has pyroute2, else an empty text."""
    path = os.path.join(root, "usr/bin/python3")
    if not os.access(path, os.X_OK) or _is_this_python(path):
        return ""
    finds = "import sys, importlib.util; sys.exit(importlib.util.find_spec('pyroute2') is None)"
    return path if run([path, "-I", "-c", finds], check=False).code == 0 else ""


def _is_this_python(path: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(sys.executable) and sys.prefix == sys.base_prefix


def refuse_old(versions: Mapping[str, str], family: str) -> None:
    """Raise VirtnetError if a version is too old, naming it and the required one."""
    for need in NEEDS:
        version = versions.get(need.name)
        if version and tuple(map(int, version.split("."))) < need.least:
            least = ".".join(map(str, need.least))
            raise VirtnetError(
                f"{need.name} {version} is too old: virtnet.linux needs {least} or newer; "
                f"install a newer {need.package(family)}"
            )


def read_versions() -> dict[str, str]:
    """The versions of what is installed, '' if a version is unknown."""
    versions = {}
    for program in ("nft", "dnsmasq"):
        if find(program) is not None:
            match = _VERSION.search(run([program, "--version"]).stdout)
            versions[program] = match.group(1) if match else ""
    if find("ip") is not None:
        versions["ip"] = ""
    library = find_spec("pyroute2")
    if library is not None:
        versions["pyroute2"] = _library_version(library.origin or "")
    versions.update({need.name: "" for need in LIBVIRT_NEEDS if find_spec(need.name) is not None})
    return versions


def _library_version(origin: str) -> str:
    """The version from the name of the metadata folder, since the import of the library takes 0.2 s."""
    with contextlib.suppress(OSError):
        for name in os.listdir(os.path.dirname(os.path.dirname(origin))):
            match = _METADATA.fullmatch(name)
            if match:
                return match.group(1)
    return ""


def read_family(root: str) -> str:
    """The family of the distribution, from os-release(5)."""
    return parse_family(read_text(os.path.join(root, "etc/os-release")) or "")


def parse_family(os_release: str) -> str:
    """RedHat, or else Debian, whose package names most other distributions have."""
    lines = re.findall(r"^ID(?:_LIKE)?=[\"']?([^\"'\n]*)", os_release, re.MULTILINE)
    words = {word for line in lines for word in line.split()}
    return RED_HAT if words & {"rhel", "fedora", "centos"} else DEBIAN
