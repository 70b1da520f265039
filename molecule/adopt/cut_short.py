"""Adopts or releases all networks, and kills itself at the N-th step that changes the host; 0: at none.

Runs on the host with the installed engine: `python3 -I - adopted 7`. Prints the steps.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

sys.path.insert(0, "/usr/local/lib/virtnet")
sys.dont_write_bytecode = True

from engine.adoption.adopt import Adoptions  # noqa: E402
from engine.adoption.give_back import Returns  # noqa: E402
from engine.core.paths import Paths  # noqa: E402
from engine.core.reconcile import converge  # noqa: E402

# Every change of a host is a call of one of these functions. A test checks that they exist in the engine.
STEPS = {
    "core/files.py": {"write_files"},
    "kernel/link_changes.py": {"apply_steps", "apply"},
    "libvirt/connection.py": {"define", "undefine", "create", "start", "stop", "autostart", "reclaim_ports"},
    "dnsmasq/lease_file.py": {"write_leases"},
    "core/command.py": {"run"},
}
READING = ("show", "list", "is-active", "is-enabled", "cat", "--test", "--version", "-Hlntue")


def changes_something(frame: FrameType) -> bool:
    file, name = "/".join(Path(frame.f_code.co_filename).parts[-2:]), frame.f_code.co_name
    if name not in STEPS.get(file, ()):
        return False
    words = frame.f_locals.get("argv", ())
    return not any(word in READING for word in words)


def main(state: str, last: int) -> None:
    steps: list[str] = []

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and changes_something(frame):
            words = " ".join(map(str, frame.f_locals.get("argv", ())[:3]))
            steps.append(f"{frame.f_code.co_name} {words}".strip())
            if len(steps) == last:
                print(len(steps), steps[-1], flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

    paths = Paths()
    reconciler = {"adopted": Adoptions, "returned": Returns}[state](None, paths)
    sys.setprofile(watch)
    plan = converge(reconciler, paths, check=False)
    sys.setprofile(None)
    print(len(steps), "done:", "; ".join(map(str, plan.changes)))
    if last == 0:
        print("\n".join(f"{number} {step}" for number, step in enumerate(steps, 1)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
