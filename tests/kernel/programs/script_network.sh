# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A network as scripts make it: script_network.sh up|down [RANGE OF IPV6]
set -eu
rules() {
    iptables -t nat "$1" POSTROUTING -s 192.168.80.0/24 -o eth0 -j MASQUERADE
    iptables -t nat "$1" PREROUTING -i eth0 -p tcp --dport 8443 -j DNAT --to-destination 192.168.80.10:443
    iptables "$1" FORWARD -i br0 -j ACCEPT
    iptables "$1" FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
}
if [ "$1" = down ]; then
    kill "$(cat /run/script-dnsmasq.pid)"
    rules -D
    ip link delete br0
    sysctl -qw net.ipv4.ip_forward=0
    exit
fi
ip link add br0 type bridge
ip address add 192.168.80.1/24 dev br0
ip address add fd00:80::1/64 dev br0 nodad
ip link set br0 up
ip route add 10.50.0.0/16 via 192.168.80.10
sysctl -qw net.ipv4.ip_forward=1
rules -A
# What a test adds.
mkdir -p /etc/script.d
cat >/etc/script-dnsmasq.conf <<END
interface=br0
bind-interfaces
domain=lab.example
local=/lab.example/
dhcp-range=192.168.80.100,192.168.80.199,12h
dhcp-range=${2:-::,constructor:br0,ra-only}
dhcp-hostsfile=/etc/script-hosts
host-record=printer.lab.example,192.168.80.9
conf-script=touch /run/command-was-run
conf-dir=/etc/script.d
END
echo 52:54:00:00:00:10,web,192.168.80.10 >/etc/script-hosts
dnsmasq --conf-file=/etc/script-dnsmasq.conf --pid-file=/run/script-dnsmasq.pid --dhcp-leasefile=/run/script.leases
rm -f /run/command-was-run
