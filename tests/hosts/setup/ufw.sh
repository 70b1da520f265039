# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# ufw, enabled as its manual begins: who comes from outside reaches ssh alone.
ufw default deny incoming
ufw default deny routed
ufw allow ssh
ufw --force enable
