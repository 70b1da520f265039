"""A whole lab: its internet, its hosts, their images."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import image, netns
from .host import LABEL, Host
from .internet import Internet
from .podman import podman
from .progress import step

STATE = Path("/run/virtnet-lab")
MAX_HOSTS = 200
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")


@dataclass(frozen=True)
class Lab:
    name: str

    def __post_init__(self) -> None:
        if not NAME_PATTERN.match(self.name):
            raise ValueError(f"not a name for a lab: {self.name!r}")

    @property
    def state(self) -> Path:
        return STATE / self.name

    @property
    def internet(self) -> Internet:
        return Internet(self._namespace("internet"), self.state)

    def up(self, images: Mapping[str, str]) -> None:
        """Makes the lab have these hosts (name: image). Hosts that run as they should are not touched."""
        self.state.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as pool:
            references = dict(zip(images, pool.map(image.ensure, images.values()), strict=True))
        for host in self.hosts():
            if host.name not in images:
                host.remove()
        self._register(list(images))
        if self.internet.ensure() or not all(self.host(name).runs(ref) for name, ref in references.items()):
            with step(f"lab {self.name}: boot {', '.join(images)}"):
                for name, reference in references.items():
                    self.host(name).ensure(reference)
        for name in set(images.values()):
            image.prune(name)

    def down(self) -> None:
        """Removes everything with the lab's name, in any state."""
        for container in podman("ps", "--all", "--quiet", "--filter", f"label={LABEL}={self.name}").split():
            podman("rm", "--force", "--time", "0", container)
        for namespace in netns.path("").glob(self._namespace("*")):
            netns.drop(namespace.name)
        shutil.rmtree(self.state, ignore_errors=True)

    def hosts(self) -> list[Host]:
        return [self._host(number, name) for name, number in self._numbers().items()]

    def host(self, name: str) -> Host:
        for host in self.hosts():
            if host.name == name:
                return host
        raise KeyError(f"lab {self.name} has no host {name}")

    @property
    def _registry(self) -> Path:
        return self.state / "hosts.json"

    def _numbers(self) -> dict[str, int]:
        return dict(json.loads(self._registry.read_text())) if self._registry.exists() else {}

    def _register(self, names: list[str]) -> None:
        """A host keeps its number, and so its address, when other hosts are added or removed."""
        kept = {name: number for name, number in self._numbers().items() if name in names}
        free = (number for number in range(1, MAX_HOSTS + 1) if number not in kept.values())
        self._registry.write_text(json.dumps({name: kept.get(name) or next(free) for name in names}))

    def _host(self, number: int, name: str) -> Host:
        return Host(name, number, self.name, self._namespace(name), self.state, self.internet)

    def _namespace(self, name: str) -> str:
        # The dot keeps lab "a" from matching names of lab "a-b": names of labs have no dots.
        return f"virtnet-{self.name}.{name}"


def running() -> list[str]:
    """All labs of which anything exists, also after a crash or a reboot of the machine."""
    labels = podman("ps", "--all", "--filter", f"label={LABEL}", "--format", f'{{{{index .Labels "{LABEL}"}}}}').split()
    namespaces = [
        namespace.name.removeprefix("virtnet-").partition(".")[0] for namespace in netns.path("").glob("virtnet-*.*")
    ]
    return sorted({folder.name for folder in STATE.glob("*")} | set(labels) | set(namespaces))
