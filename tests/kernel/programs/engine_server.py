# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs programs of this folder that import the engine, each in a process of its own, without the time of a start.

Python starts and imports the engine and pyroute2 once; each request is run in a fork, which shares no state with the
others. Standard input is a socket of packets: a request as JSON, with the descriptors of the program's stdin, stdout
and stderr and of a pipe, which gets the process ID and then the exit status. The server ends when the socket is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

COLLECTIONS = Path(__file__).resolve().parents[3] / ".build/collections"
PACKAGE = "ansible_collections.virtnet.linux.plugins.module_utils."
LARGEST_REQUEST = 1 << 20
# include/uapi/linux/sched.h, include/uapi/linux/mount.h
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC, MS_SLAVE = 0x4000, 0x80000
MNT_DETACH = 2
LIBC = ctypes.CDLL(None, use_errno=True)


def check(result: int, call: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), call)


def enter(file: str, kind: int) -> None:
    """Enter the namespace that a file stands for."""
    with Path(file).open("rb") as namespace:
        check(LIBC.setns(namespace.fileno(), kind), "setns")


def enter_network(file: str) -> None:
    """Enter a network namespace as ``ip netns exec`` does: /sys shows its links. No test has files in /etc/netns."""
    enter(file, CLONE_NEWNET)
    check(LIBC.unshare(CLONE_NEWNS), "unshare")
    check(LIBC.mount(b"", b"/", b"none", ctypes.c_ulong(MS_SLAVE | MS_REC), None), "mount")
    LIBC.umount2(b"/sys", MNT_DETACH)
    check(LIBC.mount(b"virtnet", b"/sys", b"sysfs", ctypes.c_ulong(0), None), "mount /sys")


def run(request: dict[str, Any]) -> int:
    """Run a program as Python would; returns its exit status."""
    try:
        os.environ.clear()
        os.environ.update(request["environment"])
        if request["mounts"]:
            enter(request["mounts"], CLONE_NEWNS)
        if request["network"]:
            enter_network(request["network"])
        program, *arguments = request["command"]
        sys.argv = [program, *arguments]
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def answer(request: bytes, descriptors: list[int]) -> None:
    """Run a program in this process, which ends with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = descriptors
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.write(status, f"{os.getpid()}\n".encode())
    code = run(json.loads(request))
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(status, f"{code}\n".encode())
    os._exit(code)


def reap(*_signal: object) -> None:
    """Remove the programs that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    sys.path.insert(0, str(COLLECTIONS))
    for module in walk_packages([str(COLLECTIONS.joinpath(*PACKAGE.split(".")))], PACKAGE):
        import_module(module.name)
    import_module("pyroute2")
    signal.signal(signal.SIGCHLD, reap)
    # Else the first collection in each fork copies the memory of all modules.
    gc.collect()
    gc.freeze()
    requests = socket.socket(fileno=sys.stdin.fileno())
    while True:
        request, descriptors, _flags, _address = socket.recv_fds(requests, LARGEST_REQUEST, 4, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return
        if os.fork() == 0:
            answer(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    main()
