# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that the engine writes: who may read and write them does not depend on the umask of whoever runs it."""

from __future__ import annotations

import os
import resource
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core import files
from ansible_collections.virtnet.linux.plugins.module_utils.core.command import run
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import CommandFailed, VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.files import File, write_files, write_volatile
from ansible_collections.virtnet.linux.plugins.module_utils.core.lock import lock
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import parse, write_leases
from ansible_collections.virtnet.linux.plugins.module_utils.network.store import read_stored


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    write_files([File(str(tmp_path / "a/b/usual"), "x"), File(str(tmp_path / "a/b/secret"), "x", 0o600)])
    write_volatile(File(str(tmp_path / "c/volatile"), "x"))
    assert [mode(tmp_path / one) for one in ("a", "a/b", "c")] == [0o755] * 3
    assert [mode(tmp_path / one) for one in ("a/b/usual", "a/b/secret", "c/volatile")] == [0o644, 0o600, 0o644]


@pytest.mark.usefixtures("umask")
def test_nobody_else_can_hold_the_lock(tmp_path: Path) -> None:
    """To take a lock (flock(2)) it is enough to open the file, even for reading."""
    with lock(str(tmp_path / "run")):
        assert (mode(tmp_path / "run"), mode(tmp_path / "run/lock")) == (0o755, 0o600)
    # The lock file of an earlier version.
    (tmp_path / "run/lock").chmod(0o644)
    with lock(str(tmp_path / "run")):
        assert mode(tmp_path / "run/lock") == 0o600


def test_no_write_follows_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("other")
    for name in ("lock", ".volatile.virtnet-tmp~"):
        (tmp_path / name).symlink_to(elsewhere)
    with pytest.raises(VirtnetError, match="symbolic"), lock(str(tmp_path)):
        pass
    write_volatile(File(str(tmp_path / "volatile"), "own"))
    assert elsewhere.read_text() == "other"


def test_what_cannot_be_replaced_leaves_no_unfinished_file(tmp_path: Path) -> None:
    """As /etc/resolv.conf that is a mount, which the kernel does not rename over."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(VirtnetError, match=f"cannot write {tmp_path}/folder: "):
        write_files([File(str(tmp_path / "folder"), "x"), File(str(tmp_path / "next"), "x")])
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_leases_are_not_written_through_a_link_in_the_folder_of_dnsmasq(tmp_path: Path) -> None:
    """The folder belongs to dnsmasq: who breaks into dnsmasq must not make root write elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("other")
    path = tmp_path / "lab.leases"
    path.write_text("")
    Path(f"{path}.virtnet-tmp").symlink_to(elsewhere)
    leases = parse("0 52:54:00:00:00:01 192.168.30.7 web 01:52:54:00:00:00:01\nroot:secret:1:2:3\n")
    write_leases(str(path), leases, str(path))
    assert elsewhere.read_text() == "other"
    # A line that is no lease is not copied.
    assert path.read_text() == "0 52:54:00:00:00:01 192.168.30.7 web 01:52:54:00:00:00:01\n"


LABEL, CONTEXT = "security.selinux", b"system_u:object_r:net_conf_t:s0\0"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file a label")
def test_a_replaced_file_keeps_its_label(tmp_path: Path) -> None:
    """The kernel keeps labels without SELinux too. A new file gets that of its folder, from SELinux itself."""
    written, volatile, leases, moved = (tmp_path / name for name in ("written", "volatile", "leases", "moved"))
    for path in (written, volatile, leases):
        path.write_text("old")
        os.setxattr(path, LABEL, CONTEXT)
    write_files([File(str(written), "new"), File(str(tmp_path / "other"), "new")])
    write_volatile(File(str(volatile), "new"))
    write_leases(str(leases), parse(""), str(leases))
    write_leases(str(moved), parse(""), str(leases))
    assert [os.getxattr(path, LABEL) for path in (written, volatile, leases, moved)] == [CONTEXT] * 4
    assert written.read_text() == volatile.read_text() == "new"
    assert LABEL not in os.listxattr(tmp_path / "other")


def test_removing_a_file_creates_no_folder(tmp_path: Path) -> None:
    write_files([File(str(tmp_path / "a/removed"), None), File(str(tmp_path / "b/new"), "x")])
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_write_error_names_the_file_and_not_the_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "rules.json").mkdir()
    with pytest.raises(VirtnetError, match=rf"^cannot write {tmp_path}/rules.json: Is a directory$"):
        write_files([File(str(tmp_path / "rules.json"), "{}")])
    assert [path.name for path in tmp_path.iterdir()] == ["rules.json"]


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    with pytest.raises(CommandFailed, match="did not end within 2 s"):
        run(["sh", "-c", f"sleep 987 & echo $! >{pid_file}; wait"], timeout=2)
    child = Path(f"/proc/{pid_file.read_text().strip()}/stat")
    end = time.monotonic() + 60
    # Its new parent may take a moment to reap it.
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end, "the child lives"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '"lab"', '{"name": "lab", "of_a_newer_version": 7}', "[" * 100000, None]
)
def test_an_unreadable_definition_is_reported_with_its_reason(tmp_path: Path, text: str | None) -> None:
    folder = tmp_path / "etc/virtnet/networks"
    write_files([File(str(folder / "good.json"), '{"name": "good"}')])
    if text is None:
        (folder / "lab.json").mkdir()
    else:
        (folder / "lab.json").write_text(text)
    stored = read_stored(Paths(str(tmp_path)), "host")
    assert list(stored.networks) == ["good"]
    assert f"{folder}/lab.json cannot be read" in stored.unreadable["lab"].problem


def test_a_file_that_is_written_in_place_has_the_new_content_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a\nb\n")
    inode = path.stat().st_ino
    for content in ("a longer text\n", "c\n", "", "\udcff"):
        files.write_in_place(str(path), content)
        assert path.read_bytes() == content.encode("utf-8", "surrogateescape") and path.stat().st_ino == inode
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(VirtnetError, match="cannot write"):
        files.write_in_place(str(tmp_path / "link"), "x")


def test_a_mount_point_is_known_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc")
    assert files.is_mount_point(str(tmp_path / "link")) and not files.is_mount_point(str(tmp_path))


def test_a_file_for_which_there_is_no_room_is_named(tmp_path: Path) -> None:
    """As on a full disk, it is the write that fails, and it names no file."""
    files = [File(str(tmp_path / "small"), "x"), File(str(tmp_path / "large"), "x" * 100)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(VirtnetError) as error:
            write_files(files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value) == f"cannot write {tmp_path}/large: File too large"
    assert not list(tmp_path.iterdir())
