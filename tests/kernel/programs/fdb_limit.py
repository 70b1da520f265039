# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limit of addresses that a bridge learns, as the kernel reports it: fdb_limit.py BRIDGE"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.kernel.fdb import read_fdb_limits

print(read_fdb_limits().of(socket.if_nametoindex(sys.argv[1])))
