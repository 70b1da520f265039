"""After a run of this release, and after the next boot: its engine alone, with the guard running and guests served."""

from __future__ import annotations

from pathlib import Path

OWN = Path(__file__).resolve().parents[3] / "plugins/module_utils"


def test_the_host_has_the_files_of_this_engine_and_none_of_the_older_one(upgraded) -> None:
    own = {file.relative_to(OWN).as_posix() for file in OWN.rglob("*.py")}
    assert upgraded.files(".py") == own | {"__init__.py"}
    assert upgraded.folders() == {path.rpartition("/")[0] for path in own}


def test_python_has_compiled_this_engine_and_remembers_no_older_file(upgraded) -> None:
    paths = upgraded.host.run(["find", "/usr/local/lib/virtnet/engine", "-name", "*.pyc"]).split()
    compiled = {path.replace("__pycache__/", "").rsplit(".", 2)[0] for path in paths}
    assert compiled == {f"/usr/local/lib/virtnet/engine/{file[:-3]}" for file in upgraded.files(".py")}


def test_the_guard_runs_this_engine(upgraded) -> None:
    state, process = upgraded.guard()
    assert state == "active"
    started = int(upgraded.host.run(["stat", "--format=%Y", f"/proc/{process}"]))
    written = int(upgraded.host.run(["stat", "--format=%Y", "/usr/local/lib/virtnet/engine/guard/daemon.py"]))
    assert started >= written


def test_everything_is_as_defined(upgraded) -> None:
    assert "lab" in upgraded.host.run(["virtnet", "list"])
    upgraded.host.run(["virtnet", "check"])


def test_a_guest_keeps_its_address(upgraded) -> None:
    try:
        upgraded.guest.plug("vn-lab")
        assert upgraded.guest.lease().startswith("10.76.0.")
        assert upgraded.guest.pings("10.76.0.1")
    finally:
        upgraded.guest.unplug()
