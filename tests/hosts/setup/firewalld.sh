# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# firewalld with its default zone.
systemctl enable firewalld.service
