# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wrong answers of the database server of Open vSwitch, which runs as a user of its own on Red Hat's systems."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import NotRunning
from ansible_collections.virtnet.linux.plugins.module_utils.openvswitch import ovsdb

ANSWERS = {
    "nothing": iter(()),
    "a message that has no end": itertools.chain([b'{"a": "'], itertools.repeat(b"x" * (1 << 16))),
    "a little at a time": itertools.chain([b'{"a": "'], itertools.repeat(b"x")),
    "messages that answer nothing": itertools.repeat(b'{"id": null, "method": "x"}'),
    "a number": iter([b"7 "]),
    "lists in lists": iter([b"[" * 100_000]),
    "no JSON": iter([b"\xff" * 1000]),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_a_server_that_does_not_answer_in_time_is_an_error(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    monkeypatch.setattr(ovsdb, "_TIMEOUT", 1.0)
    begun = time.monotonic()
    with serving(tmp_path / "db.sock", ANSWERS[what]), pytest.raises(NotRunning, match="does not answer"):
        ovsdb.select({"Bridge": ["name"]})
    assert time.monotonic() - begun < 60


@contextlib.contextmanager
def serving(path: Path, answers: Iterator[bytes]) -> Iterator[None]:
    done = threading.Event()

    def answer() -> None:
        with contextlib.suppress(OSError), server.accept()[0] as client:
            for data in answers:
                client.sendall(data)
                if len(data) < 100 and done.wait(0.01):
                    return
            done.wait(60)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(60)
