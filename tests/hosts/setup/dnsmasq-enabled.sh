# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# The host's dnsmasq.service runs.
systemctl enable dnsmasq.service
