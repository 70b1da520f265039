# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A VPN for all of the host's traffic, as wg-quick sets it up, with a kill switch: what is not in the tunnel does not
# leave. wg0 is a veth to a namespace that does what the provider would do: it has an address of its own in the lab's
# internet, behind which all clients are. The server of the lab is on the link of eth0, so it has a route of its own.
cat > /usr/local/sbin/vpn-network << SCRIPT
#!/bin/sh
set -eu
ip netns add provider
ip link add wg0 mtu 1420 address 02:00:00:00:00:01 type veth peer name client address 02:00:00:00:00:02 netns provider
ip link add link eth0 name uplink address 02:00:00:00:00:03 netns provider type macvlan mode private
ip -n provider address add 203.0.113.200/24 dev uplink
ip -n provider link set uplink up
ip -n provider link set client up
ip -n provider route add 10.64.0.2 dev client
ip netns exec provider sysctl --quiet --write net.ipv4.ip_forward=1 net.ipv4.conf.client.proxy_arp=1
ip netns exec provider nft -f - << 'RULES'
table ip provider {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.64.0.2 oifname "uplink" masquerade
  }
}
RULES
ip address add 10.64.0.2/32 dev wg0
ip link set wg0 up
ip route add $SERVER dev wg0
ip route add default dev wg0 table 51820
ip rule add not fwmark 51820 table 51820
ip rule add table main suppress_prefixlength 0
sysctl --quiet --write net.ipv4.conf.all.src_valid_mark=1
nft -f - << 'RULES'
table ip wg-quick-wg0 {
  chain preraw {
    type filter hook prerouting priority raw; policy accept;
    iifname != "wg0" ip daddr 10.64.0.2 fib saddr type != local drop
  }
  chain premangle {
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto udp meta mark set ct mark
  }
  chain postmangle {
    type filter hook postrouting priority mangle; policy accept;
    meta l4proto udp meta mark 0x0000ca6c ct mark set meta mark
  }
}
table inet killswitch {
  chain output {
    type filter hook output priority filter; policy accept;
    oifname "eth0" meta mark != 0x0000ca6c drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname "eth0" drop
  }
}
RULES
SCRIPT
chmod +x /usr/local/sbin/vpn-network
cat > /etc/systemd/system/wg-quick.service << 'UNIT'
[Unit]
Description=Stand-in for wg-quick: a tunnel for all traffic, and a kill switch
Wants=network-online.target nss-lookup.target
After=network-online.target nss-lookup.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/vpn-network

[Install]
WantedBy=multi-user.target
UNIT
systemctl enable wg-quick.service
