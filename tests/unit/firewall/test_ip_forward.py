# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarding of the host: the plan for files that do not fit together."""

from __future__ import annotations

from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.ip_forward import Forwarding, plan


def test_a_file_of_ours_without_its_record_is_removed() -> None:
    (change,) = plan(Forwarding(content="net.ipv4.ip_forward = 1\n"), Paths(), ipv4=False, ipv6=False)
    assert Paths().sysctl_file in {file.path for file in change.files if file.content is None}
