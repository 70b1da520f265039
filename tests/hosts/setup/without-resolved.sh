# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A host without systemd-resolved.
rm -f /etc/resolv.conf
dpkg --purge systemd-resolved
rm -f /etc/resolv.conf
echo "nameserver $SERVER" > /etc/resolv.conf
