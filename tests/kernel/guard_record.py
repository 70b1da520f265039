# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records in text how the guard repairs faults: ``make guard-record``.

A guest behind a veth pings the outside all the time while its network is broken. The record shows the fault, the
journal of the guard, and the answers to the ping before, during and after, with the time since the event. The guest's
address is fixed here; after a conflict it gets one of the new subnet when the guard is done, as with a new lease.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kernel.guard_testbed import GuardTestbed, network_without_services
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, Namespace

INTERVAL = 0.05
MARGIN_SECONDS = 1.0
_ANSWER = re.compile(r"^\[(\d+\.\d+)\] .*icmp_seq=(\d+) ttl")


class Ping:
    """A ping that runs in the background, with the time of each answer."""

    def __init__(self, guest: Namespace) -> None:
        self.process = guest.start("ping", "-D", "-n", "-i", str(INTERVAL), OUTSIDE)

    def stop(self) -> tuple[list[float], int]:
        """The times of the answers (seconds since the epoch), and how many packets were lost."""
        self.process.terminate()
        output, _nothing = self.process.communicate(timeout=60)
        answers = [(float(match[1]), int(match[2])) for match in map(_ANSWER.match, output.splitlines()) if match]
        missing = answers[-1][1] - answers[0][1] + 1 - len(answers) if answers else 0
        return [when for when, _number in answers], missing


def record(testbed: GuardTestbed, guest: Namespace, title: str, fault: str, is_repaired: Callable[[], object]) -> None:
    """Cause a fault while the guest pings, and print what happened."""
    print(f"\n=== {title}\n")
    journal_length = len(testbed.journal)
    ping = Ping(guest)
    time.sleep(MARGIN_SECONDS)
    broken_at = time.time()
    testbed.host.run(*fault.split())
    wait_until(is_repaired)
    repaired_at = time.time()
    time.sleep(MARGIN_SECONDS)
    answers, lost = ping.stop()
    before = [when for when in answers if when < broken_at]
    after = [when for when in answers if when >= broken_at]
    gaps = [(later - earlier, earlier) for earlier, later in zip(answers, answers[1:], strict=False)]
    longest, start = max(gaps)
    begin = start - broken_at
    print(f"  before  {len(before)} answers of {OUTSIDE}, one each {INTERVAL * 1000:.0f} ms")
    print(f"  {0:5.2f} s  # {fault}")
    for line in testbed.journal[journal_length:].splitlines():
        print(f"          virtnet: {line}")
    print(f"  {repaired_at - broken_at:5.2f} s  right again")
    print(f"  during  {lost} packets lost; no answer from {begin:.2f} s to {begin + longest:.2f} s")
    print(f"  after   {len(after)} answers")


def main() -> int:
    """Three recordings."""
    with tempfile.TemporaryDirectory() as folder:
        testbed = GuardTestbed(Path(folder))
        try:
            testbed.run_playbook(network_without_services("lab"))
            testbed.start_guard()

            def address() -> str:
                definition = json.loads((testbed.root / "etc/virtnet/networks/lab.json").read_text())
                return str(definition["ipv4"]["address"]).partition("/")[0]

            net = address().rpartition(".")[0]
            guest = testbed.add_guest("vn-lab", f"{net}.50/24", f"{net}.1")
            wait_until(lambda: guest.pings(OUTSIDE))
            wait_until(testbed.has_read_all_events)
            rules_exist = lambda: "vn_bridges" in testbed.host.run("nft", "list", "ruleset")  # noqa: E731
            record(testbed, guest, "all rules flushed", "nft flush ruleset", rules_exist)
            port_is_attached = lambda: (testbed.link("tap3") or {}).get("master") == "vn-lab"  # noqa: E731
            record(
                testbed, guest, "the bridge deleted, with the guest on it", "ip link delete vn-lab", port_is_attached
            )

            def network_has_moved() -> bool:
                new = address().rpartition(".")[0]
                if new == net or address() not in str((testbed.link("vn-lab") or {}).get("addr_info")):
                    return False
                script = f"address add {new}.50/24 dev eth0\nroute replace default via {new}.1\n"
                guest.run("ip", "-force", "-batch", "-", stdin=script, check=False)
                return guest.pings(OUTSIDE)

            record(
                testbed,
                guest,
                "a conflict: the uplink gets the network's subnet",
                f"ip address add {net}.7/24 dev eth0",
                network_has_moved,
            )
        finally:
            testbed.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
