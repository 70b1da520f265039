# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that a user other than root can replace: a reader of any replacement ends at once and names it."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.adoption.libvirt_leases import read_status, status_path
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.network_managers import Managers, read_uplinks
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.untrusted import (
    UnusableFile,
    read_untrusted_text,
    replace_untrusted,
    set_aside,
    unusable_reason,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.config_reader import HostReader, read_config
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import read_leases
from ansible_collections.virtnet.linux.plugins.module_utils.host.apply import remove
from ansible_collections.virtnet.linux.plugins.module_utils.host.read import read_tree
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.in_use import _servers
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.owner import read_resolver_state

LIMIT = 4096
SECRET = "root:$y$secret"
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user's")


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def endless(path: Path) -> None:
    path.touch()
    os.truncate(path, 10 << 30)


def loop(path: Path) -> None:
    path.symlink_to(path)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a named pipe": (lambda path: os.mkfifo(path), "is a named pipe"),
    "a socket": (socket_at, "is a socket"),
    "a folder": (lambda path: path.mkdir(), "is a folder"),
    "an endless device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "an endless file": (endless, "10737418240 bytes"),
    "a link to itself": (loop, "links"),
}


def in_time(work: Callable[[], object], patience: float = 20.0) -> object:
    """What a function returns or raises; fails where it does not end."""
    results: list[object] = []

    def call() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001  raised again below
            results.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(patience)
    assert results, "it does not end"
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


@pytest.mark.parametrize("kind", BROKEN)
def test_an_unusable_file_is_named_with_problem_and_remedy(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lab.leases"
    make, problem = BROKEN[kind]
    make(path)
    with pytest.raises(UnusableFile) as caught:
        in_time(lambda: read_untrusted_text(str(path), LIMIT))
    assert str(caught.value).startswith(f"{path} ") and problem in str(caught.value)
    assert str(caught.value).endswith("; move it away")
    assert unusable_reason(str(path), LIMIT) == str(caught.value)


def test_a_file_is_read_and_a_missing_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read_untrusted_text(str(path), LIMIT) is None
    assert read_untrusted_text(str(path / "below"), LIMIT) is None
    path.write_bytes(b"one\n\xff\n")
    assert read_untrusted_text(str(path), LIMIT) == "one\n\udcff\n"
    path.write_text("x" * LIMIT)
    assert read_untrusted_text(str(path), LIMIT) == "x" * LIMIT
    with path.open("a") as stream:
        stream.write("x")
    with pytest.raises(UnusableFile, match="4097 bytes"):
        read_untrusted_text(str(path), LIMIT)


def test_a_file_that_grows_while_it_is_read_is_read_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    fstat = os.fstat

    def fstat_before_growth(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            os.truncate(path, 10 << 30)
        return status

    monkeypatch.setattr(os, "fstat", fstat_before_growth)
    with pytest.raises(UnusableFile, match=f"more than {LIMIT} bytes"):
        in_time(lambda: read_untrusted_text(str(path), LIMIT))


def test_a_link_that_root_or_the_user_made_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target/file").write_text("text")
    (tmp_path / "folder").symlink_to("target")
    (tmp_path / "file").symlink_to("folder/../target/./file")
    assert read_untrusted_text(str(tmp_path / "file"), LIMIT) == "text"
    (tmp_path / "dangling").symlink_to("nowhere")
    assert read_untrusted_text(str(tmp_path / "dangling"), LIMIT) is None


@needs_root
@pytest.mark.parametrize("place", ["the file", "its folder"])
def test_a_link_of_another_user_is_followed_only_to_files_of_that_user(tmp_path: Path, place: str) -> None:
    secret, theirs = tmp_path / "secrets/file", tmp_path / "theirs/file"
    for file, text in ((secret, SECRET), (theirs, "their own")):
        file.parent.mkdir()
        file.write_text(text)
    os.chown(theirs, NOBODY, NOBODY)
    os.chown(theirs.parent, NOBODY, NOBODY)
    link = tmp_path / "link"
    path = link if place == "the file" else link / "file"
    for file, allowed in ((secret, False), (theirs, True)):
        link.unlink(missing_ok=True)
        link.symlink_to(file if place == "the file" else file.parent)
        os.lchown(link, NOBODY, NOBODY)
        if allowed:
            assert read_untrusted_text(str(path), LIMIT) == "their own"
        else:
            with pytest.raises(UnusableFile, match=f"link of user {NOBODY}'s") as caught:
                read_untrusted_text(str(path), LIMIT)
            assert SECRET not in str(caught.value)
            if place == "its folder":
                with pytest.raises(UnusableFile):
                    replace_untrusted(str(path), "new", str(path))
                with pytest.raises(UnusableFile):
                    set_aside(str(path))
    assert secret.read_text() == SECRET


@needs_root
def test_an_error_names_the_file_and_never_its_content(tmp_path: Path) -> None:
    """A hard link to a file of root's is that file: root reads it, and nothing of it but leases gets any further."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}:19000:0:99999:7:::\n")
    (tmp_path / "lab.leases").hardlink_to(secret)
    assert not read_leases(str(tmp_path / "lab.leases")).text()


@needs_root
@pytest.mark.parametrize("kind", ["a named pipe", "a link", "a dangling link", "a socket", "nothing", "a file"])
def test_a_link_is_replaced_and_never_its_target(tmp_path: Path, kind: str) -> None:
    """In the folder of a user the new file is that user's, whoever owns what was there or what it leads to."""
    folder, secret = tmp_path / "theirs", tmp_path / "secret"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    secret.write_text(SECRET)
    secret.chmod(0o600)
    path = folder / "lab.leases"
    makers: dict[str, Callable[[], object]] = {
        "a named pipe": lambda: os.mkfifo(path),
        "a link": lambda: path.symlink_to(secret),
        "a dangling link": lambda: path.symlink_to(tmp_path / "made by root"),
        "a socket": lambda: socket_at(path),
        "nothing": lambda: None,
        "a file": lambda: path.write_text("old"),
    }
    makers[kind]()
    # A name that can be guessed could be a folder's, or a link.
    for name in (".lab.leases.virtnet-tmp", "lab.leases.virtnet-tmp"):
        (folder / name).mkdir()
    (folder / ".lab.leases.virtnet-tmp-left").write_text("of an interrupted run")
    replace_untrusted(str(path), "new", str(secret))
    status = path.lstat()
    assert stat.S_ISREG(status.st_mode) and path.read_text() == "new"
    assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)
    assert secret.read_text() == SECRET and stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["secret", "theirs"]
    assert not [one for one in folder.iterdir() if one.is_file() and one != path]


@needs_root
def test_a_file_in_a_folder_of_root_keeps_its_owner(tmp_path: Path) -> None:
    path, like = tmp_path / "dnsmasq.leases", tmp_path / "like"
    like.write_text("")
    os.chown(like, 7, 8)
    replace_untrusted(str(path), "new", str(like))
    assert (path.stat().st_uid, path.stat().st_gid) == (7, 8)
    os.chown(path, 9, 9)
    path.chmod(0o640)
    replace_untrusted(str(path), "again", str(like))
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (9, 0o640)


def test_an_object_in_place_of_a_file_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "lab.leases"
    for make, _fault in BROKEN.values():
        make(path)
        set_aside(str(path))
        assert not os.path.lexists(path)
    assert len(list(tmp_path.iterdir())) == len(BROKEN)
    with pytest.raises(VirtnetError, match=f"cannot move {path} away"):
        set_aside(str(path))


# What root reads in folders of users other than root, and what it makes of a named pipe there.


def test_a_state_of_networkd_that_is_no_file_is_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "run/systemd/netif/links"
    folder.mkdir(parents=True)
    (tmp_path / "sys/class/net/eth0").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth0/ifindex").write_text("2\n")
    os.mkfifo(folder / "2")
    assert in_time(lambda: read_uplinks(["eth0"], str(tmp_path), Managers())) == {}


def test_a_resolv_conf_that_is_no_file_is_reported_and_has_no_servers(tmp_path: Path) -> None:
    stub = tmp_path / "run/systemd/resolve/stub-resolv.conf"
    stub.parent.mkdir(parents=True)
    os.mkfifo(stub)
    os.mkfifo(stub.parent / "resolv.conf")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").symlink_to(stub)
    with pytest.raises(UnusableFile, match="resolv.conf is a named pipe"):
        in_time(lambda: read_resolver_state(str(tmp_path)))
    assert in_time(lambda: list(_servers(str(tmp_path), set()))) == []


def test_an_endless_configuration_of_dnsmasq_is_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "more.conf")
    main = tmp_path / "dnsmasq.conf"
    main.write_text(f"conf-file=/dev/null\nconf-file={tmp_path}/more.conf\n")
    with pytest.raises(UnusableFile, match=r"more\.conf is a named pipe"):
        in_time(lambda: read_config(["dnsmasq", "-C", str(main)], HostReader(), str(tmp_path / "own")))


def test_leases_of_libvirt_that_are_no_file_are_reported(tmp_path: Path) -> None:
    path = Path(status_path("virbr0", Paths(str(tmp_path))))
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(UnusableFile, match=r"virbr0\.status is a named pipe"):
        in_time(lambda: read_status("virbr0", Paths(str(tmp_path))))


def test_a_lease_file_of_too_many_lines_is_no_lease_file(tmp_path: Path) -> None:
    path = tmp_path / "lab.leases"
    path.write_text("\n" * 2_000_000)
    with pytest.raises(UnusableFile, match="lines"):
        read_leases(str(path))


def deep(path: Path, levels: int) -> None:
    """Folders in each other, more of them than Python's stack holds."""
    folder = os.open(path, os.O_RDONLY)
    for _level in range(levels):
        os.mkdir("d", dir_fd=folder)
        inside = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inside
    os.close(folder)


def test_a_deeply_nested_folder_is_listed_from_inside_out(tmp_path: Path) -> None:
    deep(tmp_path, 1500)
    tree = read_tree(str(tmp_path))
    assert len(tree.folders) == 1501 and tree.folders[-1] == str(tmp_path)
    remove(tree.folders)
    assert not tmp_path.exists()


@needs_root
def test_a_removal_does_not_follow_a_folder_that_became_a_link_of_another_user(tmp_path: Path) -> None:
    """The user dnsmasq can change the folder between the plan of a teardown and the removal."""
    leases, etc = tmp_path / "leases", tmp_path / "etc"
    (leases / "sub").mkdir(parents=True)
    etc.mkdir()
    for path in (leases / "sub/passwd", etc / "passwd"):
        path.write_text(SECRET)
    os.chown(leases, NOBODY, NOBODY)
    listed = read_tree(str(leases))
    (leases / "sub").rename(leases / "renamed")
    (leases / "sub").symlink_to(etc)
    os.lchown(leases / "sub", NOBODY, NOBODY)
    with pytest.raises(UnusableFile, match="link of user"):
        remove([*listed.files, *listed.folders])
    assert (etc / "passwd").read_text() == SECRET
