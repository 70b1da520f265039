# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# In a network namespace: runs a command while a name server listens on loopback. run_beside_server.sh DNSMASQ COMMAND...
set -eu

ip link set lo up
"$1" --keep-in-foreground --conf-file=/dev/null --listen-address=127.0.0.1 --bind-interfaces --no-resolv --user=root --pid-file= &
server=$!
trap 'kill "$server"' EXIT
shift
until [ -n "$(ss -H -l -n -u 'src 127.0.0.1:53')" ]; do kill -0 "$server"; done
"$@"
