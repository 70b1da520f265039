# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs in a host: everything that a run of the engine may change there, as one mapping from name to text.

python3 snapshot.py FOLDER, where FOLDER is the argument of scripts/boot.sh.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Volatile: process numbers, logs, ports of lost bridges; and the files of the test itself.
_EXCLUDED = re.compile(
    r"/run/(netns|mount|virtnet/ports|xtables\.lock|systemctl\.lock|dnsmasq/dnsmasq\.pid|dnsmasq/log|virtnet-dnsmasq/[^/]+/(pid|log))"
    r"|/(etc|var)/(\.pwd\.lock|cache/|log/)"
)
# Files whose content may differ.
_CONTENT_IGNORED = re.compile(r"/run/virtnet/(lock|rules\.json)|.*\.leases|/etc/mtab")
_TIMERS = re.compile(r".*_timer$|.*_left$")
_LINK = ("ifname", "mtu", "address", "ifalias", "master", "group")


def json_of(*command: str) -> Any:
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout or "[]")


def links() -> Iterator[tuple[str, Any]]:
    for item in json_of("ip", "-d", "-j", "address", "show"):
        info = item.get("linkinfo", {})
        data = {k: v for k, v in info.get("info_data", {}).items() if not _TIMERS.match(k) and k not in ("root_id",)}
        flags = sorted(set(item["flags"]) & {"UP", "PROMISC", "ALLMULTI", "MULTICAST", "NOARP"})
        # The kernel adds a link-local address by itself, later.
        own = [f"{a['local']}/{a['prefixlen']}" for a in item["addr_info"] if a["scope"] != "link" and "local" in a]
        kept = {key: item.get(key) for key in _LINK}
        yield f"link {item['ifname']}", [kept, info.get("info_kind"), data, flags, sorted(own)]


def routes() -> Iterator[tuple[str, Any]]:
    for family in ("-4", "-6"):
        for item in json_of("ip", family, "-j", "route", "show", "table", "all"):
            if item["dst"].startswith(("fe80", "ff00")):
                continue
            values = {k: v for k, v in item.items() if k not in ("flags", "pref", "expires", "metrics")}
            yield f"route {family} {json.dumps(values, sort_keys=True)}", ""
        for item in json_of("ip", family, "-j", "rule", "show"):
            yield f"rule {family} {json.dumps(item, sort_keys=True)}", ""


def rules() -> Iterator[tuple[str, Any]]:
    numbers: dict[str, int] = {}
    for item in json_of("nft", "-j", "list", "ruleset")["nftables"]:
        for kind, body in item.items():
            body.pop("handle", None)
            if isinstance(body.get("elem"), list):
                body["elem"] = sorted(body["elem"], key=json.dumps)
            if kind != "metainfo":
                name = f"{body.get('family')} {body.get('table', '')} {body.get('chain', '')} {body.get('name', '')}"
                numbers[name] = numbers.get(name, 0) + 1
                yield f"nft {kind} {name} {numbers[name] if kind == 'rule' else ''}", body


def queues() -> Iterator[tuple[str, Any]]:
    for queue in json_of("tc", "-j", "qdisc", "show"):
        if queue["kind"] not in ("noqueue", "pfifo_fast", "fq_codel"):
            yield f"tc {queue['dev']} {queue['kind']} {queue['handle']}", queue.get("options", {})


def sysctls() -> Iterator[tuple[str, Any]]:
    for pattern in ("ipv4/ip_forward", "ipv4/conf/*/forwarding", "ipv4/conf/*/rp_filter", "ipv6/conf/*/forwarding",
                    "ipv6/conf/*/accept_ra", "ipv6/conf/*/disable_ipv6", "ipv6/conf/*/autoconf"):  # fmt: skip
        for path in Path("/proc/sys/net").glob(pattern):
            yield f"sysctl {path}", path.read_text().strip()


def files(disk: Path) -> Iterator[tuple[str, Any]]:
    for top, name in (
        (disk / "etc", "/etc"),
        (disk / "var", "/var"),
        (disk / "local", "/usr/local"),
        (Path("/run"), "/run"),
    ):
        for base, folders, leaves in os.walk(top):
            for leaf in (*folders, *leaves):
                path = Path(base) / leaf
                shown = f"{name}/{path.relative_to(top)}"
                if "__pycache__" in shown or _EXCLUDED.match(shown):
                    continue
                what = "-> " + str(path.readlink()) if path.is_symlink() else "folder"
                if path.is_file() and not path.is_symlink():
                    text = b"" if _CONTENT_IGNORED.match(shown) else path.read_bytes()
                    what = hashlib.sha256(text).hexdigest()[:12] if len(text) > 600 else text.decode(errors="replace")
                status = path.lstat()
                yield f"file {shown}", [oct(status.st_mode), status.st_uid, what]


def processes() -> Iterator[tuple[str, Any]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
        except OSError:
            continue
        if words != [""] and int(path.name) != os.getpid() and not any(w.endswith("launch.py") for w in words):
            yield f"process {' '.join(words)}", ""


def main() -> None:
    snapshot: dict[str, Any] = {}
    for source in (links(), routes(), rules(), queues(), sysctls(), files(Path(sys.argv[1])), processes()):
        snapshot.update(source)
    print(json.dumps(snapshot, sort_keys=True))


if __name__ == "__main__":
    main()
