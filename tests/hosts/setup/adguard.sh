# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# AdGuard Home: a Go program, which has one socket of both families for each protocol: [::]:53. A script has them here,
# and forwards to the upstream server.
mkdir /opt/AdGuardHome
cat > /opt/AdGuardHome/AdGuardHome << 'PROGRAM'
#!/usr/bin/python3 -I
import socket
import sys
import threading

UPSTREAM = (sys.argv[1], 53)


def listener(kind):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.bind(("::", 53))
    return sock


def answer_datagram(sock, query, control, client):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.settimeout(5)
        upstream.connect(UPSTREAM)
        upstream.send(query)
        try:
            # The answer comes from the address to which the query went.
            sock.sendmsg([upstream.recv(65535)], control, 0, client)
        except OSError as error:
            print(error, file=sys.stderr)


def serve_datagrams(sock):
    while True:
        query, control, _flags, client = sock.recvmsg(65535, 1024)
        threading.Thread(target=answer_datagram, args=(sock, query, control, client), daemon=True).start()


def answer_stream(connection):
    with connection, socket.create_connection(UPSTREAM, 5) as upstream:
        connection.settimeout(5)
        while data := connection.recv(65535):
            upstream.sendall(data)
            connection.sendall(upstream.recv(65535))


datagrams, streams = listener(socket.SOCK_DGRAM), listener(socket.SOCK_STREAM)
streams.listen()
threading.Thread(target=serve_datagrams, args=(datagrams,), daemon=True).start()
while True:
    threading.Thread(target=answer_stream, args=(streams.accept()[0],), daemon=True).start()
PROGRAM
chmod 755 /opt/AdGuardHome/AdGuardHome
cat > /etc/systemd/system/AdGuardHome.service << UNIT
[Unit]
Description=AdGuard Home: Network-level blocker
After=syslog.target network-online.target

[Service]
ExecStart=/opt/AdGuardHome/AdGuardHome $SERVER
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
systemctl enable AdGuardHome.service
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
