# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's command `virtnet` on a root of its own: virtnet_command.py ROOT WORD..."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.cli.main import run_command
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths

sys.exit(run_command(sys.argv[2:], Paths(sys.argv[1])))
