# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a host, by its own Python and the engine that is installed there: all parts for N networks, timed.

python3 engine_run.py N        prints {part: seconds} as JSON
"""

from __future__ import annotations

import json
import sys
import time

STARTED = time.perf_counter()
sys.path.insert(0, "/usr/local/lib/virtnet")

from engine.identity import host_identity  # noqa: E402
from engine.network import read_network  # noqa: E402
from engine.options import Options  # noqa: E402
from engine.part import converge  # noqa: E402
from engine.paths import Paths  # noqa: E402
from engine.specs import parts  # noqa: E402
from engine.virt_network import Networks  # noqa: E402


def main() -> None:
    count = int(sys.argv[1])
    paths = Paths()
    times = {"imports": time.perf_counter() - STARTED}

    def timed(name: str, at: float) -> None:
        times[name] = times.get(name, 0.0) + time.perf_counter() - at

    at = time.perf_counter()
    options = Options({"networks": [{"name": f"net{i}", "dns": {"domain": f"net{i}.test"}} for i in range(count)]})
    wanted = [read_network(one, host_identity()) for one in options.each("networks")]
    plan = converge(Networks(wanted, True, paths), paths, check=False)
    timed("definitions", at)
    changes = len(plan.changes)
    for part in parts(plan.more, paths):  # type: ignore[arg-type]
        at = time.perf_counter()
        changes += len(converge(part, paths, check=False).changes)
        timed(type(part).__name__, at)
    times["total"] = time.perf_counter() - STARTED
    print(json.dumps({"times": times, "changes": changes}))


if __name__ == "__main__":
    main()
