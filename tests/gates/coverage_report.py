# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python coverage_report.py FOLDER...`: the coverage of the engine by tests, from the data in these folders.

Below 90 % of all lines, every missed line is listed; else the files below it. The file `missing` beside the folders
has all of them.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import coverage
from coverage.exceptions import CoverageWarning

MIN_PERCENT = 90.0
ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "plugins/module_utils"


def main() -> int:
    folders = [Path(word) for word in sys.argv[1:]]
    data = coverage.Coverage(data_file=str(folders[0].parent / "data"), config_file=str(ROOT / "pyproject.toml"))
    with warnings.catch_warnings():
        # A process that a test killed may leave a file without data.
        warnings.simplefilter("ignore", CoverageWarning)
        data.combine([str(folder) for folder in folders], keep=True)
    rows = []
    for file in sorted(ENGINE.rglob("*.py")):
        _name, statements, _excluded, missing, words = data.analysis2(str(file))
        rows.append((file.relative_to(ENGINE).as_posix(), len(statements), len(missing), words))
    lines, without = sum(row[1] for row in rows), sum(row[2] for row in rows)
    total = share(lines, without)
    rows.sort(key=lambda row: share(row[1], row[2]))
    lines_of_files = [
        f"{name:<28} {share(own, missing):5.1f} %  {words}" for name, own, missing, words in rows if missing
    ]
    (folders[0].parent / "missing").write_text("\n".join(lines_of_files))
    if total < MIN_PERCENT:
        print(*lines_of_files, sep="\n")
    else:
        below = [f"{row[0]} {share(row[1], row[2]):.0f}" for row in rows if share(row[1], row[2]) < MIN_PERCENT]
        print(f"  below {MIN_PERCENT:.0f} %: {', '.join(below)}")
    print(f"engine: {total:.1f} % of {lines} lines in {len(rows)} files, by unit and kernel tests")
    return 0


def share(lines: int, without: int) -> float:
    return 100 * (1 - without / lines) if lines else 100.0


if __name__ == "__main__":
    sys.exit(main())
