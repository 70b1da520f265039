# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters between libvirt's network XML and the options of a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ..module_utils.core.errors import VirtnetError, printable
from ..module_utils.dnsmasq.dangerous_options import option_dangers
from ..module_utils.libvirt_xml.convert import OLDEST, from_xml, to_xml, with_domain_of_libvirt

_DISPLAY = Display()
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?")


def from_libvirt_xml(text: Any) -> dict[str, Any]:
    """libvirt's XML as one item of virtnet_networks; lines for dnsmasq that reach beyond it are warned of."""
    try:
        options = with_domain_of_libvirt(from_xml(text, "from_libvirt_xml"))
    except VirtnetError as error:
        raise AnsibleFilterError(str(error)) from error
    for danger in option_dangers(options):
        _DISPLAY.warning(printable(f"from_libvirt_xml: network {options.get('name')!r}: {danger}"))
    return options


def to_libvirt_xml(options: Any, libvirt: str = ".".join(map(str, OLDEST))) -> str:
    """One item of virtnet_networks as XML that this version of libvirt understands."""
    version = _VERSION.fullmatch(str(libvirt))
    if version is None:
        raise AnsibleFilterError(f"to_libvirt_xml: libvirt={libvirt!r} is not a version; write it as '9.0'")
    if not isinstance(options, Mapping):
        raise AnsibleFilterError(f"to_libvirt_xml: {type(options).__name__} is not a mapping of options of a network")
    try:
        return to_xml(options, (int(version[1]), int(version[2])))
    except VirtnetError as error:
        raise AnsibleFilterError(f"to_libvirt_xml: {error}") from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By their names."""
        return {"from_libvirt_xml": from_libvirt_xml, "to_libvirt_xml": to_libvirt_xml}
