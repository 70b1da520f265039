"""The state of the installed engine on a host."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from lab.guest import Guest
from lab.host import Host

ENGINE = PurePosixPath("/usr/local/lib/virtnet/engine")


class Upgraded:
    """A host whose engine is replaced."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.guest = Guest(host, "guest-a")

    def files(self, ending: str) -> set[str]:
        """The files of the engine with this suffix, by their path in its folder."""
        paths = self.host.run(["find", str(ENGINE), "-name", f"*{ending}", "-not", "-path", "*/__pycache__/*"])
        return {str(PurePosixPath(path).relative_to(ENGINE)) for path in paths.split()}

    def folders(self) -> set[str]:
        """Folders of the engine, without those of byte code."""
        paths = self.host.run(["find", str(ENGINE), "-mindepth", "1", "-type", "d", "-not", "-name", "__pycache__"])
        return {str(PurePosixPath(path).relative_to(ENGINE)) for path in paths.split()}

    def guard(self) -> tuple[str, str]:
        """State and process of the guard."""
        show = ["systemctl", "show", "--property=ActiveState,MainPID", "--value", "virtnet.service"]
        process, state = sorted(self.host.run(show).split())
        return state, process


@pytest.fixture
def upgraded(lab_host: Host) -> Upgraded:
    return Upgraded(lab_host)
