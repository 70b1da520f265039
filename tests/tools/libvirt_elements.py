# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every element of libvirt's network XML: its option, whether it is written, and which parts apply it, as a table.

Printed by ``make libvirt-elements``; the guide has it, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import from_xml, to_xml
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.parse import children, element_path
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.schema import IGNORED, OPTION_BY_PATH, REFUSED
from lxml import etree

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "unit/libvirt_xml/samples").glob("*.xml"))
HEAD = """.. csv-table::
    :header: "element, attribute", "option", "in", "out", "applied by"
    :widths: 35, 40, 6, 5, 14

"""

# Specs of parts (orchestration/parts.py) as the guide calls the parts.
PARTS = {
    "bridges": "bridge",
    "rules": "rules",
    "fragments": "dnsmasq",
    "entries": "resolver",
    "registrations": "libvirt",
}
_ALL = tuple(PARTS.values())

# The parts that apply an element and its descendants; the longest matching path counts.
APPLIED: Mapping[str, tuple[str, ...]] = {
    "network": _ALL,
    "network@trustGuestRxFilters": ("libvirt",),
    "network/uuid": ("libvirt",),
    "network/title": ("libvirt",),
    "network/description": ("libvirt",),
    "network/metadata": ("libvirt",),
    "network/forward": _ALL,
    "network/forward@dev": ("rules",),
    "network/forward/interface": ("rules",),
    "network/forward/nat": ("rules",),
    "network/bridge@stp": ("bridge",),
    "network/bridge@delay": ("bridge",),
    "network/bridge@zone": ("rules",),
    "network/mtu": ("bridge", "dnsmasq"),
    "network/mac": ("bridge",),
    "network/domain": ("dnsmasq", "resolver"),
    "network/domain@localOnly": ("dnsmasq",),
    "network/domain@register": ("resolver",),
    "network/dns": ("rules", "dnsmasq", "resolver"),
    "network/dns@forwardPlainNames": ("dnsmasq",),
    **dict.fromkeys((f"network/dns/{name}" for name in ("forwarder", "host", "srv", "txt")), ("dnsmasq",)),
    "network/bandwidth": ("bridge", "rules"),
    "network/vlan": ("libvirt",),
    "network/virtualport": ("libvirt",),
    "network/portgroup": ("libvirt",),
    "network/port": ("bridge", "rules", "libvirt"),
    "network/ip": ("bridge", "rules", "dnsmasq", "resolver"),
    "network/ip@localPtr": ("dnsmasq",),
    "network/ip/tftp": ("dnsmasq",),
    "network/ip/dhcp": ("dnsmasq",),
    "network/route": ("bridge", "rules"),
    "network/dnsmasq:options": ("dnsmasq",),
}


def applied(path: str) -> tuple[str, ...]:
    """The parts that apply an element or attribute."""
    return APPLIED[
        max((prefix for prefix in APPLIED if path == prefix or path.startswith((f"{prefix}/", f"{prefix}@"))), key=len)
    ]


def places(root: Any) -> Iterator[tuple[str, Any, str]]:
    """Every element and attribute: its path, the element, the attribute's name; without the content of metadata."""
    pending = [("", root)]
    while pending:
        parent_path, element = pending.pop()
        path = element_path(parent_path, element)
        yield path, element, ""
        yield from ((f"{path}@{name}", element, str(name)) for name in element.attrib)
        pending += [(path, child) for child in children(element) if path != "network/metadata"]


def written() -> set[str]:
    """The paths in the XML of the samples."""
    texts = [to_xml(from_xml(sample.read_text()), (11, 3)) for sample in SAMPLES]
    return {path for text in texts for path, _element, _name in places(etree.fromstring(text))}


def table() -> str:
    """The table in reStructuredText."""
    written_paths = written()
    rows = {
        **{
            path: (option, "yes", "yes" if path in written_paths else "no", applied(path))
            for path, option in OPTION_BY_PATH.items()
        },
        **{
            path: (f"no effect: {why}", "yes", "yes" if path in written_paths else "no", ())
            for path, why in IGNORED.items()
        },
        **{path: (why, "refused", "no", ()) for path, why in REFUSED.items()},
    }
    lines = (
        f'    "``{path}``", "{option}", "{read}", "{back}", "{", ".join(parts) or "-"}"\n'
        for path, (option, read, back, parts) in sorted(rows.items())
    )
    return HEAD + "".join(lines)


if __name__ == "__main__":
    print(table(), end="")
