# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`coverage json -o - | python covered.py`: how much of the engine the tests ran.

Where that is less than 90 % of all lines, every line is named that no test ran; else those of files below it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

WANTED = 90.0
ENGINE = Path(__file__).resolve().parents[2] / "plugins/module_utils"


def main() -> int:
    told = json.load(sys.stdin)
    share = {Path(name).name: one["summary"]["percent_covered"] for name, one in told["files"].items()}
    lines = {Path(name).name: one["missing_lines"] for name, one in told["files"].items()}
    total = told["totals"]["percent_covered"]
    shown = [name for name in share if lines[name] and (share[name] < WANTED or total < WANTED)]
    for name in sorted(shown, key=lambda name: share[name]):
        print(f"  {name:<28} {share[name]:5.1f} %  without {', '.join(ranges(lines[name]))}")
    for file in sorted(ENGINE.glob("*.py")):
        if file.name not in share and file.stat().st_size:
            print(f"  {file.name:<28} not looked at")
    print(f"engine: {total:.1f} % of {told['totals']['num_statements']} lines in {len(share)} files")
    return 0


def ranges(numbers: Sequence[int]) -> Iterator[str]:
    """1, 2, 3, 7 as 1-3, 7."""
    for _distance, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        (_, start), *others = group
        yield f"{start}-{others[-1][1]}" if others else str(start)


if __name__ == "__main__":
    sys.exit(main())
