# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files for network managers, and what their configuration claims; without a manager."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.network_managers import (
    ManagedBridgeReconciler,
    ManagedState,
    Managers,
    names_in,
    plan_files,
    read_claims,
    read_managers,
    read_uplinks,
)
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.reconciler import BridgeReconciler
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.state import BridgeState
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.uplink import Uplink, Uplinks
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from hypothesis import given
from hypothesis import strategies as st

NM, NETWORKD = "etc/NetworkManager/conf.d/virtnet.conf", "etc/systemd/network/00-virtnet.network"
TAPS, UDEV = "etc/systemd/network/01-virtnet-taps.network", "etc/udev/rules.d/86-virtnet-taps.rules"
BOTH = Managers({NM: None, NETWORKD: None, TAPS: None, UDEV: None})


def spec(name: str, **more: object) -> BridgeSpec:
    return BridgeSpec.from_options(Options({"name": name, **more}))


def after(managers: Managers, changes) -> Managers:
    files = {**managers.files, **{change.path: change.content for change in changes}}
    return replace(managers, files=files)


def test_each_manager_has_a_file_that_names_bridges_and_ports() -> None:
    changes = plan_files([spec("vn-lab", ports=["eth1"])], False, BOTH)
    texts = {change.path: change.content for change in changes}
    assert texts[NM].endswith(
        "[keyfile]\nunmanaged-devices+=interface-name:eth1;interface-name:vn-lab;interface-name:tap*;interface-name:vnet*\n"
    )
    assert texts[NETWORKD].endswith("[Match]\nName=eth1 vn-lab tap* vnet*\n\n[Link]\nUnmanaged=yes\n")


def test_a_tap_pattern_is_left_out_where_a_configuration_names_such_a_link() -> None:
    (change,) = plan_files([spec("vn-lab")], False, Managers({NETWORKD: None}, {"tap0": "somebody"}))
    assert "Name=vn-lab vnet*\n" in (change.content or "")


def test_taps_of_any_name_are_unmanaged_except_those_that_a_configuration_names() -> None:
    changes = {change.path: change for change in plan_files([spec("vn-lab")], False, BOTH)}
    assert changes[TAPS].content.endswith("[Match]\nDriver=tun\nType=ether\n\n[Link]\nUnmanaged=yes\n")
    assert changes[UDEV].content.endswith('ATTR{tun_flags}=="?*", ATTR{type}=="1", ENV{NM_UNMANAGED}="1"\n')
    named = replace(BOTH, claims={"*": "everything", "vpn*": "somebody", "eth0": "somebody", '"|': "a mistake"})
    changes = {change.path: change for change in plan_files([spec("vn-lab")], False, named)}
    assert 'Name=!"| eth0 vpn*\n' in changes[TAPS].content
    assert ', ENV{INTERFACE}!="eth0|vpn*", ENV{NM' in changes[UDEV].content
    assert TAPS not in {change.path for change in plan_files([spec("vn-lab")], False, replace(named, taps=True))}


@pytest.mark.parametrize(
    ("match", "taps"),
    [
        ("Kind=tun", True),
        ("Name=!x\nDriver=virtio* tu*", True),
        # As systemd 257 has it for its own guests: those by name are claims.
        ("Kind=tun\nName=vt-*", False),
        ("Kind=veth", False),
        ("Type=ether", False),
    ],
)
def test_a_file_that_matches_drivers_is_found(tmp_path: Path, match: str, taps: bool) -> None:
    folder = tmp_path / "etc/systemd/network"
    folder.mkdir(parents=True)
    (folder / "x.network").write_text(f"[Match]\n{match}\n\n[Network]\nDHCP=yes\n")
    (tmp_path / TAPS).write_text("[Match]\nDriver=tun\n")
    assert read_managers(str(tmp_path)).taps is taps


def test_without_a_manager_there_is_no_file() -> None:
    assert plan_files([spec("vn-lab")], False, Managers()) == []


NAMES = st.lists(st.from_regex(r"vn-[a-z]{1,4}", fullmatch=True), unique=True, max_size=5)


@given(NAMES, NAMES)
def test_the_second_run_changes_nothing_and_absent_bridges_leave_no_file(first: list[str], second: list[str]) -> None:
    current = after(BOTH, plan_files([spec(name) for name in first], False, BOTH))
    both = after(current, plan_files([spec(name) for name in second], False, current))
    assert plan_files([spec(name) for name in second], False, both) == []
    assert {name for name in names_in(both.files[NM])} == {*first, *second} == {*names_in(both.files[NETWORKD])}
    absent = [spec(name, state="absent") for name in {*first, *second}]
    assert after(both, plan_files(absent, False, both)) == BOTH
    assert after(both, plan_files([], True, both)) == BOTH


def test_configuration_that_claims_a_bridge_is_found(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write("etc/network/interfaces", "auto lo\niface lo inet loopback\nsource interfaces.d/*\n")
    write("etc/network/interfaces.d/br", "auto br-up\niface br-up inet static\n")
    write("etc/systemd/network/br.netdev", "[NetDev]\nName=br-nd\nKind=bridge\n")
    write("run/systemd/network/10-netplan-br0.network", "[Match]\nName=br-np br-nq\n\n[Network]\nDHCP=yes\n")
    write("etc/NetworkManager/system-connections/b", "[connection]\ntype=bridge\ninterface-name=br-nm\n")
    write("run/NetworkManager/system-connections/x", "[connection]\ninterface-name=x\n[.nmmeta]\nnm-generated=true\n")
    write("etc/systemd/network/not.network", "[Match]\nName=!br-other eth9\n")
    write(NETWORKD, "[Match]\nName=vn-lab\n")
    write("etc/sysconfig/network/ifcfg-br-suse", "STARTMODE='auto'\nBRIDGE='yes'\n")
    write("etc/sysconfig/network/ifcfg-br-old.rpmsave", "BRIDGE='yes'\n")
    write("etc/sysconfig/network/ifcfg.template", "BRIDGE='yes'\n")
    write("etc/sysconfig/network-scripts/ifcfg-Bridge", 'TYPE=Bridge\nDEVICE="br-rh"\n')
    claims = read_claims(str(tmp_path))
    assert set(claims) == {"lo", "br-up", "br-nd", "br-np", "br-nq", "br-nm", "br-suse", "br-rh"}
    assert claims["br-suse"] == "wicked (/etc/sysconfig/network/ifcfg-br-suse)"
    assert claims["br-rh"] == "NetworkManager (/etc/sysconfig/network-scripts/ifcfg-Bridge)"
    assert claims["br-np"] == "systemd-networkd (/run/systemd/network/10-netplan-br0.network)"
    reconciler = ManagedBridgeReconciler(
        BridgeReconciler([spec("br-nm")], False, Paths(str(tmp_path))), Paths(str(tmp_path))
    )
    with pytest.raises(InvalidOption, match=r"bridge 'br-nm': name: 'br-nm' is managed by NetworkManager \(/etc/Net"):
        reconciler.plan(ManagedState(BridgeState({}), Managers({}, claims)))


def lan(**more: object) -> BridgeSpec:
    return spec("vn-lan", ports=["eth0"], enslave_uplink=True, **more)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("etc/network/interfaces", "iface eth0 inet dhcp\n", "write 'inet manual' there"),
        ("etc/network/interfaces.d/x", "iface eth0 inet manual\niface eth0 inet6 static\n", "interfaces.d/x\\), which"),
        ("etc/network/interfaces", "iface eth0 inet manual\n", ""),
        ("etc/network/interfaces", "iface eth1 inet dhcp\n", ""),
    ],
)
def test_an_uplink_of_ifupdown_is_refused_with_the_remedy(tmp_path: Path, path: str, text: str, message: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    managers = Managers(uplinks=read_uplinks(["eth0"], str(tmp_path), Managers()))
    reconciler = ManagedBridgeReconciler(BridgeReconciler([lan()], False, Paths(str(tmp_path))), Paths(str(tmp_path)))
    eth0 = Link("eth0", 2, addresses=["192.0.2.2/24"])
    current = ManagedState(BridgeState({"eth0": eth0}), managers)
    if message:
        with pytest.raises(InvalidOption, match=message):
            reconciler.plan(current)
    else:
        reconciler.plan(current)
    # The bridge that had the addresses is gone, so the host cannot be reached at all.
    moved = Uplinks({"vn-lan": Uplink("eth0", "", ("192.0.2.2/24",), (), True)})
    lost = BridgeState({"eth0": replace(eth0, addresses=())}, uplinks=moved)
    assert reconciler.plan(replace(current, bridges=lost)).changes
    # The bridge has the addresses of an uplink that is its port already.
    bridge = Link("vn-lan", 3, "bridge", alias="virtnet.linux")
    reconciler.plan(
        replace(current, bridges=BridgeState({"eth0": replace(eth0, master="vn-lan", addresses=()), "vn-lan": bridge}))
    )


def test_an_uplink_of_another_manager_is_refused_by_name() -> None:
    reconciler = ManagedBridgeReconciler(BridgeReconciler([lan()], False, Paths("/nowhere")), Paths("/nowhere"))
    managers = Managers(uplinks={"eth0": "NetworkManager"})
    with pytest.raises(InvalidOption, match="'eth0' is managed by NetworkManager, .*; let that make the bridge, "):
        reconciler.plan(ManagedState(BridgeState({"eth0": Link("eth0", 2)}), managers))
    assert reconciler.plan(ManagedState(BridgeState({"eth0": Link("eth0", 2)}), Managers())).changes


def test_an_installed_manager_is_found_by_its_files(tmp_path: Path) -> None:
    assert read_managers(str(tmp_path)) == Managers()
    (tmp_path / "usr/lib/systemd").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/systemd-networkd").touch()
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/NetworkManager").touch()
    assert read_managers(str(tmp_path)) == BOTH
