# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of networks before a first run, while what it needs may be missing."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.tasks import registry

XML = {"xml": "<network><name>lab</name><bridge name='virbr7'/></network>"}


def test_xml_is_not_refused_for_a_library_that_the_run_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "lxml"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lxml", None)
    registry._refuse_wrong_networks([XML])
    with pytest.raises(InvalidOption, match=r"networks\[1\].mode"):
        registry._refuse_wrong_networks([XML, {"name": "other", "mode": "natt"}])


def test_what_the_guard_does_is_refused_on_a_host_without_it() -> None:
    ipv6 = {"address": "2001:db8:1:2:f::1/80", "ra": False, "ndp_proxy": True}
    network = {"name": "lab", "mode": "routed", "uplink": "eth0", "ipv6": ipv6}
    registry._refuse_wrong_networks([network])
    registry._refuse_wrong_networks([{**network, "state": "absent"}], guard=False)
    with pytest.raises(InvalidOption, match=r"networks\[0\].ipv6.ndp_proxy: is done by the guard; use virtnet_guard"):
        registry._refuse_wrong_networks([network], guard=False)
