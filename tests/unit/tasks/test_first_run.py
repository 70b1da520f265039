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
