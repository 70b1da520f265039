# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Netlink requests and dumps: a refused or interrupted one is an error, never an empty list."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import CommandFailed
from ansible_collections.virtnet.linux.plugins.module_utils.kernel import conntrack, fdb, netlink, qdisc
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.netlink import Connection

ERROR, DONE, OBJECT = 2, 3, 16
MULTI, INTERRUPTED = 0x2, 0x10

Answer = Callable[[int], bytes]


def refuse(number: int) -> Answer:
    return lambda sequence: netlink.pack(ERROR, 0, sequence, struct.pack("=i", -number) + bytes(16))


def listed(*bodies: bytes, flags: int = 0, error: int = 0) -> Answer:
    def answer(sequence: int) -> bytes:
        objects = b"".join(netlink.pack(OBJECT, MULTI | flags, sequence, body) for body in bodies)
        return objects + netlink.pack(DONE, MULTI | flags, sequence, struct.pack("=i", -error))

    return answer


class Kernel:
    """Answers requests in the order given, and the last answer to all further ones."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[netlink.Message] = []

    def connect(self, *_arguments: object) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return ours

    def _serve(self, link: socket.socket) -> None:
        with link:
            while data := link.recv(1 << 16):
                (request,) = netlink.messages(data)
                self.requests.append(request)
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                link.send(answer(request.sequence))


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def connection(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setattr(netlink, "open_socket", kernel.connect)
    with Connection(netlink.ROUTE) as opened:
        yield opened


def test_a_dump_is_all_objects(kernel: Kernel, connection: Connection) -> None:
    kernel.answers = [listed(b"one.", b"two."), listed()]
    assert connection.dump(18, b"body") == [b"one.", b"two."]
    assert connection.dump(18, b"body") == []
    assert (kernel.requests[0].kind, kernel.requests[0].flags, kernel.requests[0].body) == (18, 0x301, b"body")


def test_a_refused_dump_is_an_error(kernel: Kernel, connection: Connection) -> None:
    kernel.answers = [refuse(errno.EPERM)]
    with pytest.raises(PermissionError, match="Operation not permitted"):
        connection.dump(18, b"")


def test_a_dump_that_ends_with_an_error_is_an_error(kernel: Kernel, connection: Connection) -> None:
    kernel.answers = [listed(b"one.", error=errno.ENOMEM)]
    with pytest.raises(OSError, match="Cannot allocate memory"):
        connection.dump(18, b"")


def test_an_interrupted_dump_is_repeated(kernel: Kernel, connection: Connection) -> None:
    kernel.answers = [listed(b"one.", flags=INTERRUPTED), listed(b"one.", b"two.")]
    assert connection.dump(18, b"") == [b"one.", b"two."]


def test_a_dump_that_is_always_interrupted_is_an_error(kernel: Kernel, connection: Connection) -> None:
    kernel.answers = [listed(flags=INTERRUPTED)]
    with pytest.raises(BlockingIOError, match="changed during each of 8 attempts"):
        connection.dump(18, b"")
    assert len(kernel.requests) == 8


def test_answers_to_an_earlier_request_are_ignored(kernel: Kernel, connection: Connection) -> None:
    kernel.answers = [lambda sequence: listed(b"old.")(sequence - 1) + listed(b"new.")(sequence)]
    assert connection.dump(18, b"") == [b"new."]


def test_an_acknowledged_request_has_no_answers(kernel: Kernel, connection: Connection) -> None:
    kernel.answers = [refuse(0), lambda sequence: netlink.pack(OBJECT, 0, sequence, b"one.") + refuse(0)(sequence)]
    assert connection.request(16, b"") == []
    assert connection.request(18, b"") == [b"one."]


def test_a_refused_request_is_an_error(kernel: Kernel, connection: Connection) -> None:
    kernel.answers = [refuse(errno.ENOENT)]
    with pytest.raises(FileNotFoundError):
        connection.request(16, b"")


def test_a_kernel_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "_PATIENCE", 0.01)
    ours, _theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(netlink, "open_socket", lambda _protocol: ours)
    with Connection(netlink.ROUTE) as opened, pytest.raises(OSError, match="does not answer") as failure:
        opened.request(16, b"")
    assert failure.value.strerror


def test_attributes_are_read_as_they_are_built() -> None:
    data = netlink.attribute(1, b"odd") + netlink.attribute(2 | netlink.NESTED, netlink.attribute(3, b"four"))
    assert len(data) % 4 == 0
    (first, (kind, nested)) = netlink.attributes(data)
    assert (first, kind, dict(netlink.attributes(nested))) == ((1, b"odd"), 2, {3: b"four"})
    assert list(netlink.attributes(data, 8)) == [(2, nested)]


def test_a_malformed_length_ends_attributes_and_messages() -> None:
    assert list(netlink.attributes(struct.pack("=HH", 2, 1) + bytes(8))) == []
    assert list(netlink.messages(bytes(32))) == []


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (conntrack.connections, "the kernel's connections cannot be listed: "),
        (lambda: qdisc.read_root_qdiscs({1}), "the queues of the host's links cannot be listed: "),
        (fdb.read_fdb_limits, "the kernel does not list the host's bridges: "),
    ],
)
@pytest.mark.parametrize(
    ("answer", "reason"),
    [(refuse(errno.EPERM), "Operation not permitted"), (listed(flags=INTERRUPTED), "it changed during each")],
)
def test_every_reader_reports_a_dump_that_fails(
    read: Callable[[], object],
    text: str,
    answer: Answer,
    reason: str,
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel.answers = [answer]
    monkeypatch.setattr(netlink, "open_socket", kernel.connect)
    with pytest.raises(CommandFailed, match=f"^{text}{reason}"):
        read()


def test_the_classes_of_a_queue_that_cannot_be_listed_are_an_error(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = struct.pack("=BxHiIII", 0, 0, 5, 0x766E << 16, 0xFFFFFFFF, 0) + netlink.attribute(1, b"htb\0")
    kernel.answers = [listed(ours), refuse(errno.EPERM)]
    monkeypatch.setattr(netlink, "open_socket", kernel.connect)
    with pytest.raises(CommandFailed, match="Operation not permitted"):
        qdisc.read_root_qdiscs({5})


def test_connections_that_cannot_be_deleted_are_an_error(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that ended by itself after it was listed is no error."""
    ends = netlink.attribute(1, bytes([10, 0, 0, 1])) + netlink.attribute(2, bytes([10, 0, 0, 2]))
    flow = netlink.attribute(1, ends) + netlink.attribute(2, netlink.attribute(1, b"\x06"))
    entry = bytes([socket.AF_INET, 0, 0, 0]) + netlink.attribute(1, flow) + netlink.attribute(2, flow)
    monkeypatch.setattr(netlink, "open_socket", kernel.connect)
    kernel.answers = [listed(entry), listed(), refuse(errno.ENOENT)]
    assert conntrack.delete_entries(lambda _connection: True) == 1
    kernel.requests.clear()
    kernel.answers = [listed(entry), listed(), refuse(errno.EPERM)]
    with pytest.raises(CommandFailed, match="cannot be deleted: Operation not permitted"):
        conntrack.delete_entries(lambda _connection: True)


def test_the_kernel_refuses_to_list_connections_for_an_ordinary_user() -> None:
    child = os.fork()
    if child == 0:
        # The exit status of the child is the result of the test.
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            conntrack.connections()
        except CommandFailed as error:
            os._exit(0 if str(error) == "the kernel's connections cannot be listed: Operation not permitted" else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
