# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results in .build/bench: a JSON file for each part, from which the page can be written again."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".build" / "bench"
Data = dict[str, Any]


def save(part: str, data: Data, began: float) -> None:
    """Stores the results of a part, with its start, its duration, and the load of the machine at the end."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    about = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "minutes": (time.time() - began) / 60,
        "load": os.getloadavg()[1],
    }
    (FOLDER / f"{part}.json").write_text(json.dumps({**about, **data}, indent=1) + "\n")


def load(part: str) -> Data | None:
    file = FOLDER / f"{part}.json"
    return dict(json.loads(file.read_text())) if file.exists() else None
