# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is restored if one network cannot be set up as defined."""

from __future__ import annotations

import json

from torture.host import new_host
from torture.plans import Network, installation, site

LAB: Network = {"name": "lab", "ipv4": {"address": "192.168.30.1/24"}}
CLOSED: Network = {
    "name": "closed",
    "mode": "isolated",
    "ipv4": {"address": "192.168.31.1/24"},
    "dns": {"enabled": False},
}


def test_a_network_that_no_dnsmasq_can_serve_keeps_no_other_from_being_served() -> None:
    """As on a host whose isolated network was served by the system's dnsmasq, by an older version."""
    with new_host() as host:
        host.sh("echo no-ping > /etc/dnsmasq.conf; systemctl restart dnsmasq.service")
        host.run_tasks(installation())
        host.run_tasks(site([LAB, CLOSED]))
        file = "/etc/virtnet/networks/closed.json"
        definition = json.loads(host.sh(f"cat {file}"))
        definition["dns"]["enabled"] = True
        host.run("sh", "-c", f"cat > {file}", stdin=json.dumps(definition))
        fragments = "/etc/dnsmasq.d/virtnet-lab.conf", "/etc/dnsmasq.d/virtnet-closed.conf"
        host.sh(f"rm {fragments[0]}")
        result = host.command("restore")
        assert result.returncode == 1
        assert "error: network 'closed': the system's dnsmasq would answer names of others" in result.stderr
        assert "lab: virtnet-lab.conf created" in result.stderr
        assert host.sh(f"ls {' '.join(fragments)}").split() == sorted(fragments)
        kill_and_run_again = host.command("restore")
        assert "created" not in kill_and_run_again.stderr and kill_and_run_again.returncode == 1
