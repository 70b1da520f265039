# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading dnsmasq's configuration, from files in memory."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.command import Completed
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.dnsmasq_syntax import (
    quoted,
    read_arguments,
    read_lines,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq import config_check
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.config_reader import read_config
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import system_leases
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.start_command import (
    debian_command,
    exec_start_words,
    shell_assignments,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_config import (
    Config,
    fragment_file,
    fragment_network,
    is_fragment_file,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import (
    SystemDnsmasq,
    not_installed,
    parse_version,
    relevant_lines,
)
from hypothesis import given
from hypothesis import strategies as st

DEBIAN = debian_command("CONFIG_DIR=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new\n") or ()
MAIN = "/etc/dnsmasq.conf"
# The lines that RHEL 9 ships in it.
FEDORA = """\
user=dnsmasq
group=dnsmasq
interface=lo
bind-interfaces
conf-dir=/etc/dnsmasq.d,.rpmnew,.rpmsave,.rpmorig
"""


@dataclass
class Files:
    """A file system of names and contents."""

    files: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)

    def text(self, path: str) -> str | None:
        return self.files.get(path)

    def names(self, folder: str) -> Sequence[str]:
        start = posixpath.normpath(folder)
        return [posixpath.basename(path) for path in self.files if posixpath.dirname(path) == start]

    def identity(self, path: str) -> str | None:
        path = self.same.get(path, posixpath.normpath(path))
        known = path in self.files or any(posixpath.dirname(file) == path for file in self.files)
        return path if known else None

    def output(self, command: str) -> str:
        return self.outputs[command]


def read(files: Mapping[str, str], command: Sequence[str] = DEBIAN, **more: Mapping[str, str]) -> Config:
    return read_config(command, Files(files, **more), "/etc/dnsmasq.d")


def main(text: str) -> Config:
    return read({MAIN: text})


def settings_of(text: str) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(setting.name, setting.value, setting.fields) for setting in read_lines(text, "x")]


@pytest.mark.parametrize(
    ("line", "name", "fields"),
    [
        ("port=53", "port", ("53",)),
        ("  port = 53  ", "port", ("53",)),
        ("\tport\t=\t53\r", "port", ("53",)),
        ("port=53 # a comment", "port", ("53",)),
        ("port=53# part of the value", "port", ("53# part of the value",)),
        ("dhcp-range = eth0 , 10.0.0.1,10.0.0.9", "dhcp-range", ("eth0", "10.0.0.1", "10.0.0.9")),
        ('txt-record=a,"b,c # d"', "txt-record", ("a", "b,c # d")),
        ('txt-record=a,"say \\"hi\\" \\\\"', "txt-record", ("a", 'say "hi" \\')),
        ("txt-record=a,\\b'", "txt-record", ("a", "\\b'")),
        ('"interface"=eth0', "interface", ("eth0",)),
        ("interface=", "interface", ("",)),
        ("bind-interfaces", "bind-interfaces", ()),
        ("a=b=c", "a", ("b=c",)),
        ("no-hosts\0interface=eth0", "no-hosts", ()),
    ],
)
def test_line_is_read_as_dnsmasq_reads_it(line: str, name: str, fields: tuple[str, ...]) -> None:
    assert [(setting[0], setting[2]) for setting in settings_of(line)] == [(name, fields)]


@pytest.mark.parametrize("line", ["", "   ", "# port=1", "  # port=1", "\t#", '"" # port=1', "\r"])
def test_line_without_a_setting(line: str) -> None:
    assert settings_of(line) == []


def test_the_rest_of_a_line_after_1024_bytes_is_a_line_of_its_own() -> None:
    assert [name for name, _value, _fields in settings_of("#" + "x" * 1023 + "interface=eth0")] == ["interface"]


def test_lines_without_a_setting_are_counted() -> None:
    assert [setting.line for setting in read_lines("\n# x\nport=1\n\nport=2\n", "x")] == [3, 5]


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60))
def test_quoted_text_has_no_special_characters(text: str) -> None:
    # With a label at both ends, since the space around a value is not part of it.
    assert settings_of(f"txt-record=a,x{quoted(text)}x") == [("txt-record", f"a,x{text}x", ("a", f"x{text}x"))]


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    for setting in read_lines(text, "x"):
        assert setting.line > 0


def test_command_line_is_split_as_by_getopt() -> None:
    words = ["-zkp5353", "-i", "eth0", "--interface=eth1", "--listen-address", "10.0.0.1", "--bind-dynamic",
             "--local-service=host", "--log-queries", "extra", "-Ieth2", "--", "-i", "eth9"]  # fmt: skip
    arguments = read_arguments(words)
    assert [(argument.setting.name, argument.setting.value) for argument in arguments] == [
        ("bind-interfaces", None),
        ("k", None),
        ("port", "5353"),
        ("interface", "eth0"),
        ("interface", "eth1"),
        ("listen-address", "10.0.0.1"),
        ("bind-dynamic", None),
        ("local-service", "host"),
        ("log-queries", None),
        ("except-interface", "eth2"),
    ]
    assert [word for argument in arguments for word in argument.words][:5] == ["-z", "-k", "-p", "5353", "-i"]


def test_debian_reads_main_file_and_folder_without_leftovers_of_its_packages() -> None:
    files = {
        MAIN: "port=1\n",
        "/etc/dnsmasq.d/README": "port=2\n",
        "/etc/dnsmasq.d/b.conf": "port=3\n",
        "/etc/dnsmasq.d/a.conf.dpkg-old": "port=4\n",
        "/etc/dnsmasq.d/.hidden": "port=5\n",
        "/etc/dnsmasq.d/kept~": "port=6\n",
        "/etc/dnsmasq.d/#saved#": "port=7\n",
        "/etc/dnsmasq.d/virtnet-lab.conf": "port=8\n",
        "/etc/dnsmasq.d/.dpkg-dist": "port=9\n",
    }
    # The folder is on the command line, and that is read first.
    assert [setting.value for setting in read(files).named("port")] == ["2", "3", "1"]


@pytest.mark.parametrize(
    ("suffixes", "names"),
    [
        ("", {"a.conf", "b.bak", "c"}),
        (",*.conf", {"a.conf"}),
        (",*.conf,*.bak", {"a.conf", "b.bak"}),
        (",*", {"a.conf", "b.bak", "c"}),
        (",.bak", {"a.conf", "c"}),
        (",*.conf,.conf", set()),
        (",,.bak,", {"a.conf", "c"}),
    ],
)
def test_suffixes_of_a_folder(suffixes: str, names: set[str]) -> None:
    files = {f"/conf/{name}": f"txt-record={name}\n" for name in ("a.conf", "b.bak", "c", ".conf")}
    config = read({MAIN: f"conf-dir=/conf{suffixes}\n", **files})
    assert {setting.value for setting in config.named("txt-record")} == names


def test_each_file_is_read_once_and_in_order_also_if_files_include_each_other() -> None:
    config = read(
        {
            MAIN: "port=1\nconf-file=/a\nport=3\nconf-file=/link\nconf-file=/missing\nconf-file=relative\n",
            "/a": f"port=2\nconf-file={MAIN}\n",
            "/relative": "port=4\n",
        },
        same={"/link": "/a"},
    )
    assert [setting.value for setting in config.named("port")] == ["1", "2", "3", "4"]
    assert str(config.named("port")[1]) == "'port=2' in line 1 of /a"


def test_first_conf_file_of_the_command_line_replaces_the_default_and_is_read_last() -> None:
    files = {MAIN: "port=1\n", "/first": "port=2\n", "/second": "port=3\n"}
    config = read(files, ["dnsmasq", "-C", "/first", "--conf-file=/second"])
    assert [setting.value for setting in config.named("port")] == ["3", "2"]
    assert config.main_file == "/first"


def test_empty_conf_file_means_none() -> None:
    assert not read({MAIN: "port=1\n"}, ["dnsmasq", "--conf-file="]).settings[1:]


def test_output_of_a_script_is_part_of_the_configuration() -> None:
    config = read({MAIN: "conf-script=/bin/gen -x\n"}, outputs={"/bin/gen -x": "interface=eth0\n"})
    assert config.limits_interfaces
    assert str(config.named("interface")[0]) == "'interface=eth0' in line 1 of the output of /bin/gen -x"


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", False),
        ("interface=eth0", True),
        ("interface=", True),
        ("interface=*", True),
        ("listen-address=10.0.0.1", True),
        ("local-service", False),
        ("except-interface=eth0", False),
        ("no-dhcp-interface=eth0", False),
        ("bind-interfaces", False),
        ("# interface=eth0", False),
        ("dhcp-range=interface:eth0,10.0.0.1,10.0.0.9", False),
        ("auth-server=a,eth0", False),
    ],
)
def test_settings_that_limit_interfaces(text: str, limits: bool) -> None:
    assert main(f"{text}\n").limits_interfaces is limits


@pytest.mark.parametrize(
    ("command", "text", "limits"),
    [
        (["dnsmasq"], "local-service=host", True),
        (["dnsmasq"], "local-service=net", False),
        (["dnsmasq"], "local-service=host\nexcept-interface=eth0", False),
        (["dnsmasq"], "local-service=host\nauth-server=a,eth0", False),
        # On the command line already: the second one is ignored.
        (["dnsmasq", "--local-service"], "local-service=host", False),
        (["dnsmasq", "-i", "eth0"], "", True),
        (["dnsmasq", "--listen-address=10.0.0.1"], "", True),
    ],
)
def test_settings_that_limit_interfaces_with_a_command_line(command: list[str], text: str, limits: bool) -> None:
    assert read({MAIN: f"{text}\n"}, command).limits_interfaces is limits


def test_our_own_fragments_are_not_part_of_the_configuration() -> None:
    files = {"/etc/dnsmasq.d/virtnet-lab.conf": "interface=vn-lab\nbind-dynamic\nexcept-interface=lo\n"}
    config = read({MAIN: "conf-file=/etc/dnsmasq.d/virtnet-lab.conf\n", **files})
    assert not config.limits_interfaces
    assert config.binding == "wildcard"
    others = read({"/etc/dnsmasq.d/virtnet.conf": "interface=eth0\n", "/other/virtnet-x.conf": "bind-dynamic\n",
                   MAIN: "conf-dir=/other\n"})  # fmt: skip
    assert others.limits_interfaces
    assert others.binding == "bind-dynamic"


@pytest.mark.parametrize(
    ("text", "excluded"),
    [
        ("except-interface=vn-lab", True),
        ("except-interface=eth0,vn-lab", True),
        ("except-interface=vn-*", True),
        ("except-interface=*", True),
        ("except-interface=vn-la", False),
        ("except-interface=vn-lab2", False),
        ("except-interface=vn-*\nlisten-address=192.168.30.1", False),
        ("no-dhcp-interface=vn-lab", True),
        ("no-dhcpv4-interface=vn-lab", True),
        ("no-dhcpv6-interface=vn-lab", False),
        ("auth-server=ns.test,vn-lab/4", True),
        ("auth-server=ns.test,192.168.30.1", True),
        ("auth-server=vn-lab,eth0", False),
        ("dhcp-ignore=tag:!known", False),
        ("dhcp-ignore=tag:vn-lab", True),
        ("dhcp-ignore=tag:!eth0", True),
        ("dhcp-ignore=tag:!vn-lab", False),
        ("dhcp-ignore=tag:eth0,tag:!known", False),
        ("dhcp-ignore=tag:interface:vn-lab", True),
    ],
)
def test_settings_that_exclude_an_interface(text: str, excluded: bool) -> None:
    assert bool(main(f"{text}\n").excluding_settings("vn-lab", "192.168.30.1", dhcp=True)) is excluded


def test_a_setting_against_dhcp_matters_only_with_dhcp() -> None:
    assert not main("no-dhcp-interface=vn-lab\n").excluding_settings("vn-lab", "192.168.30.1", dhcp=False)


def test_port_and_binding() -> None:
    assert (main("").port, main("port=0\n").port, main("port=5353\n").port) == (53, 0, 5353)
    assert (main("").binding, main("bind-interfaces\n").binding) == ("wildcard", "bind-interfaces")


@pytest.mark.parametrize(
    ("files", "command", "reads"),
    [
        ({}, DEBIAN, True),
        ({}, ["dnsmasq"], False),
        ({MAIN: FEDORA}, ["/usr/sbin/dnsmasq"], True),
        ({MAIN: "conf-dir=/etc/dnsmasq.d/,*.conf\n"}, ["dnsmasq"], True),
        ({MAIN: "conf-dir=/etc/dnsmasq.d,.conf\n"}, ["dnsmasq"], False),
        ({MAIN: "conf-dir=/etc/dnsmasq.d,*.cfg\n"}, ["dnsmasq"], False),
        ({MAIN: "#conf-dir=/etc/dnsmasq.d\n"}, ["dnsmasq"], False),
        ({MAIN: "conf-dir=/etc/dnsmasq.d.off\n"}, ["dnsmasq"], False),
        ({MAIN: "conf-dir=/link\n", "/etc/dnsmasq.d/x": ""}, ["dnsmasq"], True),
    ],
)
def test_whether_fragments_are_read(files: Mapping[str, str], command: Sequence[str], reads: bool) -> None:
    assert read(files, command, same={"/link": "/etc/dnsmasq.d"}).reads_fragments() is reads


@pytest.mark.parametrize(
    ("os_release", "existing", "expected"),
    [
        ("ID=debian\n", "", "var/lib/misc"),
        ("ID=fedora\n", "", "var/lib/dnsmasq"),
        ("ID=arch\n", "", "var/lib/misc"),
        # Built by hand, with the other default.
        ("ID=fedora\n", "var/lib/misc", "var/lib/misc"),
        ("", "var/lib/dnsmasq", "var/lib/dnsmasq"),
    ],
)
def test_the_lease_file_is_where_it_is_found_or_where_the_distribution_has_it(
    tmp_path: Path, os_release: str, existing: str, expected: str
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(os_release)
    if existing:
        (tmp_path / existing).mkdir(parents=True)
        (tmp_path / existing / "dnsmasq.leases").touch()
    assert system_leases(Config(), str(tmp_path)) == str(tmp_path / expected / "dnsmasq.leases")


def test_a_syntax_test_has_every_line_once_and_names_the_place_of_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        MAIN: "# x\nport=1\nconf-file=/a\n",
        "/a": 'txt-record=a,"b # c"\n',
        "/etc/dnsmasq.d/z": "no-hosts\n",
        "/etc/dnsmasq.d/virtnet-old.conf": "port=8\n",
    }
    tests: list[tuple[list[str], str]] = []

    def run(command: list[str], *, stdin: str, check: bool) -> Completed:
        tests.append((command, stdin))
        return Completed(1, "", "dnsmasq: bad option at line 6 of stdin")

    monkeypatch.setattr(config_check, "run", run)
    arguments = (read(files), {"virtnet-new.conf": "# ours\ndomain=x\n"}, {"/h/lab.names": "# ours\n::1 a b\n"})
    lines = config_check.lines_to_test(*arguments)
    assert (lines[-1].file, lines[-1].number) == ("/h/lab.names", 2)
    assert [(line.file, line.number) for line in lines][1:3] == [(MAIN, 2), ("/a", 1)]
    with pytest.raises(VirtnetError, match="bad option in line 2 of /h/lab.names: 'host-record=a,b,::1'"):
        config_check.check_syntax(*arguments)
    ((command, stdin),) = tests
    assert stdin == 'no-hosts\nport=1\ntxt-record=a,"b # c"\n# ours\ndomain=x\nhost-record=a,b,::1\n'
    assert command[0] == "/usr/sbin/dnsmasq"
    assert command[-3:] == ["--local-service", "--conf-file=-", "--test"]
    assert "-7" not in command


def test_debian_defaults_make_the_command_of_its_helper() -> None:
    text = """
# a comment
CONFIG_DIR=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new
DNSMASQ_OPTS="--conf-file=/etc/other --bind-dynamic"
DNSMASQ_OPTS="${DNSMASQ_OPTS} -k"
DNSMASQ_INTERFACE="eth0 eth1"
export DNSMASQ_EXCEPT='lo'
CACHESIZE=500
"""
    assert debian_command(text) == (
        *("/usr/sbin/dnsmasq", "-x", "/run/dnsmasq/dnsmasq.pid", "-u", "dnsmasq"),
        *("-i", "eth0", "-i", "eth1", "-I", "lo", "-c", "500"),
        *("-7", "/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new"),
        *("--conf-file=/etc/other", "--bind-dynamic", "-k", "--local-service"),
    )


@pytest.mark.parametrize("text", ["A=$(date)", "A=`date`", "if true; then A=1; fi", "A='open", "A=${B:-c}"])
def test_defaults_that_need_a_shell_are_not_guessed(text: str) -> None:
    assert shell_assignments(text) is None
    assert debian_command(text) is None


def test_start_command_of_a_unit() -> None:
    shown = "{ path=/usr/sbin/dnsmasq ; argv[]=/usr/sbin/dnsmasq -k $OPTS ; ignore_errors=no ; start_time=[n/a] }"
    assert exec_start_words(shown) == ("/usr/sbin/dnsmasq", "-k", "$OPTS")
    assert SystemDnsmasq()._command(shown, 0) == ("/usr/sbin/dnsmasq", "-k")


def test_host_without_dnsmasq_is_treated_as_one_with_debians_defaults() -> None:
    status = not_installed()
    assert not status.installed
    assert "/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new" in status.command


def test_version() -> None:
    assert parse_version("Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley\n") == (2, 90)
    assert parse_version("") == ()


def test_the_reason_is_extracted_from_a_log() -> None:
    log = """Starting dnsmasq
dnsmasq: failed to create listening socket for port 53: Address already in use
dnsmasq: failed to create listening socket for port 53: Address already in use
Stopped dnsmasq
"""
    assert relevant_lines(log) == "dnsmasq: failed to create listening socket for port 53: Address already in use"
    assert relevant_lines("one\ntwo\n") == "one; two"
    assert relevant_lines("") == ""


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}", fullmatch=True))
def test_file_of_a_fragment_and_back(name: str) -> None:
    assert is_fragment_file(fragment_file(name))
    assert fragment_network(fragment_file(name)) == name
