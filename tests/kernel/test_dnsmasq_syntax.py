# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares how we read and write dnsmasq's configuration with dnsmasq itself."""

from __future__ import annotations

import random
import socket
import string
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.dnsmasq_syntax import (
    quoted,
    read_arguments,
    read_lines,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq import spec as dnsmasq_spec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.config_reader import HostReader, read_config
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.dangerous_options import line_dangers
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.hosts_files import dhcp_file
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.render import (
    HEADER,
    RenderContext,
    hosts_files,
    render,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.start_command import debian_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel.dnsmasq_testbed import (
    PROGRAM,
    Daemon,
    DnsmasqTestbed,
    NamedNamespace,
    new_testbed,
    open_folder,
    run,
    running,
    serving,
)
from kernel.test_dnsmasq_names import lease_with_options

CHARACTERS = string.ascii_letters + string.digits + " #'\\,.:;=/*[](){}<>|&$!?~^%@+-_`"
TEXT_RECORD, ADDRESS_RECORD, SERVICE_RECORD = 16, 1, 33


@pytest.fixture(scope="module")
def namespace() -> Iterator[NamedNamespace]:
    namespace = NamedNamespace(f"vnd-{uuid4().hex[:6]}")
    run(["ip", "netns", "add", namespace.name])
    run(["ip", "-n", namespace.name, "link", "set", "lo", "up"])
    yield namespace
    run(["ip", "netns", "delete", namespace.name])


def answer(namespace: NamedNamespace, name: str, kind: int) -> list[bytes]:
    """The data of the records in dnsmasq's answer."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack("!HH", kind, 1)
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.connect(("127.0.0.1", 53))
        client.send(query)
        response = client.recv(4096)
    records, offset = [], len(query)
    for _ in range(struct.unpack("!H", response[6:8])[0]):
        # Each record begins with a two-byte pointer to the name.
        length = struct.unpack("!H", response[offset + 10 : offset + 12])[0]
        records.append(response[offset + 12 : offset + 12 + length])
        offset += 12 + length
    return records


def strings(record: bytes) -> list[str]:
    """The strings of a TXT record."""
    texts, offset = [], 0
    while offset < len(record):
        texts.append(record[offset + 1 : offset + 1 + record[offset]].decode())
        offset += 1 + record[offset]
    return texts


def random_text(rng: random.Random, longest: int = 30) -> str:
    return "".join(rng.choice(CHARACTERS + '"') for _ in range(rng.randint(0, longest)))


def random_value(rng: random.Random) -> str:
    """Text with and without quotes, the quotes closed; sometimes with a comment."""
    pieces = []
    for _ in range(rng.randint(1, 4)):
        plain = "".join(rng.choice(CHARACTERS) for _ in range(rng.randint(1, 8)))
        inner = random_text(rng, 8).replace('"', '\\"')
        # A backslash at the end would keep the quotes open.
        pieces.append(plain if rng.random() < 0.6 else f'"{inner.rstrip(chr(92))}"')
    return "".join(pieces)


def is_accepted(line: str) -> bool:
    command = [PROGRAM, "--test", "--conf-file=-"]
    return subprocess.run(command, input=line, text=True, capture_output=True, check=False).returncode == 0


def test_text_that_we_quote_is_what_dnsmasq_reads(namespace: NamedNamespace, tmp_path: Path) -> None:
    rng = random.Random(1)
    texts = [f"x{random_text(rng, 100)}x" for _ in range(300)]
    config = "".join(f"txt-record=t{i}.test,{quoted(text)}\n" for i, text in enumerate(texts))
    with running(Daemon(namespace, tmp_path, config)):
        for i, text in enumerate(texts):
            assert strings(answer(namespace, f"t{i}.test", TEXT_RECORD)[0]) == [text]


def test_values_that_we_read_are_those_that_dnsmasq_reads(namespace: NamedNamespace, tmp_path: Path) -> None:
    rng = random.Random(2)
    candidates = [f"txt-record=t{i}.test,{random_value(rng)}" for i in range(600)]
    # dnsmasq exits if a quote is not closed, so there is nothing to compare.
    lines = [line for line in candidates if is_accepted(line)]
    assert len(lines) > 300
    # Two quotes in a row are parsed differently.
    assert any('""' in line for line in lines)
    with running(Daemon(namespace, tmp_path, "".join(f"{line}\n" for line in lines))):
        for line in lines:
            name = line[len("txt-record=") : line.index(",")]
            # Only TXT keeps the spaces around its commas.
            our_reading = [text.strip(" ") for text in next(iter(read_lines(line, "x"))).fields[1:]]
            dnsmasq_reading = [text.strip(" ") for text in strings(answer(namespace, name, TEXT_RECORD)[0])]
            assert [text for text in our_reading if text] == [text for text in dnsmasq_reading if text], line


@pytest.mark.parametrize(
    "suffixes", ["", ",*.conf", ",.conf", ",*", ",*.conf,*.bak", ",*.conf,x.conf", ", .bak , *f", ",,", ',"*.conf"']
)
def test_files_of_a_folder_that_we_read_are_those_that_dnsmasq_reads(
    namespace: NamedNamespace, tmp_path: Path, suffixes: str
) -> None:
    names = [
        "a.conf",
        "x.conf",
        ".conf",
        "b.bak",
        "c",
        ".hidden",
        "d~",
        "#e#",
        "#f",
        "g#",
        "virtnet-a.conf.tmp",
        "conf",
    ]
    folder = tmp_path / "more"
    folder.mkdir()
    for i, name in enumerate(names):
        (folder / name).write_text(f"host-record=f{i}.test,10.9.9.{i + 1}\n")
    (folder / "directory.conf").mkdir()
    daemon = Daemon(namespace, tmp_path, f"conf-dir={folder}{suffixes}\n")
    config = read_config(daemon.command, HostReader(), daemon.paths.dnsmasq_fragments)
    our_names = {setting.fields[0] for setting in config.named("host-record")}
    with running(daemon):
        dnsmasq_names = {f"f{i}.test" for i in range(len(names)) if answer(namespace, f"f{i}.test", ADDRESS_RECORD)}
    assert our_names - {"www.example.test"} == dnsmasq_names


def test_a_file_included_twice_is_read_once_and_a_conf_script_is_run(namespace: NamedNamespace, tmp_path: Path) -> None:
    extra = tmp_path / "extra.conf"
    extra.write_text("address=/order.test/10.9.9.1\n")
    (tmp_path / "again.conf").symlink_to(extra)
    config_text = (
        f"conf-file={extra}\nconf-file={tmp_path}/again.conf\nconf-script=echo host-record=script.test,10.9.9.3\n"
    )
    daemon = Daemon(namespace, tmp_path, config_text)
    config = read_config(daemon.command, HostReader(), daemon.paths.dnsmasq_fragments)
    assert len(config.named("address")) == 1
    with running(daemon):
        assert answer(namespace, "script.test", ADDRESS_RECORD) == [bytes([10, 9, 9, 3])]
    assert [setting.value for setting in config.named("host-record")][-1] == "script.test,10.9.9.3"


@pytest.mark.parametrize(
    "words",
    [
        ["-zk"],
        ["-zp53"],
        ["-z", "-p", "53"],
        ["--port=53", "--bind-interfaces"],
        ["--port", "53", "-o"],
        ["--user", "-z"],
    ],
)
def test_words_that_we_read_as_options_are_read_so_by_dnsmasq(words: list[str]) -> None:
    again = [word for argument in read_arguments(words) for word in argument.words]
    for command in (words, again):
        assert run([PROGRAM, "--test", "-C", "/dev/null", *command]).stderr.strip() == "dnsmasq: syntax check OK."


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_spelling_hides_a_line_from_the_warning(data: st.DataObject) -> None:
    """dnsmasq names the file that it cannot read whenever it parses a line as this option."""
    line = "conf-file=/nowhere"
    for _change in range(data.draw(st.integers(0, 5))):
        position, removed = data.draw(st.integers(0, len(line))), data.draw(st.integers(0, 1))
        inserted = data.draw(st.sampled_from(['"', " ", "\t", "\\", "#", '""', '"c"', "\\t", "=", "-"]))
        line = line[:position] + inserted + line[position + removed :]
    result = subprocess.run(
        [PROGRAM, "--test", "--conf-file=-"], input=f"{line}\n", text=True, capture_output=True, timeout=60
    )
    if "cannot read" in result.stderr:
        assert list(line_dangers([line])), line


def test_command_of_debians_helper_is_accepted_by_dnsmasq(tmp_path: Path) -> None:
    defaults = (
        f"CONFIG_DIR={tmp_path},.dpkg-dist\nDNSMASQ_OPTS='-C /dev/null'\nDNSMASQ_INTERFACE=eth0\nDNSMASQ_EXCEPT=lo\n"
    )
    assert run([*(debian_command(defaults) or ()), "--test"]).stderr.strip() == "dnsmasq: syntax check OK."


# Each example starts dnsmasq, so there are few examples with much content. They are always the same: a failure
# must be reproducible.
FEW_EXAMPLES = settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
TEXTS = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | st.sampled_from(" #\"\\,.:='%"), min_size=1
)
# Also texts that dnsmasq parses as addresses, times and keywords.
WORDS = st.sampled_from(["12h", "infinite", "ignore", "5", "1.2.3.4", "::1", "tag", "id", "set", "#", "*", "-a", "_x"])
LABELS = st.text(string.ascii_letters + string.digits + '-_.,:#*"/ =', min_size=1, max_size=20) | WORDS
CLIENT_IDS = st.from_regex(r"[0-9a-f]{2}(:[0-9a-f]{2}){1,9}", fullmatch=True)
NETWORK = {"name": "lab", "interface": "virt0", "address": "192.168.100.1/24", "domain": "virt.test"}


def accepted_spec(**options: object) -> dnsmasq_spec.FragmentSpec | None:
    try:
        return dnsmasq_spec.FragmentSpec.from_options(Options({**NETWORK, **options}))
    except InvalidOption:
        return None


CONTEXT = RenderContext(version=(2, 90))


def rendered(spec: dnsmasq_spec.FragmentSpec) -> str:
    return render(spec, CONTEXT)


def host_rows(spec: dnsmasq_spec.FragmentSpec) -> list[str]:
    (text,) = hosts_files(spec, CONTEXT).values()
    return text.removeprefix(HEADER).splitlines()


@FEW_EXAMPLES
@given(st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=30))
def test_any_text_of_a_record_is_what_dnsmasq_answers(namespace: NamedNamespace, values: list[list[str]]) -> None:
    records = [{"name": f"t{i}", "value": value} for i, value in enumerate(values)]
    specs = [accepted_spec(names={"txt": [record]}) for record in records]
    lines = [rendered(spec) if spec else "" for spec in specs]
    with open_folder() as folder, running(Daemon(namespace, folder, "".join(lines))):
        for i, spec in enumerate(specs):
            if spec is not None:
                assert strings(answer(namespace, f"t{i}.virt.test", TEXT_RECORD)[0]) == values[i]


@FEW_EXAMPLES
@given(st.lists(LABELS, min_size=1, max_size=30))
def test_any_name_that_is_accepted_is_one_that_dnsmasq_answers(namespace: NamedNamespace, names: list[str]) -> None:
    """And no other row results from it."""
    expected: dict[str, int] = {}
    rows: list[str] = []
    for i, name in enumerate(names):
        spec = accepted_spec(names={"hosts": [{"ip": f"10.9.9.{i + 1}", "names": [name]}]}, instance="system")
        if spec is not None and spec.names.hosts[0].names[0] not in expected:
            expected[spec.names.hosts[0].names[0]] = i + 1
            assert len(host_rows(spec)) == 1
            rows += host_rows(spec)
    with open_folder() as folder, running(Daemon(namespace, folder, f"addn-hosts={folder}/names\n")) as daemon:
        (folder / "names").write_text("".join(f"{row}\n" for row in rows))
        daemon.restart()
        for name, number in expected.items():
            assert answer(namespace, name, ADDRESS_RECORD) == [bytes([10, 9, 9, number])]


@FEW_EXAMPLES
@given(
    st.lists(st.tuples(LABELS, LABELS | st.from_regex(r"[0-9a-f]{2}(:[0-9a-f]{2}){1,9}", fullmatch=True)), max_size=30)
)
def test_any_static_host_that_is_accepted_is_the_one_that_dnsmasq_knows(
    namespace: NamedNamespace, pairs: list[tuple[str, str]]
) -> None:
    """A guest has a lease already, by its client id; dnsmasq learns its name from the host's row."""
    # Without the tag of the bridge, as before 2.81, because dnsmasq does not know the bridge of a lease.
    context = replace(CONTEXT, version=(2, 80))
    expected: dict[str, int] = {}
    ids: set[bytes] = set()
    rows, leases = [], []
    for i, (name, word) in enumerate(pairs, 2):
        host = {"id": word, "name": name, "ip": f"192.168.100.{i}"}
        spec = accepted_spec(hosts=[host], ranges=[{"start": "192.168.100.100", "end": "192.168.100.200"}])
        if spec is None or spec.hosts[0].name.lower() in expected:
            continue
        known_by = spec.hosts[0].id
        client = bytes.fromhex(known_by.replace(":", "")) if ":" in known_by else known_by.encode()
        if client in ids:
            continue
        ids.add(client)
        expected[spec.hosts[0].name.lower()] = i
        rows += hosts_files(spec, context)[dhcp_file(context.hosts_folder, "lab")].removeprefix(HEADER).splitlines()
        leases.append(f"0 52:54:00:00:00:{i:02x} 192.168.100.{i} * {client.hex(':')}")
    assert len(rows) == len(expected)
    with open_folder() as folder:
        (folder / "rows").write_text("".join(f"{row}\n" for row in rows))
        (folder / "leases").write_text("".join(f"{lease}\n" for lease in leases))
        config = (
            f"dhcp-hostsfile={folder}/rows\ndhcp-range=192.168.100.100,192.168.100.200,255.255.255.0\n"
            "domain=virt.test,192.168.100.0/24,local\n"
        )
        with running(Daemon(namespace, folder, config)):
            for name, number in expected.items():
                assert answer(namespace, f"{name}.virt.test", ADDRESS_RECORD) == [bytes([192, 168, 100, number])]


@FEW_EXAMPLES
@given(st.lists(st.tuples(LABELS, LABELS), max_size=30))
def test_any_service_that_is_accepted_is_one_that_dnsmasq_answers(
    namespace: NamedNamespace, pairs: list[tuple[str, str]]
) -> None:
    expected: dict[str, int] = {}
    lines = []
    for i, (service, domain) in enumerate(pairs, 1):
        record = {"service": service, "protocol": "tcp", "domain": domain, "target": "t", "port": i}
        spec = accepted_spec(names={"srv": [record]})
        if spec is not None and spec.names.srv[0].name.lower() not in expected:
            expected[spec.names.srv[0].name.lower()] = i
            lines += [line for line in rendered(spec).splitlines() if line.startswith("srv-host=")]
    assert len(lines) == len(expected)
    with open_folder() as folder, running(Daemon(namespace, folder, "".join(f"{line}\n" for line in lines))):
        for name, number in expected.items():
            (data,) = answer(namespace, name, SERVICE_RECORD)
            assert data[:6] == bytes([0, 0, 0, 0, 0, number])


@pytest.fixture(scope="module")
def testbed() -> Iterator[DnsmasqTestbed]:
    with new_testbed() as testbed:
        testbed.bridge()
        testbed.plug()
        yield testbed


@FEW_EXAMPLES
@given(TEXTS.filter(lambda text: len(text.encode()) <= 100))
def test_any_text_of_an_option_and_any_file_is_what_a_guest_gets(testbed: DnsmasqTestbed, text: str) -> None:
    text = text.strip() or "x"
    spec = accepted_spec(
        ranges=[{"start": "192.168.100.2", "end": "192.168.100.99"}],
        # A comma separates values, and dnsmasq itself reports that hexadecimal bytes are no text.
        options={"224": f"x{text}x".replace(",", ";")},
        boot={"file": f"x{text}x"},
    )
    assert spec is not None
    with open_folder() as folder, serving(testbed, folder, rendered(spec)):
        lease = lease_with_options(testbed.guest, folder, "-O", "224")
    assert bytes.fromhex(lease["opt224"]).decode() == f"x{text}x".replace(",", ";")
    assert lease["boot_file"] == f"x{text}x"
