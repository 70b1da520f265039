# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarding of the host: the plan for files that do not fit together."""

from __future__ import annotations

import json

from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.ip_forward import IPV4, Forwarding, plan

REDIRECTS = "net/ipv4/conf/all/accept_redirects"


def test_a_file_of_ours_without_its_record_is_removed() -> None:
    (change,) = plan(Forwarding(content="net.ipv4.ip_forward = 1\n"), Paths(), ipv4=False, ipv6=False)
    assert Paths().sysctl_file in {file.path for file in change.files if file.content is None}


def test_redirects_stay_refused_where_the_kernel_would_accept_them_again() -> None:
    """Writing 0 to ip_forward sets accept_redirects to 1: inet_forward_change() in net/ipv4/devinet.c."""
    before = Forwarding(values={IPV4: "0", REDIRECTS: "0"})
    (enabled,) = plan(before, Paths(), ipv4=True, ipv6=False)
    record = json.loads(next(file.content for file in enabled.files if file.path.endswith(".json")) or "")
    current = Forwarding(values={IPV4: "1", REDIRECTS: "0"}, content="", original=record)
    (restored,) = plan(current, Paths(), ipv4=False, ipv6=False)
    assert [(sysctl.path, sysctl.value) for sysctl in restored.sysctls] == [
        (f"/proc/sys/{IPV4}", "0"),
        (f"/proc/sys/{REDIRECTS}", "0"),
    ]


def test_redirects_that_a_host_accepted_are_the_kernels_matter() -> None:
    (enabled,) = plan(Forwarding(values={IPV4: "0", REDIRECTS: "1"}), Paths(), ipv4=True, ipv6=False)
    assert not any(REDIRECTS in (file.content or "") for file in enabled.files)


def test_redirects_are_refused_after_an_interrupted_restore_too() -> None:
    current = Forwarding(values={IPV4: "0", REDIRECTS: "1"}, content="", original={IPV4: "0", REDIRECTS: "0"})
    (restored,) = plan(current, Paths(), ipv4=False, ipv6=False)
    assert [sysctl.value for sysctl in restored.sysctls] == ["0"]
