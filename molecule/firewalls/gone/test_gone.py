"""Other firewalls have nothing of ours after the teardown. (They wrote files of their own, so the host differs.)"""

from __future__ import annotations

from lab.host import Host

COMMENT = b"virtnet".hex()


def test_no_other_firewall_names_us(lab_host: Host) -> None:
    result = lab_host.attempt(
        ["grep", "-rlE", f"virtnet|{COMMENT}", "/etc/firewalld", "/etc/ufw", "/etc/systemd/system"]
    )
    assert result.out == ""
    for tool in ("iptables-nft", "ip6tables-nft", "iptables-legacy"):
        assert "virtnet" not in lab_host.attempt([tool, "-S"]).out
    assert "virtnet" not in lab_host.run(["nft", "list", "ruleset"])
