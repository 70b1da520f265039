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
from ..core.families import FAMILIES, Distribution
from ..libvirt.connection import driver_installed

_VERSION = re.compile(r"(\d+(?:\.\d+)+)")
_METADATA = re.compile(r"pyroute2-(\d+(?:\.\d+)+).*\.(?:dist|egg)-info")


@dataclass(frozen=True)
class Need:
    """A required program or library, and its oldest supported version."""

    name: str
    least: tuple[int, ...] = ()


NEEDS = (Need("ip"), Need("nft", (1, 0)), Need("dnsmasq", (2, 80)), Need("pyroute2", (0, 7)))


# On hosts with libvirt's network driver, networks are registered with libvirt.
LIBVIRT_NEEDS = (Need("libvirt"), Need("lxml"))

# Folders that systemd hides from our services (systemd.exec(5)).
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")

# Distributions on which a service cannot be installed as on others.
_DECLARED = ("nixos", "guix")


def read_needs(root: str) -> tuple[Need, ...]:
    """The requirements of this host."""
    return (*NEEDS, *LIBVIRT_NEEDS) if driver_installed(root) else NEEDS


def missing(versions: Mapping[str, str], distribution: Distribution, needs: Sequence[Need] = NEEDS) -> list[str]:
    """The missing packages."""
    return [distribution.package(need.name) for need in needs if need.name not in versions]


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


def refuse_hidden_python(interpreter: str) -> None:
    """Raise VirtnetError if the services would get a Python that they do not see (_HARDENING of files.py)."""
    folder = next((folder for folder in _HIDDEN if interpreter.startswith(f"{folder}/")), "")
    if folder:
        raise VirtnetError(
            f"{interpreter}, by which Ansible runs modules here, is in {folder}, which virtnet.service does not see; "
            "set ansible_python_interpreter to /usr/bin/python3, or put the virtual environment below /opt"
        )


def read_system_python(root: str) -> str:
    """The path of the system's Python if it is another one than this and has pyroute2, else an empty text."""
    path = os.path.join(root, "usr/bin/python3")
    if not os.access(path, os.X_OK) or is_this_python(path):
        return ""
    finds = "import sys, importlib.util; sys.exit(importlib.util.find_spec('pyroute2') is None)"
    return path if run([path, "-I", "-c", finds], check=False).code == 0 else ""


def is_this_python(path: str) -> bool:
    """Whether this process runs the Python of this path itself, not that of a virtual environment."""
    return os.path.realpath(path) == os.path.realpath(sys.executable) and sys.prefix == sys.base_prefix


def refuse_distribution(versions: Mapping[str, str], distribution: Distribution, needs: Sequence[Need]) -> None:
    """Raise VirtnetError for a distribution that has no family, unless all that networks need is there already."""
    if distribution.family:
        return
    if distribution.id in _DECLARED:
        raise VirtnetError(
            f"this host is {distribution.title!r}, which makes its services from a declaration of its own, so that "
            "virtnet.service cannot be installed; use another distribution"
        )
    if prevents_services(versions, needs):
        lacking = missing(versions, distribution, needs)
        known = ", ".join(family.name for family in FAMILIES)
        raise VirtnetError(
            f"this host is {distribution.title or 'without os-release'!r}, which is of none of the families {known}, "
            f"whose packages are known; install what their packages {', '.join(lacking)} have, with systemd and "
            "Python 3.9 or newer, and run again"
        )


def refuse_old(versions: Mapping[str, str], distribution: Distribution) -> None:
    """Raise VirtnetError if a version is too old, naming it and the required one."""
    for need in NEEDS:
        version = versions.get(need.name)
        if version and tuple(map(int, version.split("."))) < need.least:
            least = ".".join(map(str, need.least))
            raise VirtnetError(
                f"{need.name} {version} is too old: virtnet.linux needs {least} or newer; "
                f"install a newer {distribution.package(need.name)}"
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
