# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Protocols with ports, by number (IANA, Assigned Internet Protocol Numbers).

A host need not know their names: /etc/protocols is in Debian's package netbase, and without it nft lists numbers.
"""

PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
