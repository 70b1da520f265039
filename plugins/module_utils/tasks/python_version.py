# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends the module with one clear error where the host's Python is too old for the engine. To be imported first."""

from __future__ import annotations

import json
import sys

if sys.version_info < (3, 9):
    sys.stdout.write(
        json.dumps(
            {
                "failed": True,
                "msg": "virtnet.linux needs Python 3.9 or newer on the host, found %d.%d; "
                "point ansible_python_interpreter at one" % sys.version_info[:2],
            }
        )
    )
    sys.exit(1)
