# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# What Arch is called.
printf '%s\n' 'NAME="Arch Linux"' ID=arch BUILD_ID=rolling 'PRETTY_NAME="Arch Linux"' > /usr/lib/os-release
