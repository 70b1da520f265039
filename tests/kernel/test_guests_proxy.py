# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible reaches guests by ssh through their host, with a real sshd in each.

`make inventory-matrix` runs this with each supported version of ansible-core.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.dnsmasq_testbed import open_folder
from kernel.inventory_testbed import Controller, lease, python_of, versions
from kernel.ssh_testbed import GUEST, HOST, OPERATOR, PORT, SshTestbed

MAC = "52:54:00:00:00:10"
LAB = {
    "name": "lab",
    "ipv4": {"address": "192.168.90.1/24"},
    "ipv6": {
        "address": "fd00:90::1/64",
        "dhcp": {"enabled": True, "hosts": [{"mac": MAC, "name": "six", "ip": GUEST[6]}]},
    },
}
# The guest's name in Ansible; ssh uses its address.
NAMES = {4: "guest.lab", 6: "six"}


@pytest.fixture(scope="module")
def testbed() -> Iterator[SshTestbed]:
    with open_folder() as folder:
        testbed = SshTestbed(folder)
        try:
            testbed.start()
            (folder / "known host").write_text(testbed.host.known_hosts(*HOST.values()))
            (folder / "known guest").write_text(testbed.guest.known_hosts(*GUEST.values()))
            yield testbed
        finally:
            testbed.close()


@pytest.fixture(params=versions())
def controller(request: pytest.FixtureRequest, testbed: SshTestbed, tmp_path: Path) -> Controller:
    return Controller(tmp_path, python_of(request.param), enter=testbed.on_controller)


def known_hosts_option(testbed: SshTestbed, of: str) -> str:
    return f"-o 'UserKnownHostsFile=\"{testbed.folder / f'known {of}'}\"' -o StrictHostKeyChecking=yes"


def inventory(
    controller: Controller,
    testbed: SshTestbed,
    family: int,
    guests: dict[str, Any] | None = None,
    **host_variables: Any,
) -> Path:
    """The host and its guests; ``host_variables`` replace the user and the key of the host."""
    access = {"ansible_user": OPERATOR, "ansible_ssh_private_key_file": str(testbed.host_key)}
    controller.host(
        "hv1",
        [LAB],
        lease(GUEST[4], "guest"),
        ansible_connection="ssh",
        ansible_host=HOST[family],
        ansible_port="{{ port_of_ssh }}",
        port_of_ssh=PORT,
        ansible_ssh_common_args=known_hosts_option(testbed, "host"),
        **(host_variables or access),
    )
    guest_variables = {
        "ansible_user": "root",
        "ansible_port": PORT,
        "ansible_ssh_private_key_file": str(testbed.guest_key),
        "ansible_ssh_extra_args": known_hosts_option(testbed, "guest"),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return controller.write(guests, virtnet_guests={"vars": guest_variables})


@pytest.mark.parametrize("family", [4, 6])
def test_a_guest_is_reached_with_the_keys_that_ansible_was_given(
    controller: Controller, testbed: SshTestbed, family: int
) -> None:
    folder = inventory(controller, testbed, family, {"family": f"ipv{family}"})
    result = controller.run("adhoc", f"--inventory={folder}", NAMES[family], "--module-name=ansible.builtin.ping")
    assert result.returncode == 0
    assert '"ping": "pong"' in result.stdout
    # The guest's sshd accepted the login, and its host's sshd accepted the host's user as the proxy.
    assert "Accepted publickey for root" in (testbed.guest.folder / "sshd.log").read_text()
    assert f"Accepted publickey for {OPERATOR}" in (testbed.host.folder / "sshd.log").read_text()


def test_a_proxy_jump_has_no_key_that_ansible_was_given(controller: Controller, testbed: SshTestbed) -> None:
    folder = inventory(controller, testbed, 4)
    jump = f"ansible_ssh_common_args='-o ProxyJump={OPERATOR}@{HOST[4]}:{PORT}'"
    result = controller.run(
        "adhoc", f"--inventory={folder}", "guest.lab", "--module-name=ansible.builtin.raw", "-a", "true", "-e", jump
    )
    assert result.returncode == 4
    assert "UNREACHABLE" in result.stdout


def test_key_and_user_of_the_command_line_are_those_of_the_host(controller: Controller, testbed: SshTestbed) -> None:
    folder = inventory(controller, testbed, 4, ansible_become=False)
    words = [f"--inventory={folder}", f"--private-key={testbed.host_key}", f"--user={OPERATOR}"]
    result = controller.run("adhoc", *words, "guest.lab", "--module-name=ansible.builtin.raw", "-a", "echo IN")
    assert result.returncode == 0
    assert "IN" in result.stdout


def test_key_and_user_of_the_configuration_are_those_of_the_host(controller: Controller, testbed: SshTestbed) -> None:
    folder = inventory(controller, testbed, 4, ansible_become=False)
    (controller.folder / "ansible.cfg").write_text(
        f"[defaults]\nremote_user = {OPERATOR}\nprivate_key_file = {testbed.host_key}\n"
    )
    words = [f"--inventory={folder}", "guest.lab", "--module-name=ansible.builtin.raw", "-a", "echo IN"]
    result = controller.run("adhoc", *words, ANSIBLE_CONFIG=str(controller.folder / "ansible.cfg"))
    assert result.returncode == 0
    assert "IN" in result.stdout


def test_without_proxy_jump_the_guest_is_not_reached(controller: Controller, testbed: SshTestbed) -> None:
    folder = inventory(controller, testbed, 4, {"proxy_jump": False})
    words = [f"--inventory={folder}", "--timeout=3", "guest.lab", "--module-name=ansible.builtin.raw", "-a", "true"]
    result = controller.run("adhoc", *words)
    assert result.returncode == 4


def test_a_host_whose_user_would_be_an_option_of_ssh_is_not_a_proxy(
    controller: Controller, testbed: SshTestbed
) -> None:
    trap = controller.folder / "trapped"
    folder = inventory(controller, testbed, 4, ansible_user=f'a" -oProxyCommand="touch {trap}', ansible_become=False)
    listing = controller.list_inventory(folder)
    assert "virtnet_guests" not in listing or not listing["virtnet_guests"].get("hosts")
    assert not trap.exists()
