# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`coverage json -o - | python covered.py`: how much of the engine the tests ran, and which files they ran less of.

Fails where that is less than 90 % of all lines, or a file was not looked at.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

WANTED = 90.0
ENGINE = Path(__file__).resolve().parents[2] / "plugins/module_utils"


def main() -> int:
    told = json.load(sys.stdin)
    share = {Path(name).name: one["summary"]["percent_covered"] for name, one in told["files"].items()}
    lines = {Path(name).name: one["missing_lines"] for name, one in told["files"].items()}
    missing = [file.name for file in sorted(ENGINE.glob("*.py")) if file.name not in share and file.stat().st_size]
    total = told["totals"]["percent_covered"]
    print(f"engine: {total:.1f} % of {told['totals']['num_statements']} lines in {len(share)} files")
    for name in sorted((name for name in share if share[name] < WANTED), key=lambda name: share[name]):
        print(f"  {name:<28} {share[name]:5.1f} %  without {', '.join(map(str, lines[name]))}")
    for name in missing:
        print(f"  {name:<28} not looked at")
    return int(total < WANTED or bool(missing))


if __name__ == "__main__":
    sys.exit(main())
