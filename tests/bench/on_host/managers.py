# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""NetworkManager's shared connections, and systemd-networkd's DHCP server with masquerading, on a host.

python3 managers.py ACTION ... MANAGER        prints {"result": seconds} as JSON
"""

from __future__ import annotations

from pathlib import Path

from common import (
    CHANGED_LAST,
    COMMON,
    LAST,
    Stopped,
    bridge,
    bridges,
    call,
    clear_kernel,
    inotify,
    kill_dnsmasq,
    main,
    seconds,
    service,
    serving,
    subnet,
    wait_until,
)

NETWORKD = Path("/etc/systemd/network")
NM_CONFIG = Path("/etc/NetworkManager/conf.d/bench.conf")


class NetworkManager:
    """A call of nmcli for each action, as in scripts."""

    unit = "NetworkManager"

    def on(self) -> None:
        NM_CONFIG.write_text(
            "[main]\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\n"
            "[keyfile]\nunmanaged-devices=interface-name:eth0\n"
        )
        service("start", self.unit)

    def off(self) -> None:
        call("systemctl", "stop", self.unit)

    def first(self, count: int) -> None:
        for i in range(count):
            call(
                "nmcli", "connection", "add", "type", "bridge", "con-name", f"net{i}", "ifname", bridge(i),
                "bridge.stp", "no", "ipv4.method", "shared", "ipv4.addresses", f"{subnet(i)}.1/24",
                "ipv4.shared-dhcp-range", f"{subnet(i)}.2,{subnet(i)}.{LAST}", "ipv6.method", "disabled",
            )  # fmt: skip
            call("nmcli", "connection", "up", f"net{i}")
        self.ready(count)

    def no_op(self, count: int) -> None:
        active = call("nmcli", "-t", "-f", "NAME", "connection", "show", "--active").split()
        for i in range(count):
            shown = call("nmcli", "-g", "ipv4.shared-dhcp-range", "connection", "show", f"net{i}")
            if f"net{i}" not in active or f"{subnet(i)}.{LAST}" not in shown:
                raise Stopped(f"net{i} is not as defined")

    def change_one(self, count: int) -> None:
        new = f"{subnet(0)}.2,{subnet(0)}.{CHANGED_LAST}"
        call("nmcli", "connection", "modify", "net0", "ipv4.shared-dhcp-range", new)
        call("nmcli", "connection", "up", "net0")
        self.ready(count)

    def ready(self, count: int) -> None:
        """Wait for addresses, and for a dnsmasq of each network."""
        try:
            wait_until(lambda: bridges() == count and serving() == count, f"{count} networks up", 60 + count)
        except Stopped as error:
            journal = call("journalctl", "-u", self.unit, "-n", "400", "-o", "cat")
            if "inotify" in journal:
                raise Stopped(
                    f"after {serving()} networks, since each dnsmasq takes an instance of inotify, of which "
                    f"fs.inotify.max_user_instances allows {inotify()} to a user, over all containers"
                ) from error
            raise Stopped(f"{bridges()} bridges with an address and {serving()} dnsmasq of {count}") from error

    def remove(self, names: range) -> None:
        for i in names:
            call("nmcli", "connection", "delete", f"net{i}")
        wait_until(lambda: not any(Path("/sys/class/net", bridge(i)).exists() for i in names), "bridges gone")

    def clear(self) -> None:
        for name in call("nmcli", "-t", "-f", "NAME", "connection", "show").split():
            if name.startswith("net"):
                call("nmcli", "connection", "delete", name, check=False)


class Networkd:
    """Write files for all networks, then reload once."""

    unit = "systemd-networkd"

    def on(self) -> None:
        NETWORKD.mkdir(exist_ok=True)
        (NETWORKD / "10-uplink.network").write_text("[Match]\nName=eth0\n[Link]\nUnmanaged=yes\n")
        service("start", self.unit)

    def off(self) -> None:
        call("systemctl", "stop", self.unit, f"{self.unit}.socket")

    def first(self, count: int) -> None:
        for i in range(count):
            self._write(i)
        call("networkctl", "reload")
        self.ready(count)

    def no_op(self, count: int) -> None:
        """Write the same files, and reload."""
        for i in range(count):
            self._write(i)
        call("networkctl", "reload")
        self.ready(count)

    def change_one(self, count: int) -> None:
        self._write(0, CHANGED_LAST)
        call("networkctl", "reload")
        self.ready(count)

    def ready(self, count: int) -> None:
        """Wait for addresses. The DHCP server starts only with a guest, because a bridge without one has no carrier."""
        wait_until(lambda: bridges() == count, f"{count} bridges with an address", 60 + count)

    def remove(self, names: range) -> None:
        for i in names:
            (NETWORKD / f"net{i}.netdev").unlink()
            (NETWORKD / f"net{i}.network").unlink()
        call("networkctl", "reload")
        if names:
            call("networkctl", "delete", *(bridge(i) for i in names))
        wait_until(lambda: not any(Path("/sys/class/net", bridge(i)).exists() for i in names), "bridges gone")

    def clear(self) -> None:
        for file in NETWORKD.glob("net*"):
            file.unlink()
        call("networkctl", "reload", check=False)

    def _write(self, i: int, last: int = LAST) -> None:
        (NETWORKD / f"net{i}.netdev").write_text(f"[NetDev]\nName={bridge(i)}\nKind=bridge\n[Bridge]\nSTP=no\n")
        (NETWORKD / f"net{i}.network").write_text(
            f"[Match]\nName={bridge(i)}\n[Network]\nAddress={subnet(i)}.1/24\nDHCPServer=yes\nIPMasquerade=ipv4\n"
            "ConfigureWithoutCarrier=yes\nLinkLocalAddressing=no\n"
            f"[DHCPServer]\nPoolOffset=2\nPoolSize={last - 1}\n"
        )


MANAGERS: dict[str, NetworkManager | Networkd] = {"NetworkManager": NetworkManager(), "systemd-networkd": Networkd()}


def restart(count: str, name: str) -> float:
    def work() -> None:
        service("restart", MANAGERS[name].unit)
        MANAGERS[name].ready(int(count))

    return seconds(work)


def restore(count: str, name: str) -> float:
    MANAGERS[name].off()
    kill_dnsmasq()
    clear_kernel(int(count))

    def work() -> None:
        service("start", MANAGERS[name].unit)
        MANAGERS[name].ready(int(count))

    return seconds(work)


def clear(count: str, name: str) -> None:
    service("start", MANAGERS[name].unit)
    MANAGERS[name].clear()
    kill_dnsmasq()
    clear_kernel(int(count))


if __name__ == "__main__":
    main(
        {
            **COMMON,
            "memory": lambda *_: COMMON["memory"](),
            "rules": lambda *_: COMMON["rules"](),
            "first": lambda count, name: seconds(lambda: MANAGERS[name].first(int(count))),
            "no-op": lambda count, name: seconds(lambda: MANAGERS[name].no_op(int(count))),
            "change one": lambda count, name: seconds(lambda: MANAGERS[name].change_one(int(count))),
            "restart": restart,
            "restore": restore,
            "remove one": lambda count, name: seconds(lambda: MANAGERS[name].remove(range(int(count) - 1, int(count)))),
            "remove all": lambda count, name: seconds(lambda: MANAGERS[name].remove(range(int(count) - 1))),
            "clear": clear,
            "on": lambda name: MANAGERS[name].on(),
            "off": lambda name: MANAGERS[name].off(),
        }
    )
