# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of the host: its plan without a host, and its files below a temporary root."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.families import Distribution
from ansible_collections.virtnet.linux.plugins.module_utils.core.files import File
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import describe
from ansible_collections.virtnet.linux.plugins.module_utils.core.systemctl import Unit
from ansible_collections.virtnet.linux.plugins.module_utils.host import files as host_files
from ansible_collections.virtnet.linux.plugins.module_utils.host import requirements as host_needs
from ansible_collections.virtnet.linux.plugins.module_utils.host.read import State
from ansible_collections.virtnet.linux.plugins.module_utils.host.reconciler import HostReconciler, set_up

REPOSITORY = Path(__file__).resolve().parents[3]
MODULE_UTILS = REPOSITORY / "plugins" / "module_utils"
GOLDEN = Path(__file__).with_name("golden")

VERSIONS = {"ip": "", "nft": "1.0.6", "dnsmasq": "2.90", "pyroute2": "0.7.2"}
UNITS = ("virtnet.service", "virtnet-resolver.service")
RUNNING = Unit("loaded", "enabled", "active")


def converged_state() -> State:
    """A host in its desired state."""
    reconciler = HostReconciler("present", Paths())
    files = [*reconciler.program, *reconciler.units.values(), reconciler.rules]
    return State(
        versions=VERSIONS,
        units=dict.fromkeys((*UNITS, "dnsmasq.service"), RUNNING),
        links={
            "/usr/local/bin/virtnet": reconciler.launcher,
            **{reconciler.link(name): f"/etc/systemd/system/{name}" for name in UNITS},
            **dict.fromkeys(reconciler.hooks, "/etc/systemd/system/virtnet-rules.service"),
        },
        folders=dict.fromkeys(reconciler.folders, 0o755),
        files={file.path: file for file in files},
    )


def plan(state: State):
    return HostReconciler("present", Paths()).plan(state)


def commands(changes) -> list[str]:
    return [
        words
        for change in changes
        for words, due in (
            (f"stop {change.stop_before}", change.stop_before),
            (f"reset-failed {change.reset_failed}", change.reset_failed),
            ("daemon-reload", change.daemon_reload),
        )
        if due
    ]


def test_every_engine_module_goes_to_the_host() -> None:
    files = {file.relative_to(MODULE_UTILS).as_posix() for file in MODULE_UTILS.rglob("*.py")}
    assert set(host_files.engine_files()) == files | {"__init__.py"}


def test_every_engine_module_is_seen_by_ansible() -> None:
    """What a module imports, and what that imports, is all that Ansible sends to a host."""
    sent: set[Path] = set()
    unread = [REPOSITORY / "plugins/modules/host.py"]
    while unread:
        file = unread.pop()
        if file not in sent:
            sent.add(file)
            unread += imported(file)
    assert sent - {REPOSITORY / "plugins/modules/host.py"} == {
        file for file in MODULE_UTILS.rglob("*.py") if file.name != "__init__.py"
    }


def imported(file: Path) -> list[Path]:
    files: list[Path] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            files += [path for name in node.names if (path := base / f"{name.name}.py").is_file()]
            files += [path for path in (base.with_suffix(".py"),) if path.is_file()]
    return files


def test_the_engine_is_the_same_from_a_zip_file_and_from_a_folder(tmp_path: Path) -> None:
    package = "ansible_collections/virtnet/linux/plugins/module_utils"
    with zipfile.ZipFile(tmp_path / "payload.zip", "w") as payload:
        for folder in Path(package).parts:
            parent = package.split(folder)[0] + folder
            payload.writestr(f"{parent}/__init__.py", "")
        for file in MODULE_UTILS.rglob("*.py"):
            payload.write(file, f"{package}/{file.relative_to(MODULE_UTILS)}")
    code = f"from {package.replace('/', '.')}.host.files import engine_files; print(hash(str(engine_files())))"
    seen = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": str(where), "PYTHONHASHSEED": "0"},
            check=True,
            capture_output=True,
        ).stdout
        for where in (tmp_path / "payload.zip", REPOSITORY / ".build" / "collections")
    ]
    assert seen[0] == seen[1] != b""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *host_files.units("/usr/local/lib/virtnet").items(),
        ("virtnet-boot-only.service", host_files.units("/usr/local/lib/virtnet", guard=False)["virtnet.service"]),
        ("launcher", host_files.launcher("/usr/bin/python3")),
    ],
)
def test_rendered_files(name: str, text: str) -> None:
    assert text == (GOLDEN / name).read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is part of systemd")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_the_unit(name: str, tmp_path: Path) -> None:
    (tmp_path / "virtnet").write_text("#!/bin/sh\n")
    (tmp_path / "virtnet").chmod(0o755)
    for unit, text in host_files.units(str(tmp_path)).items():
        (tmp_path / unit).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / name],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_converged_host_needs_no_change() -> None:
    result = plan(converged_state())
    assert result.changes == [] and result.notes == []
    dnsmasq = {"installed": True, "enabled": True, "active": True, "program": True}
    packages = {"service_package": "dnsmasq", "program_package": "dnsmasq-base"}
    expected = {"family": "Debian", "ready": True, "missing": [], "dnsmasq": {**dnsmasq, **packages}}
    assert result.result == [expected]


def test_a_host_without_the_collection_gets_everything() -> None:
    changes = plan(State(versions=VERSIONS)).changes
    assert [str(change) for change in changes] == [
        "folder /etc/virtnet: created",
        "folder /etc/virtnet/networks: created",
        "folder /var/lib/virtnet: created",
        "folder /usr/local/lib/virtnet: created",
        "folder /usr/local/lib/virtnet/engine: created",
        "engine /usr/local/lib/virtnet: created",
        "command /usr/local/bin/virtnet: created",
        "unit virtnet.service: created",
        "unit virtnet-resolver.service: created",
        "unit virtnet-rules.service: created",
        *(f"link {hook}: created" for hook in HostReconciler("present", Paths()).hooks),
        "service virtnet.service: enabled, started",
        "service virtnet-resolver.service: enabled, started",
    ]
    assert commands(changes) == ["daemon-reload"] * 4
    assert [change.start for change in changes if change.start] == list(UNITS)


def test_changed_engine_module_is_shown_by_its_digest_and_old_bytecode_is_removed() -> None:
    state = converged_state()
    path = "/usr/local/lib/virtnet/engine/core/reconcile.py"
    cache = "/usr/local/lib/virtnet/engine/core/__pycache__"
    tree = HostReconciler("present", Paths()).read().tree("/nowhere")
    tree = replace(
        tree, files=[path, f"{cache}/reconcile.pyc", "/usr/local/lib/virtnet/engine/old.py"], folders=[cache]
    )
    state = replace(
        state,
        files={**state.files, path: File(path, "old")},
        trees={"/usr/local/lib/virtnet": tree},
    )
    change, restart = plan(state).changes
    assert [file.path for file in change.files] == ["/run/virtnet/service-restart-due", path]
    assert (str(restart), restart.start) == ("service virtnet.service: restarted", "virtnet.service")
    assert change.remove == ["/usr/local/lib/virtnet/engine/old.py", f"{cache}/reconcile.pyc", cache]
    assert sorted(line.split(":")[0] for line in change.before.splitlines()) == sorted(
        ["/usr/local/lib/virtnet/engine/old.py", path]
    )
    assert [line.split(":")[0] for line in change.after.splitlines()] == [path]


@pytest.mark.parametrize(
    ("unit", "link", "calls", "text"),
    [
        (replace(RUNNING, active="inactive"), "../virtnet.service", [], "started"),
        (replace(RUNNING, stale=True), "../virtnet.service", ["daemon-reload"], "reloaded"),
        (RUNNING, "", [], "enabled"),
        (RUNNING, "/dev/null", [], "enabled"),
    ],
)
def test_a_service_that_is_not_as_desired_is_enabled_and_started(
    unit: Unit, link: str, calls: list[str], text: str
) -> None:
    state = converged_state()
    links = {**state.links, "/etc/systemd/system/multi-user.target.wants/virtnet.service": link}
    (change,) = plan(replace(state, units={**state.units, "virtnet.service": unit}, links=links)).changes
    assert str(change) == f"service virtnet.service: {text}"
    assert commands([change]) == calls
    assert change.start == ("virtnet.service" if unit.active == "inactive" else "")


def test_a_failed_service_is_noted_and_not_restarted() -> None:
    state = converged_state()
    result = plan(replace(state, units={**state.units, "virtnet.service": replace(RUNNING, active="failed")}))
    assert result.changes == []
    assert result.notes == ["virtnet.service failed when it ran last; see journalctl -u virtnet.service"]


@pytest.mark.parametrize(
    ("family", "packages"),
    [
        ("Debian", ["iproute2", "nftables", "dnsmasq", "python3-pyroute2"]),
        ("RedHat", ["iproute", "nftables", "dnsmasq", "python3-pyroute2"]),
        ("SUSE", ["iproute2", "nftables", "dnsmasq", "python3-pyroute2"]),
        ("Arch", ["iproute2", "nftables", "dnsmasq", "python-pyroute2"]),
    ],
)
def test_missing_packages_have_the_names_of_the_distribution(family: str, packages: list[str]) -> None:
    state = replace(converged_state(), versions={}, distribution=Distribution(family=family))
    assert plan(state).result[0]["missing"] == packages


def test_nothing_is_changed_before_packages_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that start without them would go on so. Check mode shows what comes then."""
    (tmp_path / "run").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    monkeypatch.setattr(host_needs, "read_versions", lambda: {**VERSIONS, "dnsmasq": ""})
    ready = set_up("present", Paths(str(tmp_path)), check=True)
    assert ready.changes and ready.result[0]["ready"]
    monkeypatch.setattr(host_needs, "read_versions", lambda: {"ip": "", "pyroute2": "0.7.2"})
    checked = set_up("present", Paths(str(tmp_path)), check=True)
    assert list(map(str, checked.changes)) == list(map(str, ready.changes))
    waiting = set_up("present", Paths(str(tmp_path)), check=False)
    assert (list(waiting.changes), waiting.result[0]["ready"]) == ([], False)
    assert waiting.result[0]["missing"] == ["nftables", "dnsmasq"]
    assert files_below(tmp_path / "etc") == ["os-release"]


def test_a_python_without_pyroute2_is_refused_where_the_systems_has_it(tmp_path: Path) -> None:
    """The real programs: the system's is a link to a Python with pyroute2, Ansible's an environment without it."""
    environment, system = tmp_path / "venv", tmp_path / "usr/bin/python3"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    system.parent.mkdir(parents=True)
    system.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    system.chmod(0o755)
    (tmp_path / "run").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths\n"
        "from ansible_collections.virtnet.linux.plugins.module_utils.host.reconciler import set_up\n"
        "set_up('present', Paths(sys.argv[2]), check=sys.argv[3] == 'check')"
    )
    python = environment / "bin/python"
    for mode in ("check", "run"):
        words = [python, "-I", "-c", code, REPOSITORY / ".build/collections", tmp_path, mode]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (
            f"{python}, by which Ansible runs modules here, has no pyroute2, but {system} has; "
            f"set ansible_python_interpreter to {system}" in done.stderr
        )
    assert files_below(tmp_path / "etc") == ["os-release"]


def test_a_host_with_libvirts_network_driver_needs_the_binding(tmp_path: Path) -> None:
    assert host_needs.read_needs(str(tmp_path)) == host_needs.NEEDS
    driver = tmp_path / "usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_network.so"
    driver.parent.mkdir(parents=True)
    driver.touch()
    needs = host_needs.read_needs(str(tmp_path))
    assert plan(replace(converged_state(), needs=needs)).result[0]["missing"] == ["python3-libvirt", "python3-lxml"]


def test_dnsmasq_without_its_service_is_missing() -> None:
    (result,) = plan(replace(converged_state(), units={})).result
    assert result["missing"] == ["dnsmasq"]
    assert result["dnsmasq"] == {
        "installed": False,
        "enabled": False,
        "active": False,
        "program": True,
        "service_package": "dnsmasq",
        "program_package": "dnsmasq-base",
    }


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("nft", "0.9.8", "nft 0.9.8 is too old: virtnet.linux needs 1.0 or newer; install a newer nftables"),
        ("dnsmasq", "2.79", "dnsmasq 2.79 is too old: virtnet.linux needs 2.80 or newer"),
        ("pyroute2", "0.6.12", "pyroute2 0.6.12 is too old: virtnet.linux needs 0.7 or newer; .* python3-pyroute2"),
    ],
)
def test_old_version_is_refused(name: str, version: str, message: str) -> None:
    with pytest.raises(VirtnetError, match=message):
        plan(replace(converged_state(), versions={**VERSIONS, name: version}))


@pytest.mark.parametrize("path", ["/root/v/bin/python", "/home/ansible/venv/bin/python3", "/tmp/v/bin/python"])
def test_a_python_that_services_do_not_see_is_refused(path: str) -> None:
    with pytest.raises(VirtnetError, match=f"{path}, .* virtnet.service does not see; set ansible_python_interpreter"):
        plan(replace(converged_state(), interpreter=path))
    assert plan(replace(converged_state(), interpreter="/opt/v/bin/python")).changes == []
    # Without systemd, as in a chroot, nothing is started.
    plan(replace(converged_state(), interpreter=path, systemd=False))


ALPINE = Distribution("alpine", "Alpine Linux v3.22")


def test_a_distribution_without_a_family_is_refused_by_name_with_what_to_install() -> None:
    state = State(distribution=ALPINE)
    with pytest.raises(VirtnetError) as refused:
        plan(state)
    message = str(refused.value)
    assert message.startswith("this host is 'Alpine Linux v3.22', which is of none of the families Debian, RedHat, ")
    assert "iproute2, nftables, dnsmasq, python3-pyroute2 have, with systemd" in message
    # Only what is missing is named.
    with pytest.raises(VirtnetError, match="install what their packages nftables have"):
        plan(replace(converged_state(), versions={"ip": "", "dnsmasq": "", "pyroute2": ""}, distribution=ALPINE))


def test_a_distribution_without_a_family_that_has_everything_is_not_refused() -> None:
    (result,) = plan(replace(converged_state(), distribution=ALPINE)).result
    assert result["family"] == ""
    assert result["missing"] == []


def test_a_distribution_that_declares_its_services_is_refused() -> None:
    nixos = Distribution("nixos", "NixOS 25.05 (Warbler)")
    with pytest.raises(VirtnetError, match="this host is 'NixOS 25.05 .Warbler.', which makes its services"):
        plan(replace(converged_state(), distribution=nixos))


@pytest.mark.parametrize("state", ["absent", "stopped"])
def test_a_host_of_any_distribution_can_be_cleared(state: str) -> None:
    HostReconciler(state, Paths()).plan(State(distribution=ALPINE))


def test_absent_on_a_host_that_never_had_anything() -> None:
    assert HostReconciler("absent", Paths()).plan(State()).changes == []


def test_absent_stops_disables_and_removes_the_services() -> None:
    reconciler = HostReconciler("absent", Paths())
    *changes, command, rules = reconciler.plan(replace(converged_state(), trees={})).changes
    assert command.remove == ["/usr/local/bin/virtnet"]
    assert [change.stop_before for change in changes] == list(UNITS)
    assert [change.remove for change in changes] == [
        [reconciler.link(name), reconciler.units[name].path] for name in UNITS
    ]
    assert [change.daemon_reload for change in changes] == [True] * 2
    assert list(rules.remove[:5]) == [*reconciler.hooks, reconciler.rules.path]
    assert rules.daemon_reload


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_install_and_removal_without_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The command runs Python without the caller's environment (-I).
    monkeypatch.setattr(sys, "pycache_prefix", None)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/local/lib").mkdir(parents=True)
    (tmp_path / "usr/local/bin").mkdir()
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    before = files_below(tmp_path)
    paths = Paths(str(tmp_path))
    old = os.umask(0o077)
    try:
        checked = set_up("present", paths, check=True)
        assert files_below(tmp_path) == before
        applied = set_up("present", paths, check=False)
    finally:
        os.umask(old)
    assert [str(change) for change in checked.changes] == [str(change) for change in applied.changes]
    assert applied.notes == [
        "systemd does not run here: virtnet.service and virtnet-resolver.service are enabled, but were not started"
    ]
    assert (tmp_path / "etc/virtnet/networks").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/virtnet").stat().st_mode & 0o777 == 0o755
    compiled = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.pyc")}
    assert compiled == {
        file.parent / "__pycache__" / f"{file.stem}.{sys.implementation.cache_tag}.pyc": 0o644
        for file in (tmp_path / "usr/local/lib/virtnet/engine").rglob("*.py")
    }
    assert not set_up("present", paths, check=False).changes

    launcher = tmp_path / "usr/local/lib/virtnet/virtnet"
    help_run = subprocess.run([launcher, "--help"], capture_output=True, text=True)
    assert help_run.returncode == 0 and "restore" in help_run.stdout

    old_code = tmp_path / f"usr/local/lib/virtnet/engine/__pycache__/old.{sys.implementation.cache_tag}.pyc"
    (tmp_path / "usr/local/lib/virtnet/engine/old.py").touch()
    old_code.touch()
    (tmp_path / "etc/virtnet/networks/lab.json").write_text("{}")
    (change,) = set_up("present", paths, check=False).changes
    assert str(change) == f"engine {tmp_path}/usr/local/lib/virtnet: changed"
    assert not old_code.exists() and len(list(tmp_path.rglob("*.pyc"))) == len(compiled)

    removal = set_up("absent", paths, check=False)
    assert removal.notes == [] and files_below(tmp_path) == sorted(
        [*before, "etc/systemd/system/multi-user.target.wants"]
    )
    assert not set_up("absent", paths, check=False).changes


def test_empty_folders_of_a_killed_run_are_removed_and_folders_in_use_stay(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    drop_ins = Path(paths.dnsmasq_drop_in).parent
    wanted = Path(paths.units, "firewalld.service.wants")
    for folder in (tmp_path / "run", drop_ins, wanted):
        folder.mkdir(parents=True)
    (drop_ins / ".virtnet.conf.virtnet-tmp").touch()
    (wanted / "mine.service").symlink_to("../mine.service")
    (change,) = set_up("absent", paths, check=False).changes
    assert str(change).startswith("files and folders that a run left unfinished")
    assert not drop_ins.exists() and (wanted / "mine.service").is_symlink()
    assert not set_up("absent", paths, check=False).changes


def test_a_foreign_file_stays_and_is_noted(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    paths = Paths(str(tmp_path))
    set_up("present", paths, check=False)
    (tmp_path / "etc/virtnet/networks/notes.txt").write_text("mine")
    (tmp_path / "etc/virtnet/networks/lab.json").write_text("{}")
    removal = set_up("absent", paths, check=False)
    assert removal.notes == [
        f"not written by virtnet.linux, and therefore left: {tmp_path}/etc/virtnet/networks/notes.txt"
    ]
    assert files_below(tmp_path / "etc/virtnet") == ["networks", "networks/notes.txt"]
    assert not set_up("absent", paths, check=False).changes


def test_guard_is_switched_by_another_unit_and_a_restart() -> None:
    changes = HostReconciler("present", Paths(), guard=False).plan(converged_state()).changes
    assert [str(change) for change in changes] == [
        "unit virtnet.service: changed",
        "service virtnet.service: restarted",
    ]
    due = replace(converged_state(), restart_due=True)
    assert [str(change) for change in plan(due).changes] == ["service virtnet.service: restarted"]


def test_stopped_stops_the_service_alone_and_once() -> None:
    reconciler = HostReconciler("stopped", Paths())
    (change,) = reconciler.plan(converged_state()).changes
    assert (str(change), change.stop) == ("service virtnet.service: stopped", "virtnet.service")
    idle = replace(converged_state(), units={"virtnet.service": replace(RUNNING, active="inactive")})
    assert reconciler.plan(idle).changes == [] == reconciler.plan(State(systemd=False)).changes


def test_a_command_of_somebody_else_stays() -> None:
    state = replace(
        converged_state(), links={**converged_state().links, "/usr/local/bin/virtnet": ""}, command_taken=True
    )
    result = plan(state)
    assert result.changes == [] and "/usr/local/bin/virtnet is not ours and stays" in result.notes[0]
    assert not [
        change for change in HostReconciler("absent", Paths()).plan(state).changes if change.name.startswith("command")
    ]


def test_diff_is_short() -> None:
    for change in plan(State(versions=VERSIONS)).changes:
        assert len(change.after) < 20000, describe({"change": change.name})
