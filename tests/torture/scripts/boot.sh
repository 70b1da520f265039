# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# The first process of a host: sh boot.sh FOLDER. What is below FOLDER outlives a boot; all else goes with this process.
set -e
disk=$1
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount --bind "$disk/etc" /etc
mount --bind "$disk/var" /var
mount -t overlay -o "lowerdir=/usr/local,upperdir=$disk/local,workdir=$disk/work" none /usr/local
mount -t tmpfs -o mode=755 none /run
mkdir -m 755 /run/netns
ip link set lo up
echo ready
# Orphans are nobody's to wait for: the kernel reaps them where their parent does not want to know.
exec env --ignore-signal=CHLD cat
