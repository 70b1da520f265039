# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A SIP phone: ``sip_phone.py ADDRESS`` prints an INVITE that it gets; ``sip_phone.py ADDRESS OTHER`` sends one."""

from __future__ import annotations

import socket
import sys

PORT = 5060
own = sys.argv[1]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
    phone.bind((own, PORT))
    if sys.argv[2:]:
        other = sys.argv[2]
        body = ["v=0", f"o=a 1 1 IN IP4 {own}", "s=-", f"c=IN IP4 {own}", "t=0 0", "m=audio 4000 RTP/AVP 0", ""]
        text = "\r\n".join(body)
        head = [
            f"INVITE sip:b@{other} SIP/2.0",
            f"Via: SIP/2.0/UDP {own}:{PORT};branch=z9hG4bK1",
            "From: <sip:a@a.test>;tag=1",
            f"To: <sip:b@{other}>",
            "Call-ID: 1@a.test",
            "CSeq: 1 INVITE",
            f"Contact: <sip:a@{own}:{PORT}>",
            "Content-Type: application/sdp",
            f"Content-Length: {len(text)}",
        ]
        phone.sendto("\r\n".join([*head, "", text]).encode(), (other, PORT))
    else:
        print("ready", flush=True)
        print(phone.recv(2000).decode().replace("\r\n", "|"), flush=True)
