# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of the guides, from docs/docsite/drawings.yml: boxes on a grid and straight arrows, as SVG.

``python tests/tools/drawings.py`` writes them next to the guides; a test compares them. Each has colours for light and
dark pages and a background, so that it is legible on any page.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "docs" / "docsite" / "drawings.yml"
FOLDER = ROOT / "docs" / "docsite" / "rst"

STEP = 10
LETTER = 7.3
LINE = 16
STYLE = """
  svg { --ground: #ffffff; --ink: #1f2933; --line: #52606d; --no: #b42318; --back: #1d6fb8;
        --guest: #e3f2e6; --link: #e4eefa; --rule: #fdf3d8; --service: #f1e7fa; --file: #f0f2f4; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #14181d; --ink: #e6eaee; --line: #9fb0c0; --no: #ff8a7a; --back: #7cc0ff;
          --guest: #1f3a27; --link: #1d324a; --rule: #40361a; --service: #372547; --file: #2a3037; } }
  text { font: 12px monospace; fill: var(--ink); text-anchor: middle; }
  .ground { fill: var(--ground); }
  .box { stroke: var(--line); stroke-width: 1.2; }
  .first { font-weight: bold; }
  .go { stroke: var(--line); fill: none; stroke-width: 1.6; } .tip-go { fill: var(--line); }
  .back { stroke: var(--back); fill: none; stroke-width: 1.6; stroke-dasharray: 6 3; } .tip-back { fill: var(--back); }
  .no { stroke: var(--no); fill: none; stroke-width: 1.6; stroke-dasharray: 2 3; } .tip-no { fill: var(--no); }
"""


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    text: tuple[str, ...]

    @classmethod
    def of(cls, data: dict[str, Any]) -> Box:
        """A box of the source; ValueError if its text does not fit."""
        (x, y), (width, height) = data["at"], data["size"]
        box = cls(x * STEP, y * STEP, width * STEP, height * STEP, data["kind"], tuple(data["text"]))
        if max(map(len, box.text)) * LETTER > box.width - 6 or len(box.text) * LINE > box.height - 4:
            raise ValueError(f"{data['id']}: the text is larger than the box")
        return box

    def svg(self) -> str:
        """The rectangle with its lines of text in the middle."""
        top = self.y + self.height / 2 - (len(self.text) - 1) * LINE / 2 + 4
        style = f'style="fill: var(--{self.kind})"'
        lines = [
            f'  <rect class="box" x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}"'
            f' rx="6" {style}/>'
        ]
        for i, line in enumerate(self.text):
            mark = ' class="first"' if i == 0 else ""
            lines.append(f'  <text{mark} x="{self.x + self.width / 2:g}" y="{top + i * LINE:g}">{escape(line)}</text>')
        return "\n".join(lines)


def between(a: Box, b: Box, shift: float) -> tuple[float, float, float, float]:
    """A straight line between two boxes; ValueError if there is none."""
    low, high = max(a.y, b.y), min(a.y + a.height, b.y + b.height)
    if low < high:
        y = (low + high) / 2 + shift * STEP
        return (a.x + a.width, y, b.x, y) if a.x < b.x else (a.x, y, b.x + b.width, y)
    left, right = max(a.x, b.x), min(a.x + a.width, b.x + b.width)
    if left >= right:
        raise ValueError("no straight line leads from one to the other")
    x = (left + right) / 2 + shift * STEP
    return (x, a.y + a.height, x, b.y) if a.y < b.y else (x, a.y, x, b.y + b.height)


def arrow(data: dict[str, Any], boxes: dict[str, Box]) -> str:
    """An arrow, with its text above it or beside it."""
    kind, text = data.get("kind", "go"), data.get("text", "")
    x1, y1, x2, y2 = between(boxes[data["from"]], boxes[data["to"]], data.get("shift", 0))
    lines = [f'  <path class="{kind}" d="M {x1:g} {y1:g} L {x2:g} {y2:g}" marker-end="url(#tip-{kind})"/>']
    if y1 == y2 and len(text) * LETTER > abs(x2 - x1) - 10:
        raise ValueError(f"{text}: the text is longer than the arrow")
    if text and y1 == y2:
        lines.append(f'  <text x="{(x1 + x2) / 2:g}" y="{y1 - 6:g}">{escape(text)}</text>')
    elif text:
        place = f'x="{x1 + 8:g}" y="{(y1 + y2) / 2 + 4:g}"'
        lines.append(f'  <text style="text-anchor: start" {place}>{escape(text)}</text>')
    return "\n".join(lines)


def drawing(data: dict[str, Any]) -> str:
    """One figure as SVG."""
    width, height = (number * STEP for number in data["size"])
    boxes = {item["id"]: Box.of(item) for item in data["boxes"]}
    tips = "\n".join(
        f'    <marker id="tip-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        f' orient="auto"><path class="tip-{kind}" d="M 0 0 L 8 4 L 0 8 z"/></marker>'
        for kind in ("go", "back", "no")
    )
    parts = [*(box.svg() for box in boxes.values()), *(arrow(item, boxes) for item in data["arrows"])]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img">\n  <title>{escape(data["title"])}</title>\n  <style>{STYLE}  </style>\n'
        f"  <defs>\n{tips}\n  </defs>\n"
        f'  <rect class="ground" width="{width}" height="{height}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def drawings() -> dict[Path, str]:
    """Every figure by its file name."""
    return {FOLDER / f"{name}.svg": drawing(data) for name, data in yaml.safe_load(SOURCE.read_text()).items()}


if __name__ == "__main__":
    for file, text in drawings().items():
        file.write_text(text)
