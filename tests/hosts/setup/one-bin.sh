# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# One folder for programs, as in Arch and in Fedora since 42.
cp --archive --no-clobber /usr/sbin/. /usr/bin/
rm -r /usr/sbin
ln -s bin /usr/sbin
