# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``make bench``: measures in parts, and writes docs/benchmarks.md and the figures of README.md from all parts.

make bench                        all parts
make bench PARTS="fleet rates"    measures these again, and uses the last results of the others
make bench PARTS=page             the page alone
make bench N="1 10" MINUTES=5     fewer networks, and less time for slow tools
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

from bench import bench, control, fleet, outage, page, page_readme, rates, rules
from bench.machine import machine
from bench.store import ROOT, Data, load, save
from bench.tools import Stopped

from lab.progress import print_progress, step
from lab.run import Failed

# The share of the minutes for the comparison; the other parts have no limit.
COUNTS = (1, 10, 50, 100, 300)
MINUTES = 12.0
# Errors that end one part, but not the others.
EXPECTED_ERRORS = (Failed, Stopped, AssertionError, subprocess.SubprocessError, OSError)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", help="which parts to measure again; 'page': none")
    parser.add_argument("--networks", type=int, nargs="+", default=list(COUNTS), metavar="N")
    parser.add_argument("--hosts", type=int, nargs="+", default=list(fleet.COUNTS), metavar="HOSTS")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="bound of the comparison with others")
    options = parser.parse_args()
    counts = sorted(set(options.networks))
    parts: dict[str, Callable[[], Data]] = {
        "engine": lambda: bench.measure([n for n in bench.COUNTS if n <= counts[-1]] or counts),
        "control": lambda: control.measure(counts, options.minutes),
        "rules": rules.measure,
        "rates": rates.measure,
        "outage": outage.measure,
        "fleet": lambda: fleet.measure(sorted(set(options.hosts))),
    }
    unknown = set(options.parts) - set(parts) - {"page"}
    if unknown:
        parser.error(f"no part called {', '.join(sorted(unknown))}: there are {', '.join(parts)}, page")
    failed = []
    for name in [name for name in parts if not options.parts or name in options.parts]:
        began = time.time()
        try:
            with step(f"bench {name}"):
                save(name, parts[name](), began)
        except EXPECTED_ERRORS as wrong:
            print_progress(f"bench {name}: {type(wrong).__name__}: {wrong}")
            failed.append(name)
    known = {name: data for name in parts if (data := load(name)) is not None}
    text = page.render(machine(), known, command(options))
    (ROOT / "docs" / "benchmarks.md").write_text(text)
    readme = ROOT / "README.md"
    readme.write_text(page_readme.update(readme.read_text(), known))
    print_progress(f"docs/benchmarks.md is written{', but not measured was: ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


def command(options: argparse.Namespace) -> str:
    """The arguments that make passes."""
    words = {
        "PARTS": " ".join(options.parts),
        "N": " ".join(map(str, options.networks)) if options.networks != list(COUNTS) else "",
        "HOSTS": " ".join(map(str, options.hosts)) if options.hosts != list(fleet.COUNTS) else "",
        "MINUTES": f"{options.minutes:g}" if options.minutes != MINUTES else "",
    }
    return " ".join(["make bench", *(f'{name}="{value}"' for name, value in words.items() if value)])


if __name__ == "__main__":
    sys.exit(main())
