# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# What k3s leaves on a node, with one pod that serves port 80: flannel's bridge and tunnel, and the rules of kube-proxy,
# of flannel and of kube-router's network policies. NodePort 30080 leads to the pod.
cat > /usr/local/sbin/k3s-network << 'SCRIPT'
#!/bin/sh
set -eu
sysctl --quiet --write net.ipv4.ip_forward=1
[ ! -e /proc/sys/net/bridge ] || sysctl --quiet --write net.bridge.bridge-nf-call-iptables=1
ip link add flannel.1 address 02:00:00:00:00:01 type vxlan id 1 dev eth0 dstport 8472 nolearning
ip address add 10.42.0.0/32 dev flannel.1
ip link set flannel.1 up
ip link add cni0 address 02:00:00:00:00:02 type bridge
ip address add 10.42.0.1/24 dev cni0
ip link set cni0 up
ip netns add pod
ip link add veth0 address 02:00:00:00:00:03 type veth peer name eth0 address 02:00:00:00:00:04 netns pod
ip link set veth0 master cni0 up
bridge link set dev veth0 hairpin on
ip -n pod link set lo up
ip -n pod address add 10.42.0.10/24 dev eth0
ip -n pod link set eth0 up
ip -n pod route add default via 10.42.0.1
iptables-restore --noflush /usr/local/lib/k3s.rules
exec ip netns exec pod python3 -m http.server --directory /srv/pod 80
SCRIPT
chmod +x /usr/local/sbin/k3s-network
mkdir /srv/pod
echo 'from a pod' > /srv/pod/index.html
cat > /usr/local/lib/k3s.rules << 'RULES'
*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*filter
:FLANNEL-FWD - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-NWPLCY-DEFAULT - [0:0]
:KUBE-POD-FW-WEB - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-ROUTER-FORWARD - [0:0]
:KUBE-ROUTER-INPUT - [0:0]
:KUBE-ROUTER-OUTPUT - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m comment --comment "kube-router netpol" -j KUBE-ROUTER-INPUT
-A INPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A INPUT -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kube-router netpol" -j KUBE-ROUTER-FORWARD
-A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A OUTPUT -m comment --comment "kube-router netpol" -j KUBE-ROUTER-OUTPUT
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A FLANNEL-FWD -s 10.42.0.0/16 -j ACCEPT
-A FLANNEL-FWD -d 10.42.0.0/16 -j ACCEPT
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-NWPLCY-DEFAULT -j MARK --set-xmark 0x10000/0x10000
-A KUBE-POD-FW-WEB -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-POD-FW-WEB -m conntrack --ctstate INVALID -j DROP
-A KUBE-POD-FW-WEB -d 10.42.0.10/32 -m addrtype --src-type LOCAL -j ACCEPT
-A KUBE-POD-FW-WEB -d 10.42.0.10/32 -j KUBE-NWPLCY-DEFAULT
-A KUBE-POD-FW-WEB -s 10.42.0.10/32 -j KUBE-NWPLCY-DEFAULT
-A KUBE-POD-FW-WEB -m mark ! --mark 0x10000/0x10000 -m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-group 100
-A KUBE-POD-FW-WEB -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-POD-FW-WEB -j MARK --set-xmark 0x0/0x10000
-A KUBE-POD-FW-WEB -j MARK --set-xmark 0x20000/0x20000
-A KUBE-ROUTER-FORWARD -d 10.42.0.10/32 -j KUBE-POD-FW-WEB
-A KUBE-ROUTER-FORWARD -s 10.42.0.10/32 -j KUBE-POD-FW-WEB
-A KUBE-ROUTER-FORWARD -d 10.42.0.10/32 -m physdev --physdev-is-bridged -j KUBE-POD-FW-WEB
-A KUBE-ROUTER-FORWARD -m mark --mark 0x20000/0x20000 -j ACCEPT
-A KUBE-ROUTER-INPUT -d 10.43.0.0/16 -j RETURN
-A KUBE-ROUTER-INPUT -p tcp -m addrtype --dst-type LOCAL -m multiport --dports 30000:32767 -j RETURN
-A KUBE-ROUTER-INPUT -p udp -m addrtype --dst-type LOCAL -m multiport --dports 30000:32767 -j RETURN
-A KUBE-ROUTER-INPUT -s 10.42.0.10/32 -j KUBE-POD-FW-WEB
-A KUBE-ROUTER-INPUT -m mark --mark 0x20000/0x20000 -j ACCEPT
-A KUBE-ROUTER-OUTPUT -d 10.42.0.10/32 -j KUBE-POD-FW-WEB
-A KUBE-ROUTER-OUTPUT -s 10.42.0.10/32 -j KUBE-POD-FW-WEB
-A KUBE-ROUTER-OUTPUT -m mark --mark 0x20000/0x20000 -j ACCEPT
COMMIT
*nat
:FLANNEL-POSTRTG - [0:0]
:KUBE-EXT-WEB - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-WEB - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-WEB - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN
-A FLANNEL-POSTRTG -s 10.42.0.0/24 -d 10.42.0.0/16 -j RETURN
-A FLANNEL-POSTRTG -s 10.42.0.0/16 -d 10.42.0.0/24 -j RETURN
-A FLANNEL-POSTRTG ! -s 10.42.0.0/16 -d 10.42.0.0/24 -j RETURN
-A FLANNEL-POSTRTG -s 10.42.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.42.0.0/16 -d 10.42.0.0/16 -j MASQUERADE --random-fully
-A KUBE-EXT-WEB -j KUBE-MARK-MASQ
-A KUBE-EXT-WEB -j KUBE-SVC-WEB
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-EXT-WEB
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SEP-WEB -s 10.42.0.10/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-WEB -p tcp -m tcp -j DNAT --to-destination 10.42.0.10:80
-A KUBE-SERVICES -d 10.43.0.80/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-WEB ! -s 10.42.0.0/16 -d 10.43.0.80/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-WEB -j KUBE-SEP-WEB
COMMIT
RULES
cat > /etc/systemd/system/k3s.service << 'UNIT'
[Unit]
Description=Stand-in for k3s: its bridge, its rules and one pod
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/local/sbin/k3s-network

[Install]
WantedBy=multi-user.target
UNIT
systemctl enable k3s.service
