# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports of a private dnsmasq that runs beside another server at the usual ports; rules redirect guests to them.

IANA has assigned neither, and both are below the range from which Linux takes source ports (ip_local_port_range).
"""

REDIRECTED_DNS = 23053
REDIRECTED_DHCP = 23067
