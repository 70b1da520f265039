# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Lays an unpacked package over /usr and /etc of this mount namespace: sh lay_over.sh TREE SCRATCH
# Prints "ready", and ends, with the namespace, when its standard input is closed.
set -eu
mkdir -p "$2/empty" "$2/usr" "$2/etc" "$2/usr-work" "$2/etc-work"
mount -t tmpfs none /run
for part in usr etc; do
    mount -t overlay none -o "lowerdir=$1/$part:/$part,upperdir=$2/$part,workdir=$2/$part-work" "/$part"
done
rm -f /etc/resolv.conf
echo ready
exec cat
