# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guests that start from the network load, and from where. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ..core import kinds
from ..core.fields import Kind, option, read_all, required, write
from ..core.options import Options, repr_short
from .dnsmasq_syntax import quoted

# RFC 2131 section 2: the field "file" has 128 bytes and ends with a NUL.
_LONGEST_FILE = 127

# Processor architectures (RFC 4578 and IANA's registry of that name). Firmware of x86_64 says 7 or 9: the RFC and its
# first text had them in another order.
ARCHITECTURES: Mapping[str, Sequence[int]] = {
    "bios": (0,),
    "x86-uefi": (6,),
    "x86_64-uefi": (7, 9),
    "arm-uefi": (10,),
    "aarch64-uefi": (11,),
    "riscv64-uefi": (27,),
    "loongarch64-uefi": (41,),
    "bios-http": (20,),
    "x86-http": (15,),
    "x86_64-http": (16,),
    "arm-http": (18,),
    "aarch64-http": (19,),
    "riscv64-http": (28,),
    "loongarch64-http": (42,),
}
_HTTP = "-http"
# IANA, BOOTP Vendor Extensions and DHCP Options: client system architecture, and iPXE's own option. Some builds of iPXE
# send its user class alone.
_ARCH_OPTION, _IPXE_OPTION, _IPXE_CLASS = 93, 175, "iPXE"
_VENDOR_CLASS = 60

_SERVER: Kind[str] = Kind(lambda options, name: options.text(name), write=lambda server: server or None)


def _read_arch(options: Options, name: str) -> str:
    text = options.text(name)
    if text.isdecimal() and len(text) <= len("65535") and int(text) <= 0xFFFF:
        return str(int(text))
    return options.choice(name, tuple(ARCHITECTURES))


@dataclass(frozen=True)
class Boot:
    """What guests load: all of them, or those of one architecture, or those that run iPXE already.

    ``server`` is an address or a name; empty for the host itself. ``arch``: a name of ARCHITECTURES or a number.
    """

    file: str = required(kinds.text(_LONGEST_FILE))
    server: str = option(_SERVER, "")
    arch: str = option(Kind(_read_arch), "", is_written=attrgetter("arch"))
    ipxe: bool = option(kinds.boolean, False, is_written=attrgetter("ipxe"))

    @property
    def server_address(self) -> str:
        """The server, where it is an address."""
        try:
            return str(ipaddress.IPv4Address(self.server))
        except ValueError:
            return ""

    @property
    def codes(self) -> Sequence[int]:
        """The numbers of the architecture."""
        return ARCHITECTURES.get(self.arch) or ([int(self.arch)] if self.arch else [])


def read_boot(options: Options, name: str) -> tuple[Boot, ...]:
    """The option ``boot``, a mapping or a list of them; raises InvalidOption."""
    value = options.raw(name, None)
    if not value:
        return ()
    boots: list[Boot] = []
    taken: dict[tuple[int | None, bool], str] = {}
    for item in [options.group(name)] if isinstance(value, Mapping) else options.each(name):
        boot = _read_one(item)
        for code in boot.codes or (None,):
            if taken.setdefault((code, boot.ipxe), item.path) != item.path:
                same = taken[code, boot.ipxe]
                item.error("file", f"{repr_short(boot.file)} is for the same guests as {same}; keep one of them")
        boots.append(boot)
    return tuple(boots)


def _read_one(item: Options) -> Boot:
    boot = read_all(Boot, item)
    if not boot.file:
        item.error("file", "is required: the file that guests load")
    if len(boot.file.encode("utf-8")) > _LONGEST_FILE:
        item.error("file", f"{repr_short(boot.file)} has more than {_LONGEST_FILE} bytes")
    if boot.arch.endswith(_HTTP) and not boot.file.startswith(("http://", "https://")):
        item.error("file", f"{repr_short(boot.file)} is no URL, which firmware loads by HTTP; write http://...")
    if boot.server and not boot.server_address:
        item.domain("server")
    return boot


def _write_boot(boots: Sequence[Boot]) -> Any:
    written = [write(boot) for boot in boots]
    unconditional = len(boots) == 1 and not (boots[0].arch or boots[0].ipxe)
    return written[0] if unconditional else written or None


# A mapping, or a list of mappings.
BOOT: Kind[Sequence[Boot]] = Kind(read_boot, "raw", write=_write_boot, table=Boot)


def read_tftp_root(options: Options, name: str) -> str:
    """The option ``tftp_root``; raises InvalidOption."""
    text = options.text(name, "")
    if text and (not text.startswith("/") or "/../" in f"{text}/"):
        options.error(name, f"{repr_short(text)} is not an absolute path of a folder")
    return text


TFTP_ROOT: Kind[str] = Kind(read_tftp_root, write=lambda folder: folder or None)


def boot_lines(interface: str, boots: Sequence[Boot]) -> Iterator[str]:
    """What guests of one interface load.

    Of several lines whose tags a guest has, dnsmasq takes the last one (src/dhcp-common.c, find_boot()): that for iPXE
    comes after those for firmware, or iPXE would load itself again and again.
    """
    prefix = f"{interface}/boot/"
    for arch, code in dict.fromkeys((boot.arch, code) for boot in boots for code in boot.codes):
        yield f"dhcp-match=set:{prefix}{arch},{_ARCH_OPTION},{code}"
    if any(boot.ipxe for boot in boots):
        yield f"dhcp-match=set:{prefix}ipxe,{_IPXE_OPTION}"
        yield f"dhcp-userclass=set:{prefix}ipxe,{_IPXE_CLASS}"
    for boot in sorted(boots, key=lambda one: (one.ipxe, bool(one.arch))):
        kinds_of_guest = [boot.arch] * bool(boot.arch) + ["ipxe"] * boot.ipxe
        matches = ",".join([f"tag:{interface}", *(f"tag:{prefix}{kind}" for kind in kinds_of_guest)])
        yield f"dhcp-boot={matches},{quoted(boot.file)}" + (f",,{boot.server}" if boot.server else "")
        if boot.arch.endswith(_HTTP):
            # UEFI specification section 24.7.3: firmware takes no offer without it.
            yield f"dhcp-option-force={matches},{_VENDOR_CLASS},HTTPClient"


def tftp_lines(interface: str, root: str, *, open_to_all: bool) -> Iterator[str]:
    """TFTP on one interface. Where it is open to all interfaces, naming one would exclude the others (tftp.c)."""
    if not open_to_all:
        yield f"enable-tftp={interface}"
    yield f"tftp-root={quoted(root)},{interface}"
