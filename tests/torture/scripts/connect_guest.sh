# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A guest on a bridge, with a lease: connect_guest.sh BRIDGE MAC UDHCPC_SCRIPT
ip netns add guest
ip link add tap0 type veth peer name eth0 address "$2" netns guest
ip link set tap0 master "$1" up
ip -n guest link set eth0 up
ip -n guest link set lo up
ip netns exec guest udhcpc -f -q -n -t 20 -T 1 -i eth0 -s "$3"
