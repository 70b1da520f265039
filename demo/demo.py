"""`make demo`: a network on a disposable host, two guests on it, and what they can and cannot reach.

Exit status 0 if every line of the table is as expected and the second run of the playbook changes nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lab.guest import Guest  # noqa: E402
from lab.host import Host  # noqa: E402
from lab.internet import WEB_NAME  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.progress import print_progress, step  # noqa: E402
from lab.run import Failed  # noqa: E402

NAME = "demo-host"
IMAGE = "bookworm"
BRIDGE = "vn-lab"
DOMAIN = "lab.test"
PORT = 8080
PLAYBOOK_SECONDS = 600
TASK = re.compile(r"TASK \[(?:\S+ : )?(.*)\]")


@dataclass(frozen=True)
class Line:
    check: str
    result: str
    is_expected: bool


def main() -> int:
    lab = Lab("demo")
    try:
        lab.up({NAME: IMAGE})
        with step("ansible-playbook virtnet.linux.site"):
            print(playbook(), flush=True)
        host = lab.host(NAME)
        a, b = Guest(host, "guest-a"), Guest(host, "guest-b")
        with step("plug in two guests and wait for their leases"):
            for guest in (a, b):
                guest.plug(BRIDGE)
            for guest in (a, b):
                guest.lease()
        lines = list(observations(host, a, b))
        show(lines)
        with step("ansible-playbook virtnet.linux.site, once more"):
            recap = playbook()
        print(recap)
    except Failed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    is_unchanged = re.search(r"\bchanged=0\b", recap) is not None
    return 0 if is_unchanged and all(line.is_expected for line in lines) else 1


def observations(host: Host, a: Guest, b: Guest) -> Iterator[Line]:
    for guest in (a, b):
        lease = guest.address()
        yield Line(f"{guest.name} has a lease", lease, bool(lease))
    addresses = a.resolves(b.name)
    yield Line(f"{a.name} resolves {b.name}", joined(addresses), addresses == [b.address()])
    for guest in (a, b):
        addresses = host.resolves(f"{guest.name}.{DOMAIN}")
        yield Line(f"the host resolves {guest.name}.{DOMAIN}", joined(addresses), addresses == [guest.address()])
    client_address = a.fetch(f"http://{WEB_NAME}/")
    yield Line(
        f"{a.name} fetches http://{WEB_NAME}/",
        f"the web server saw {client_address or 'nobody'}",
        client_address == host.address,
    )
    with a.listening(PORT):
        is_reached = b.attempt(["curl", "-s", "-o", "/dev/null", "-m", "5", f"http://{a.address()}:{PORT}/"]).ok
        yield Line(f"{b.name} reaches {a.name}, TCP port {PORT}", "yes" if is_reached else "no", is_reached)
        protocols = host.internet.reaches(a.address(), PORT, host.address)
        yield Line(
            f"somebody outside reaches {a.name}", f"yes, by {joined(protocols)}" if protocols else "no", not protocols
        )


def joined(words: list[str]) -> str:
    return ", ".join(words) or "nothing"


def show(lines: list[Line]) -> None:
    check_width = max(len(line.check) for line in lines)
    result_width = max(len(line.result) for line in lines)
    print()
    for line in lines:
        print(
            f"  {line.check:<{check_width}}   {line.result:<{result_width}}   {'ok' if line.is_expected else 'FAILED'}"
        )
    print(flush=True)


def playbook() -> str:
    """Runs the playbook as its user would, prints its tasks, and returns Ansible's last line about the host."""
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", str(ROOT / "demo/inventory"), "virtnet.linux.site"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PYTHONUNBUFFERED": "1"}
    output: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        watchdog = threading.Timer(PLAYBOOK_SECONDS, process.kill)
        watchdog.start()
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if task := TASK.match(line):
                print_progress(f"  {task[1]}")
        watchdog.cancel()
    recap = [line for line in output if line.startswith(NAME)]
    if process.returncode or not recap:
        raise Failed(f"ansible-playbook ended with code {process.returncode}\n{''.join(output)}")
    return "    " + re.sub(r"\s+", " ", recap[-1])


if __name__ == "__main__":
    sys.exit(main())
