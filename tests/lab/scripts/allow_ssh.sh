# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Lets a key in as root, and as a user whose sudo asks for a password: allow_ssh.sh KEY USER PASSWORD
useradd --create-home --shell /bin/bash --groups sudo "$2"
printf '%s:%s\n' "$2" "$3" | chpasswd
for home in /root "/home/$2"; do
  mkdir -p -m 700 "$home/.ssh"
  printf '%s\n' "$1" > "$home/.ssh/authorized_keys"
done
chown -R "$2:" "/home/$2/.ssh"
