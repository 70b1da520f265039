# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# What tailscaled leaves: its interface, here a veth to a namespace that is the other node, its rules of routing with
# table 52, and its chains in iptables.
cat > /usr/local/sbin/tailscaled-network << 'SCRIPT'
#!/bin/sh
set -eu
ip netns add node
ip link add tailscale0 mtu 1280 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns node
ip address add 100.64.0.1/32 dev tailscale0
ip link set tailscale0 up
ip -n node address add 100.64.0.2/32 dev eth0
ip -n node link set eth0 up
ip -n node route add 100.64.0.1 dev eth0
ip route add 100.64.0.2 dev tailscale0 table 52
for family in -4 -6; do
  ip $family rule add priority 5210 fwmark 0x80000/0xff0000 lookup main
  ip $family rule add priority 5230 fwmark 0x80000/0xff0000 lookup default
  ip $family rule add priority 5250 fwmark 0x80000/0xff0000 type unreachable
  ip $family rule add priority 5270 lookup 52
done
iptables-restore --noflush << 'RULES'
*filter
:ts-forward - [0:0]
:ts-input - [0:0]
-I INPUT -j ts-input
-I FORWARD -j ts-forward
-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP
-A ts-forward -o tailscale0 -j ACCEPT
-A ts-input -s 100.64.0.1/32 -i lo -j ACCEPT
-A ts-input -s 100.115.92.0/23 ! -i tailscale0 -j RETURN
-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP
-A ts-input -i tailscale0 -j ACCEPT
-A ts-input -p udp -m udp --dport 41641 -j ACCEPT
COMMIT
*nat
:ts-postrouting - [0:0]
-I POSTROUTING -j ts-postrouting
-A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
COMMIT
RULES
SCRIPT
chmod +x /usr/local/sbin/tailscaled-network
cat > /etc/systemd/system/tailscaled.service << 'UNIT'
[Unit]
Description=Stand-in for tailscaled: its interface, routes and rules
Wants=network-pre.target
After=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/tailscaled-network

[Install]
WantedBy=multi-user.target
UNIT
systemctl enable tailscaled.service
