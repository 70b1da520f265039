# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's command `virtnet`: virtnet_command.py WORD..."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.cli.main import main

sys.exit(main(sys.argv[1:]))
