# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Creates the root of a light host and starts its first process:
# sh boot_light_host.sh LOWER_ROOT STATE_FOLDER HOST_NAME NAME_SERVER PROGRAM_OF_THE_FIRST_PROCESS
set -e
mount -t tmpfs -o size=64m none "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o size=16m none run
mkdir -p run/systemd/system run/lock
hostname "$3"
echo "$3" > etc/hostname
printf 'nameserver %s\n' "$4" > etc/resolv.conf
exec chroot . /usr/bin/python3 -I -c "$5"
