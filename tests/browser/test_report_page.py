# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as a real browser draws it, at both sizes, in light and dark, on a desk and on a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.plugin_utils.report import as_html, fleet
from fleet_answers import DROPPED, answers, network
from playwright.sync_api import Browser, sync_playwright

SHOTS = Path(__file__).resolve().parents[2] / ".build" / "screenshots"
# In containers and for root there is no sandbox; and nothing is to be fetched.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SMALL = {
    **answers(1, 2),
    "hv01": {"networks": [network(2, 5, packets=[DROPPED])]},
    "hv02": {"msg": "Failed to connect to the host via ssh: no route to host"},
}
LARGE = answers(10, 300)
DESK, TELEPHONE = (1280, 800), (390, 800)

# Pairs of boxes that share a pixel, and boxes whose content is larger than they are.
FAULTS = """() => {
  const faults = [];
  const boxes = [...document.querySelectorAll(".host > h3, .network, .legend span, .totals li")]
    .map(one => [one, one.getBoundingClientRect()]);
  for (let i = 0; i < boxes.length; i++) {
    const [one, a] = boxes[i];
    if (a.left < 0 || a.right > innerWidth) faults.push("outside: " + one.textContent.trim().slice(0, 40));
    for (let j = i + 1; j < boxes.length; j++) {
      const b = boxes[j][1];
      if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
        faults.push("overlap: " + one.textContent.trim().slice(0, 40));
    }
  }
  for (const one of document.querySelectorAll(".network, .findings, header"))
    if (one.scrollWidth > one.clientWidth) faults.push("overflow: " + one.textContent.trim().slice(0, 40));
  if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is wider than the window");
  return faults;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield found
        found.close()


@pytest.mark.parametrize("size", [DESK, TELEPHONE], ids=["desk", "telephone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "told"), [("3-networks", SMALL), ("300-networks", LARGE)])
def test_nothing_overlaps_overflows_or_complains(
    browser: Browser, tmp_path: Path, name: str, told: dict[str, Any], scheme: str, size: tuple[int, int]
) -> None:
    file = tmp_path / "report.html"
    file.write_text(as_html(fleet(told, "2026-11-21 13:00 UTC")))
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    SHOTS.mkdir(parents=True, exist_ok=True)
    shot = SHOTS / f"report-{name}-{scheme}-{size[0]}.png"
    page.screenshot(path=shot, full_page=name.startswith("3-"))
    assert page.evaluate(FAULTS) == []
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.close()


def test_a_search_shows_what_contains_the_text(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(as_html(fleet(LARGE, "2026-11-21 13:00 UTC")))
    page = browser.new_page()
    page.goto(file.as_uri())
    page.fill("#search", "10.0.217.")
    assert page.locator(".network:visible h4").all_inner_texts() == ["net217"]
    assert page.locator(".host:visible").count() == 1
    page.fill("#search", "")
    assert page.locator(".network:visible").count() == 300
    page.close()
