# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limit of addresses that each bridge learns, as the kernel reports it, one a line: fdb_limit.py BRIDGE..."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.kernel.fdb import read_fdb_limits

limits = read_fdb_limits()
for name in sys.argv[1:]:
    print(limits.of(socket.if_nametoindex(name)))
