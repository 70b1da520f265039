# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# The uplink of a host and the network outside: connect.sh HOST_ADDRESS OUTSIDE_ADDRESS
ip netns add outside
ip link add eth0 address 02:00:00:00:00:02 type veth peer name eth0 address 02:00:00:00:00:01 netns outside
ip address add "$1/24" dev eth0
ip link set eth0 up
ip route add default via "$2"
echo 0 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
ip -n outside link set lo up
ip -n outside address add "$2/24" dev eth0
ip -n outside link set eth0 up
# The outside has a route to guests that are routed.
ip -n outside route add 192.168.0.0/16 via "$1"
