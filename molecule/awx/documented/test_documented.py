"""The instructions of README and the guides are followed, from the tarball to the teardown, over ssh.

hv1.example.org is the host with an sshd; hv2.example.org, from the guide to fleets, is the other host.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tools import documented, examples

from lab import netns
from lab.guest import Guest
from lab.host import ENVIRONMENT, Host
from lab.lab import Lab
from lab.run import Result, attempt, eventually

ROOT = Path(__file__).resolve().parents[3]
KEY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "key"
LAB = Lab(f"molecule-{os.environ['MOLECULE_SCENARIO_NAME']}")
TIMEOUT = 60
LONG_TIMEOUT = 300
SSHD = ["/usr/sbin/sshd", "-D", "-o", "PidFile=none"]
SSH_CONFIG = """\
Host *
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  LogLevel ERROR
Host hv1.example.org
  HostName {address}
  User root
"""
# A firewall that is not ours.
FOREIGN_RULES = Path(__file__).with_name("foreign_rules.nft").read_text()
# Not with useradd, which leaves files behind; the star locks the password, but not the account.
ADD_ACCOUNT = """
echo 'admin:*:1000:1000::/home/admin:/bin/sh' >> /etc/passwd
install -D -m 600 /root/.ssh/authorized_keys /home/admin/.ssh/authorized_keys
chown -R 1000 /home/admin
"""
REMOVE_ACCOUNT = "sed -i '/^admin:/d' /etc/passwd; rm -r /home/admin"
# A host without an sshd uses another connection.
SECOND_HOST_VARS = """\
ansible_connection: lab
lab_name: {lab}
lab_host: debian12
"""


@dataclass(frozen=True)
class Reader:
    """A reader who follows the guides, on a machine with Ansible and on the host."""

    folder: Path
    host: Host

    def run(self, command: str) -> str:
        result = self.attempt(command)
        print(f"$ {command}\n{result.out}")
        assert result.ok, f"{command}\n{result.out}{result.err}"
        return result.out

    def attempt(self, command: str) -> Result:
        if command.split()[0].startswith("ansible"):
            return self._attempt_ansible(command)
        return self.host.attempt(["sh", "-c", command], TIMEOUT)

    def _attempt_ansible(self, command: str) -> Result:
        environment = {
            **ENVIRONMENT,
            "HOME": str(self.folder),
            "PATH": f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}",
            "ANSIBLE_SSH_ARGS": f"-F {self.folder / 'ssh_config'} -o ControlMaster=auto -o ControlPersist=30s",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "molecule/shared/connection"),
        }
        inside = netns.inside(LAB.internet.namespace, ["sh", "-c", f"cd {self.folder} && {command}"])
        return attempt(inside, LONG_TIMEOUT, env=environment)

    def run_all(self, guide: str) -> dict[str, str]:
        """The outputs of a guide's commands."""
        return {command: self.run(command) for command in documented.commands(guide)}

    def write_example(self, name: str, guide: str, word: str) -> None:
        """Write a file that a guide shows."""
        (self.folder / name).write_text(documented.yaml_of(guide, word))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("reader")
    host = LAB.host("debian13")
    (folder / "ssh_config").write_text(SSH_CONFIG.format(key=KEY, address=host.address))
    (folder / "host_vars").mkdir()
    (folder / "host_vars/hv2.example.org.yml").write_text(SECOND_HOST_VARS.format(lab=LAB.name))
    build = [sys.executable, "-m", "ansible", "galaxy", "collection", "build", "--output-path", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=LONG_TIMEOUT)
    return Reader(folder, host)


@pytest.fixture
def guest(reader: Reader) -> Iterator[Guest]:
    """A guest that `admin` may log in to; it shares the host's files."""
    host, guest = reader.host, Guest(reader.host, "guest-a")
    host.run(["sh", "-c", ADD_ACCOUNT])
    try:
        guest.plug("vn-lab")
        address = guest.lease()
        guest.start([*SSHD, "-o", f"ListenAddress={address}"])
        keyscan = ["ssh-keyscan", "-T", "5", address]
        assert eventually(lambda: "SSH-2.0" in guest.attempt(keyscan).out, TIMEOUT)
        yield guest
    finally:
        guest.unplug()
        host.run(["sh", "-c", REMOVE_ACCOUNT])


def test_readme_from_the_tarball_to_the_teardown(reader: Reader) -> None:
    reader.write_example("inventory.yml", "README.md", "ansible_user")
    install, check, site, teardown = documented.commands("README.md")
    assert "was installed successfully" in reader.run(install)
    assert "vn-lab" in reader.run(check)
    assert not reader.host.attempt(["ip", "link", "show", "vn-lab"]).ok
    reader.run(site)
    reader.host.run(["ip", "link", "show", "vn-lab"])
    reader.run(teardown)
    assert not reader.host.attempt(["ip", "link", "show", "vn-lab"]).ok


def test_commands_of_the_fleet_guide_work(reader: Reader, request: pytest.FixtureRequest) -> None:
    reader.write_example("inventory.yml", "fleets.rst", "hv2.example.org")
    reader.write_example("guests.yml", "fleets.rst", "plugin:")
    site, limited, status, report, graph, ping = documented.commands("fleets.rst")
    reader.run(site)
    subnets = [
        LAB.host(name).run(["ip", "-br", "-4", "address", "show", "vn-lab"]) for name in ("debian12", "debian13")
    ]
    assert len(set(subnets)) == 2
    assert "hv2" not in reader.run(limited)
    request.getfixturevalue("guest")
    assert "guest-a" in reader.run(status)
    page = Path(report.partition("virtnet_report=")[2])
    try:
        reader.run(report)
        assert "guest-a" in page.read_text()
    finally:
        page.unlink(missing_ok=True)
    assert "guest-a" in reader.run(graph)
    assert '"pong"' in reader.run(ping)


@pytest.mark.parametrize(("guide", "word"), [("travel.rst", "vn_forward"), ("errors.rst", "lab")])
def test_commands_that_inspect_the_host_work(reader: Reader, guide: str, word: str) -> None:
    assert word in "".join(reader.run_all(guide).values())


def test_the_cause_of_dropped_packets_is_shown_as_in_the_guide(reader: Reader) -> None:
    (shown,) = (
        example
        for example in examples.shown()
        if "firewalls.rst" in example.place and example.language == "shell-session"
    )
    (check,) = documented.commands("firewalls.rst")
    reader.host.run(["nft", "-f", "-"], stdin=FOREIGN_RULES)
    try:
        result = reader.attempt(check)
        print(result.out)
        assert result.code == 1
        expected = " ".join(" ".join(line for line in shown.text.splitlines() if not line.startswith("# ")).split())
        output = " ".join(result.out.split())
        # The output continues with other packets that the same chain drops.
        flows, separator, cause = expected.partition(" are dropped by ")
        assert flows in output and separator + cause in output, output
        reader.run(cause.partition("to let them pass: ")[2])
    finally:
        reader.host.run(["nft", "delete", "table", "inet", "mine"])


def test_the_virtnet_command_works_as_in_the_guide(reader: Reader) -> None:
    outputs = reader.run_all("addresses.rst")
    assert "lab" in outputs["virtnet list"]
    assert reader.run("virtnet list") != outputs["virtnet list"]


def test_the_first_network_works_and_teardown_removes_everything(reader: Reader) -> None:
    reader.write_example("inventory.yml", "first_network.rst", "ansible_user")
    *others, teardown = documented.commands("first_network.rst")
    reader.host.run(["ip", "tuntap", "add", "tap0", "mode", "tap"])
    try:
        for command in others:
            reader.run(command)
        assert "master vn-lab" in reader.host.run(["ip", "link", "show", "tap0"])
    finally:
        reader.host.run(["ip", "link", "delete", "tap0"])
    # The second host of the fleet too.
    reader.write_example("inventory.yml", "fleets.rst", "hv2.example.org")
    reader.run(teardown)
    assert not any(host.attempt(["ip", "link", "show", "vn-lab"]).ok for host in LAB.hosts())
