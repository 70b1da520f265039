"""Prints a line before everything that takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def print_progress(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    print_progress(f"{text} ...")
    began = time.monotonic()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        print_progress(f"{text}: {outcome} {time.monotonic() - began:.1f} s")
