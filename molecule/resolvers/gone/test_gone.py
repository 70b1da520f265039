"""No entries of ours remain anywhere. (Other programs wrote files of their own, so the host differs.)"""

from __future__ import annotations

from lab.host import Host


def test_no_file_of_the_host_names_the_engine(lab_host: Host) -> None:
    for folder in ("/etc", "/run/NetworkManager", "/run/resolvconf", "/run/systemd/resolve"):
        files = lab_host.attempt(["grep", "-rlI", "virtnet", folder]).out.split()
        assert [file for file in files if not file.startswith("/etc/network")] == []
    assert "10.80.0.1" not in lab_host.run(["cat", "/etc/resolv.conf"])
    assert lab_host.resolves("www.internet.test")
