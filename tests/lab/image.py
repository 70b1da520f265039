"""Images of hosts: built by mmdebstrap from tests/images, stored under a hash of their definition."""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .podman import ask, podman
from .progress import print_progress, step
from .run import run

ROOT = Path(__file__).parents[1] / "images"
BUILD_SECONDS = 900
Layer = dict[str, Any]


@dataclass(frozen=True)
class Image:
    name: str
    suite: str
    packages: tuple[str, ...]
    mask: tuple[str, ...]
    run: tuple[str, ...]
    files: Path

    @property
    def repository(self) -> str:
        return f"localhost/virtnet-{self.name}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:{self._hash()}"

    def _hash(self) -> str:
        digest = hashlib.sha256(repr((self.suite, self.packages, _hooks(self, "FILES"))).encode())
        for file in sorted(path for path in self.files.rglob("*") if path.is_file()):
            digest.update(f"{file.relative_to(self.files)} {file.stat().st_mode & 0o100:o}\n".encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()[:12]


def names() -> list[str]:
    return sorted(_definitions()["image"])


def define(name: str) -> Image:
    layers = [_definitions()["common"], *_lineage(name)]

    def joined(word: str) -> list[str]:
        return [item for layer in layers for item in layer.get(word, [])]

    packages = tuple(sorted(set(joined("packages")) - set(joined("without"))))
    suite = next(layer["suite"] for layer in reversed(layers) if "suite" in layer)
    return Image(name, suite, packages, tuple(joined("mask")), tuple(joined("run")), ROOT / "files")


def _lineage(name: str) -> list[Layer]:
    """The image's layer and those that it extends, the most general first."""
    known = _definitions()["image"]
    if name not in known:
        raise KeyError(f"no image called {name}: there are {', '.join(names())}")
    layer = known[name]
    return [*(_lineage(layer["like"]) if "like" in layer else []), layer]


def ensure(name: str) -> str:
    """Builds the image unless it exists, and returns its reference."""
    image = define(name)
    if ask("image", "exists", image.reference).ok:
        return image.reference
    with _one_builder_at_a_time(name):
        if not ask("image", "exists", image.reference).ok:
            _build(image)
    return image.reference


def prune(name: str) -> None:
    """Removes images of older definitions; an image that a container still uses stays."""
    image = define(name)
    for reference in _references(image.repository):
        if reference != image.reference and ask("rmi", reference).ok:
            print_progress(f"removed the older image {reference}")


def remove_all() -> None:
    for reference in _references("localhost/virtnet-*"):
        podman("rmi", reference)


def _references(pattern: str) -> list[str]:
    listed = podman("images", "--filter", f"reference={pattern}", "--format", "{{.Repository}}:{{.Tag}}")
    return listed.split()


def _build(image: Image) -> None:
    with tempfile.TemporaryDirectory(prefix="virtnet-image-", dir="/var/tmp") as folder:
        archive = str(Path(folder) / "root.tar")
        with step(f"image {image.name}: Debian {image.suite} with {len(image.packages)} packages (some 40 s)"):
            run([*_recipe(image), image.suite, archive], timeout=BUILD_SECONDS)
        with step(f"image {image.name}: import"):
            podman("import", "--change", "CMD /sbin/init", archive, image.reference, timeout=BUILD_SECONDS)


def _recipe(image: Image) -> list[str]:
    hooks = _hooks(image, str(image.files))
    return [
        "mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(image.packages), *_freshness(),
        *(f"--customize-hook={hook}" for hook in hooks),
    ]  # fmt: skip


def _freshness() -> list[str]:
    """The machine's setting of whether the index of a mirror may be out of date: mmdebstrap has its own apt.conf."""
    setting = run(["apt-config", "dump", "--no-empty", "Acquire::Check-Valid-Until"]).strip()
    return [f"--aptopt={setting}"] if setting else []


def _hooks(image: Image, files: str) -> list[str]:
    return [
        f'copy-in "{files}/etc" "{files}/usr" /',
        'chroot "$1" systemctl mask ' + " ".join(image.mask),
        'rm -f "$1/etc/resolv.conf" "$1/etc/hostname"; : > "$1/etc/machine-id"',
        'printf "127.0.0.1 localhost\\n::1 localhost\\n" > "$1/etc/hosts"',
        'rm -rf "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale"',
        *image.run,
    ]


def _definitions() -> dict[str, Any]:
    return tomllib.loads((ROOT / "images.toml").read_text())


@contextmanager
def _one_builder_at_a_time(name: str) -> Iterator[None]:
    with Path(f"/run/lock/virtnet-image-{name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
