# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which dnsmasq puts which kind of option in force, beside a system's dnsmasq of a given configuration.

The choice is that of ``virt_network`` with ``instance: auto``, and the rules of the network are loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import converge
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reconciler import Fragments, FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.redirects import choose_redirects
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules, elements_of, merged
from ansible_collections.virtnet.linux.plugins.module_utils.nft.script import render
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAB_FRAGMENT,
    PROGRAM,
    Daemon,
    DnsmasqTestbed,
    get_lease,
    new_testbed,
    open_folder,
    resolve,
    run,
    serving,
)

_UPSTREAM = "10.99.0.2"
_UPSTREAM_NAME, _UPSTREAM_ANSWER = "up.test", "198.51.100.7"


@dataclass(frozen=True)
class Kind:
    """Options of a network, and whether the guest (with its lease) gets what they say, and others do not."""

    options: dict[str, Any]
    is_in_force: Callable[[DnsmasqTestbed, dict[str, str]], bool]


def _resolves_for_guests_alone(name: str, address: str) -> Callable[[DnsmasqTestbed, dict[str, str]], bool]:
    def check(testbed: DnsmasqTestbed, _lease: dict[str, str]) -> bool:
        return (
            resolve(testbed.guest, BRIDGE_ADDRESS, name) == address
            and resolve(testbed.host, "127.0.0.1", name) != address
        )

    return check


KINDS = {
    "DHCP line": Kind({"raw": ["dhcp-option=42,192.168.100.7"]}, lambda _, lease: lease["ntpsrv"] == "192.168.100.7"),
    "line of a whole dnsmasq": Kind(
        {"raw": ["address=/whole.test/192.168.100.8"]}, _resolves_for_guests_alone("whole.test", "192.168.100.8")
    ),
    "forwarder": Kind(
        {"names": {"forwarders": [{"address": _UPSTREAM}]}},
        _resolves_for_guests_alone(_UPSTREAM_NAME, _UPSTREAM_ANSWER),
    ),
    "name outside": Kind(
        {"names": {"hosts": [{"ip": "192.168.100.9", "names": ["www.internet.test"]}]}},
        _resolves_for_guests_alone("www.internet.test", "192.168.100.9"),
    ),
}


def load_rules(testbed: DnsmasqTestbed, addresses: Sequence[str]) -> None:
    """The rules of the network on the bridge, with a private dnsmasq at ports of its own at these addresses."""
    rules = Rules(
        name="lab",
        bridge="virt0",
        mode="nat",
        subnets=("192.168.100.0/24", "192.168.150.0/24", "fd00:100::/64"),
        redirect_dns=tuple(addresses),
        redirect_dhcp=bool(addresses),
    )
    with testbed.host.entered():
        run(["sh", "-c", f"nft -f - <<'END'\n{render(merged([elements_of(rules)]))}\nEND\n"])


def converge_chosen(testbed: DnsmasqTestbed, daemon: Daemon, options: dict[str, Any]) -> str:
    """Serve the network as virt_network would; the dnsmasq that serves it."""
    spec = FragmentSpec.from_options(Options(options))
    with testbed.host.entered():

        def fragments(one: FragmentSpec) -> Fragments:
            return Fragments([one], False, daemon.paths, service=daemon, instances=daemon.private)  # type: ignore[arg-type]

        redirect = bool(choose_redirects([spec], fragments(spec).read(), (), {spec.name}))
        load_rules(testbed, [BRIDGE_ADDRESS] if redirect else [])
        (result,) = converge(fragments(replace(spec, redirect=redirect)), daemon.paths, check=False).result
    return "private, redirected" if redirect else str(result["instance"])


@contextlib.contextmanager
def _upstream_server(testbed: DnsmasqTestbed, folder: Path) -> Iterator[None]:
    command = (PROGRAM, "-k", "-u", "root", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
               f"--pid-file={folder}/upstream.pid", f"--address=/{_UPSTREAM_NAME}/{_UPSTREAM_ANSWER}")  # fmt: skip
    server = testbed.uplink.start(*command)
    try:
        yield
    finally:
        server.terminate()
        server.communicate()


def options_in_force(arguments: Sequence[str], config: str) -> dict[str, str]:
    """For each kind of option, who serves it; with "NOT IN FORCE" if the guest does not get what it says."""
    served = {}
    with open_folder() as folder, new_testbed() as testbed, _upstream_server(testbed, folder):
        for number, (name, kind) in enumerate(KINDS.items()):
            one = folder / str(number)
            one.mkdir()
            one.chmod(0o755)
            testbed.bridge()
            testbed.plug()
            with serving(testbed, one, config, arguments) as daemon:
                served[name] = converge_chosen(testbed, daemon, {**LAB_FRAGMENT, **kind.options})
                lease = get_lease(testbed.guest, one, "vmone")
                if not lease or not kind.is_in_force(testbed, lease):
                    served[name] += ", NOT IN FORCE"
            testbed.delete_bridges()
    return served
