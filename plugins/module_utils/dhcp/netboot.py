# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guests that start from the network load, and from where. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core import kinds
from ..core.fields import Kind, option, read, required, write
from ..core.options import Options, repr_short
from .dnsmasq_syntax import quoted

# RFC 2131 section 2: the field "file" has 128 bytes and ends with a NUL.
_LONGEST_FILE = 127

_SERVER: Kind[str] = Kind(lambda options, name: options.text(name), write=lambda server: server or None)


@dataclass(frozen=True)
class Boot:
    """What guests load. ``server`` is an address or a name; empty for the host itself."""

    file: str = required(kinds.text(_LONGEST_FILE))
    server: str = option(_SERVER, "")

    def as_options(self) -> dict[str, Any]:
        """The option ``boot``."""
        return write(self)


def read_boot(options: Options, name: str) -> Boot | None:
    """The option ``boot``; raises InvalidOption."""
    if not options.raw(name, None):
        return None
    item = options.group(name)
    boot = read(Boot, item)
    item.reject_unknown()
    if not boot.file:
        item.error("file", "is required: the file that guests load")
    if len(boot.file.encode("utf-8")) > _LONGEST_FILE:
        item.error("file", f"{repr_short(boot.file)} has more than {_LONGEST_FILE} bytes")
    if boot.server:
        try:
            ipaddress.IPv4Address(boot.server)
        except ValueError:
            item.domain("server")
    return boot


def read_tftp_root(options: Options, name: str) -> str:
    """The option ``tftp_root``; raises InvalidOption."""
    text = options.text(name, "")
    if text and (not text.startswith("/") or "/../" in f"{text}/"):
        options.error(name, f"{repr_short(text)} is not an absolute path of a folder")
    return text


TFTP_ROOT: Kind[str] = Kind(read_tftp_root, write=lambda folder: folder or None)


def boot_line(tag: str, boot: Boot) -> str:
    """What guests of one interface load."""
    return f"dhcp-boot={tag},{quoted(boot.file)}" + (f",,{boot.server}" if boot.server else "")


def tftp_lines(interface: str, root: str, *, open_to_all: bool) -> Iterator[str]:
    """TFTP on one interface. Where it is open to all interfaces, naming one would exclude the others (tftp.c)."""
    if not open_to_all:
        yield f"enable-tftp={interface}"
    yield f"tftp-root={quoted(root)},{interface}"
