# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A VPN with a name server of its own: start_vpn.sh SERVER WEB_NAME
# The server knows names that others deny, and has its own view of some of theirs.
ip netns add corp
ip link add vpn0 type veth peer name eth0 netns corp
ip address add 10.99.0.1/24 dev vpn0
ip link set vpn0 up
ip -n corp address add "$1/24" dev eth0
ip -n corp link set lo up
ip -n corp link set eth0 up
ip netns exec corp dnsmasq --conf-file=/dev/null --no-hosts --no-resolv --user=root --pid-file=/run/corp.pid \
  --listen-address="$1" --bind-interfaces --local=/corp.internet.test/ \
  --host-record=wiki.corp.internet.test,10.99.0.80 \
  --host-record="$2,10.99.0.99"
