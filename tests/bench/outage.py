# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a guest gets no answer while its network changes: the results of ``make dnsmasq-outage``, as data."""

from __future__ import annotations

from bench.store import Data
from kernel import dnsmasq_outage


def measure() -> Data:
    results = dnsmasq_outage.columns()
    return {"runs": dnsmasq_outage.RUNS, "columns": {str(count): kinds for count, kinds in results.items()}}
