# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test cases as tables: who gets which service from the host's dnsmasq before and after a network is served, and
which dnsmasq puts which kind of option in force.

``make dnsmasq-matrix``. Exit status 1 if others than the guest see a difference, or the guest is not served.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import NoUsableDnsmasq
from kernel.dnsmasq_options import KINDS, options_in_force
from kernel.dnsmasq_testbed import (
    LOCAL,
    OK,
    REFUSED,
    DnsmasqTestbed,
    Observation,
    new_testbed,
    observe,
    open_folder,
    serving,
)
from kernel.test_dnsmasq import LAB, SERVED_CASES

HEADINGS = ("guest lease", "guest DNS", "LAN DNS", "LAN DHCP", "host DNS", "on-link", "off-link")
# No fragment can serve the guest here: there is an error, and nothing changes for others.
REFUSED_CASES = {
    "d4-except-bridges": (LOCAL, "except-interface=virt*\n"),
    "d5-no-dhcp-on-bridge": (LOCAL, "no-dhcp-interface=virt0\n"),
}
_PARALLEL_CASES = 4


def row(case: str) -> tuple[str, list[str], bool]:
    """A case: its name, a cell for each query, and whether all results are as expected."""
    served = case in SERVED_CASES
    arguments, config = SERVED_CASES[case][:2] if served else REFUSED_CASES[case]
    with open_folder() as folder, new_testbed() as testbed:
        before, after = observe_before_and_after(testbed, folder, arguments, config)
    dns = OK if served and SERVED_CASES[case][3] else REFUSED
    guest = (True, dns) if served else (before.guest_lease, before.guest_dns)
    as_expected = (after.guest_lease, after.guest_dns) == guest and before.others == after.others
    cells = [f"{cell_text(a)} {cell_text(b)}" for a, b in zip(astuple(before), astuple(after), strict=True)]
    return case, cells, as_expected


def observe_before_and_after(
    testbed: DnsmasqTestbed, folder: Path, arguments: tuple[str, ...], config: str
) -> tuple[Observation, Observation]:
    with serving(testbed, folder, config, arguments) as daemon:
        testbed.bridge()
        testbed.plug()
        before = observe(testbed, folder)
        try:
            daemon.converge(LAB)
        except NoUsableDnsmasq as error:
            print(f"refused: {error}", file=sys.stderr)
        return before, observe(testbed, folder)


def cell_text(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def options_row(case: str) -> tuple[str, ...]:
    """A case: its name, and who serves each kind of option."""
    arguments, config = (SERVED_CASES.get(case) or REFUSED_CASES[case])[:2]
    return (case, *options_in_force(arguments, config).values())


def print_table(table: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def main() -> int:
    cases = [*SERVED_CASES, *REFUSED_CASES]
    with ThreadPoolExecutor(_PARALLEL_CASES) as pool:
        rows = list(pool.map(row, cases))
    table = [("case (before after)", *HEADINGS, "as wanted")]
    print_table([*table, *((case, *cells, "yes" if as_expected else "NO") for case, cells, as_expected in rows)])
    # One at a time: the engine enters the namespace with its thread, and its children follow.
    served = [options_row(case) for case in cases]
    print()
    print_table([("case", *KINDS), *served])
    in_force = not any("NOT" in cell for line in served for cell in line)
    return 0 if in_force and all(as_expected for _, _, as_expected in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
