# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a command as on a host where other programs use all instances of inotify: without_inotify.py COMMAND...

seccomp(2) answers inotify_init1() with EMFILE, in this process and in all that it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
# By machine: AUDIT_ARCH_* of linux/audit.h, and the number of inotify_init1().
CALLS = {"x86_64": (0xC000003E, 294), "aarch64": (0xC00000B7, 26)}
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x50000, 0x7FFF0000
# Offsets in struct seccomp_data.
ARCH, NUMBER = 4, 0


def deny_inotify() -> None:
    arch, number = CALLS[os.uname().machine]
    steps = [
        (LOAD, 0, 0, ARCH),
        (JUMP_IF_EQUAL, 0, 3, arch),
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 1, number),
        (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EMFILE),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    if ctypes.CDLL(None).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError("prctl(PR_SET_SECCOMP) failed")


deny_inotify()
os.execvp(sys.argv[1], sys.argv[1:])
