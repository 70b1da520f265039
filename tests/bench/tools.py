# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The compared tools: ours and others, each with its own client."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.bench import playbook
from bench.store import FOLDER, ROOT

from lab.host import Host
from lab.lab import Lab
from lab.run import Failed, Result

LAB = "bench"
ON_HOST = Path(__file__).with_name("on_host")
REMOTE_FOLDER = "/opt/bench"
IMAGES = {"bench-ours": "trixie-bench", "bench-libvirt": "trixie-libvirt", "bench-managers": "trixie-managers"}
STEPS = ("first", "no-op", "change one", "restart", "restore", "remove one", "remove all")
PLAYBOOK_STEPS = tuple(step for step in STEPS if not step.startswith("rest"))


class Stopped(RuntimeError):
    """A tool that cannot continue, and the reason."""


def host(name: str) -> Host:
    return Lab(LAB).host(name)


def install(target: Host) -> None:
    """Copies our programs to a host."""
    target.run(["mkdir", "-p", REMOTE_FOLDER])
    for file in ON_HOST.glob("*.py"):
        target.run(["dd", f"of={REMOTE_FOLDER}/{file.name}", "status=none"], stdin=file.read_text())


def ask(target: Host, script: str, words: Sequence[str], timeout: float) -> Any:
    """The result of a program on the host; raises Stopped with its reason, or after a timeout."""
    try:
        result: Result = target.attempt(["/usr/bin/python3", f"{REMOTE_FOLDER}/{script}.py", *words], timeout)
    except Failed as error:
        raise Stopped(f"'{words[0]}' took longer than the {timeout:.0f} s that were left") from error
    if not result.ok:
        last = (result.err.strip().splitlines() or [f"code {result.code}"])[-1]
        raise Failed(f"{script} {' '.join(words)} on {target.name}: {last}\n{result.out}\n{result.err}")
    answer = json.loads(result.out)
    if "stopped" in answer:
        raise Stopped(answer["stopped"])
    return answer["result"]


@dataclass(frozen=True)
class Tool:
    """A tool that is controlled by a program on the host; ``more`` are arguments for each of its actions."""

    name: str
    host: str
    script: str
    more: Sequence[str] = ()
    switch: Sequence[str] = ()
    steps: Sequence[str] = STEPS
    # Its share of the time limit, relative to the others.
    share: float = 1.0

    def on(self) -> None:
        self._ask("on", *self.switch)

    def off(self) -> None:
        self._ask("off", *self.switch)

    def clear(self, count: int) -> None:
        """Clean up after a failed step, in any state."""
        self._ask("clear", str(count), *self.more)

    def do(self, step: str, count: int, timeout: float) -> float:
        """Seconds of one step; raises Stopped."""
        return float(self._ask(step, str(count), *self.more, timeout=timeout))

    def memory(self) -> dict[str, dict[str, float]]:
        memory: dict[str, dict[str, float]] = self._ask("memory", *self.more)
        return memory

    def rules(self) -> int:
        return int(self._ask("rules", *self.more))

    def _ask(self, *words: str, timeout: float = 900) -> Any:
        return ask(host(self.host), self.script, words, timeout)


def failure_reason(step: str, output: str, timeout: float) -> str:
    """Why a playbook failed, in a line."""
    if output.startswith("no answer"):
        return f"'{step}' took longer than the {timeout:.0f} s that were left"
    messages = re.findall(r'"msg": "(.*?)(?<!\\)"', output)
    return f"'{step}': {messages[-1][:300] if messages else output.splitlines()[0]}"


@dataclass(frozen=True)
class PlaybookTool(Tool):
    """A tool that is controlled by playbooks on the controller; ``texts`` writes the playbook of a step."""

    steps: Sequence[str] = PLAYBOOK_STEPS
    environment: Mapping[str, str] = field(default_factory=dict)

    def do(self, step: str, count: int, timeout: float) -> float:
        inventory, play = self.files(step, count)
        began = time.perf_counter()
        try:
            playbook(inventory, play, timeout=timeout, environment=self.environment)
        except Failed as problem:
            raise Stopped(failure_reason(step, str(problem), timeout)) from problem
        return time.perf_counter() - began

    def files(self, step: str, count: int) -> tuple[Path, str]:
        raise NotImplementedError

    def networks_after(self, step: str, count: int) -> range:
        """The networks that exist after a step."""
        return range({"remove one": count - 1, "remove all": 0}.get(step, count))

    def write(self, name: str, data: Any) -> Path:
        """JSON, which is valid YAML."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        file = FOLDER / f"{name}.yml"
        file.write_text(json.dumps(data))
        return file

    def inventory(self, variables: Mapping[str, Any]) -> Path:
        common = {"ansible_connection": "lab", "lab_name": LAB, "ansible_python_interpreter": "/usr/bin/python3"}
        return self.write("inventory", {"all": {"hosts": {self.host: {**common, **variables}}}})


def subnet(i: int) -> str:
    return f"10.{i // 250}.{i % 250}"


def last(i: int, step: str) -> int:
    """The end of network i's range after a step, as in the programs on the hosts."""
    return 199 if i == 0 and step not in ("first", "no-op") else 254


class OursByPlaybook(PlaybookTool):
    def files(self, step: str, count: int) -> tuple[Path, str]:
        networks = [
            {
                "name": f"net{i}",
                "ipv4": {
                    "address": f"{subnet(i)}.1/24",
                    "dhcp": {"ranges": [{"start": f"{subnet(i)}.2", "end": f"{subnet(i)}.{last(i, step)}"}]},
                },
                "dns": {"domain": f"net{i}.test"},
            }
            for i in self.networks_after(step, count)
        ]
        return self.inventory({"virtnet_purge": True, "virtnet_networks": networks}), "virtnet.linux.site"


class VirtNet(PlaybookTool):
    """community.libvirt.virt_net: a module call for each action and network."""

    def files(self, step: str, count: int) -> tuple[Path, str]:
        present, module = self.networks_after(step, count), "community.libvirt.virt_net"
        if step.startswith("remove"):
            before = range(count) if step == "remove one" else range(count - 1)
            items = [{"name": f"net{i}"} for i in before if i not in present]
            calls = [{"name": "{{ item.name }}", "state": "absent"}]
        else:
            items = [{"name": f"net{i}", "xml": self._xml(i, step)} for i in present]
            calls = [
                {"name": "{{ item.name }}", "command": "define", "xml": "{{ item.xml }}"},
                {"name": "{{ item.name }}", "state": "active"},
                {"name": "{{ item.name }}", "autostart": True},
            ]
        tasks = [
            {"name": f"Task {n}", module: {**call, "uri": "network:///system"}, "loop": "{{ items }}",
             "loop_control": {"label": "{{ item.name }}"}}
            for n, call in enumerate(calls)
        ]  # fmt: skip
        play = [{"name": "Networks", "hosts": "all", "gather_facts": False, "tasks": tasks}]
        return self.inventory({"items": items}), str(self.write("virt-net", play))

    def _xml(self, i: int, step: str) -> str:
        net = subnet(i)
        return (
            f"<network><name>net{i}</name><forward mode='nat'/><bridge name='vn-net{i}' stp='off' delay='0'/>"
            f"<domain name='net{i}.test' localOnly='yes'/><ip address='{net}.1' netmask='255.255.255.0'>"
            f"<dhcp><range start='{net}.2' end='{net}.{last(i, step)}'/></dhcp></ip></network>"
        )


def tools(collections: Path | None) -> list[Tool]:
    """All tools, ours first; ``collections`` has community.libvirt, if it was available."""
    libvirt = ("bench-libvirt", "libvirt_networks")
    tools = [
        Tool("ours, engine", "bench-ours", "ours"),
        Tool("libvirt, virsh, nftables", *libvirt, ("virsh",), ("nftables",)),
        Tool("libvirt, virsh, iptables", *libvirt, ("virsh",), ("iptables",)),
        Tool("libvirt, python3-libvirt, nftables", *libvirt, ("python",), ("nftables",)),
        Tool("NetworkManager, shared", "bench-managers", "managers", ("NetworkManager",), ("NetworkManager",)),
        Tool("systemd-networkd", "bench-managers", "managers", ("systemd-networkd",), ("systemd-networkd",)),
        OursByPlaybook("ours, playbook", "bench-ours", "ours"),
    ]
    if collections:
        path = f"{ROOT / '.build' / 'collections'}:{collections}"
        tools.append(
            VirtNet("community.libvirt.virt_net, playbook", *libvirt, ("virsh",), ("nftables",), share=4.0,
                    environment={"ANSIBLE_COLLECTIONS_PATH": path})
        )  # fmt: skip
    return tools
