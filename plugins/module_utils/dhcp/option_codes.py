# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of DHCP options by the names that dnsmasq knows. Pure."""

from __future__ import annotations

# ``dnsmasq --help dhcp`` and ``dnsmasq --help dhcp6`` of 2.90 (src/dhcp-common.c, opttab and opttab6).
_NAMES = {
    4: "1 netmask 2 time-offset 3 router 6 dns-server 7 log-server 9 lpr-server 13 boot-file-size 15 domain-name "
    "16 swap-server 17 root-path 18 extension-path 19 ip-forward-enable 20 non-local-source-routing 21 policy-filter "
    "22 max-datagram-reassembly 23 default-ttl 26 mtu 27 all-subnets-local 31 router-discovery "
    "32 router-solicitation 33 static-route 34 trailer-encapsulation 35 arp-timeout 36 ethernet-encap 37 tcp-ttl "
    "38 tcp-keepalive 40 nis-domain 41 nis-server 42 ntp-server 44 netbios-ns 45 netbios-dd 46 netbios-nodetype "
    "47 netbios-scope 48 x-windows-fs 49 x-windows-dm 58 t1 59 t2 60 vendor-class 64 nis+-domain 65 nis+-server "
    "66 tftp-server 67 bootfile-name 68 mobile-ip-home 69 smtp-server 70 pop3-server 71 nntp-server 74 irc-server "
    "77 user-class 80 rapid-commit 93 client-arch 94 client-interface-id 97 client-machine-id 100 posix-timezone "
    "101 tzdb-timezone 108 ipv6-only 119 domain-search 120 sip-server 121 classless-static-route 125 vendor-id-encap "
    "150 tftp-server-address 255 server-ip-address",
    6: "21 sip-server-domain 22 sip-server 23 dns-server 24 domain-search 27 nis-server 28 nis+-server 29 nis-domain "
    "30 nis+-domain 31 sntp-server 32 information-refresh-time 41 posix-timezone 42 tzdb-timezone 56 ntp-server "
    "59 bootfile-url 60 bootfile-param",
}
_CODES = {version: dict(zip(words[1::2], map(int, words[::2]))) for version, words in
          ((version, names.split()) for version, names in _NAMES.items())}  # fmt: skip
_MOST_DIGITS = 9


def option_code(key: str, version: int) -> int | None:
    """The number of an option, given by its number or its name in any case; None for one that dnsmasq does not know."""
    word = key.strip().lower()
    if word.isdecimal() and len(word) <= _MOST_DIGITS:
        return int(word)
    return _CODES[version].get(word)
