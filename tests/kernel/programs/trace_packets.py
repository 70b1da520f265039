# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `virtnet trace` answers, for many packets: trace_packets.py ROOT, the words of each as JSON on stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build/collections"))

from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.trace import trace
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.restore import load_host_state
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.trace_ends import Ends
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.read import read

paths = Paths(sys.argv[1])
ends, ruleset = Ends(load_host_state(paths), paths), read()
answers = [
    [trace(flow, ends.networks, ruleset).as_options() for flow in ends.flows(source, destination, protocol, port)]
    for source, destination, protocol, port in json.load(sys.stdin)
]
print(json.dumps(answers))
