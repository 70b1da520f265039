# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# What a rebuild of RHEL 9 is called.
printf '%s\n' 'NAME="Rocky Linux"' 'VERSION="9.6 (Blue Onyx)"' ID=rocky 'ID_LIKE="rhel centos fedora"' VERSION_ID=9.6 \
  PLATFORM_ID=platform:el9 'PRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"' > /usr/lib/os-release
