# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Gives this mount namespace files of its own, for one host: sh managed_host.sh SCRATCH IDENTITY [ENGINE]
# ENGINE is a folder whose usr/local the host has besides.
# Prints "ready", and ends, with the namespace, when its standard input is closed.
set -eu
mount -t tmpfs none "$1"
mount -t tmpfs none /run
for part in etc usr var; do
    mkdir -p "$1/$part" "$1/work/$part"
    below=/$part
    [ $part != usr ] || below=${3:+$3/usr:}$below
    mount -t overlay none -o "lowerdir=$below,upperdir=$1/$part,workdir=$1/work/$part" "/$part"
done
echo "$2" >/etc/machine-id
echo ready
exec cat
