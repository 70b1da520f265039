# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report in a real browser, with few and many hosts, in light and dark, on a desktop and on a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.plugin_utils.report import as_html, fleet
from playwright.sync_api import Browser, Page, sync_playwright
from tools.fleet_answers import DROPPED, answers, network

SCREENSHOTS = Path(__file__).resolve().parents[2] / ".build" / "screenshots"
# There is no sandbox in containers and for root; nothing may be downloaded.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SMALL = {
    **answers(1, 2),
    "hv01": {"networks": [network(2, 5, packets=[DROPPED])]},
    "hv02": {"msg": "Failed to connect to the host via ssh: no route to host"},
}
LARGE = answers(10, 300)
DESKTOP, PHONE = (1280, 800), (390, 800)

# Pairs of boxes that overlap, and boxes whose content is larger than they are.
FAULTS = """() => {
  const faults = [];
  const boxes = [...document.querySelectorAll(".host > h3, .network, .legend label, .hosts li, .totals li")]
    .map(element => [element, element.getBoundingClientRect()]);
  for (let i = 0; i < boxes.length; i++) {
    const [element, a] = boxes[i];
    if (a.left < 0 || a.right > innerWidth) faults.push("outside: " + element.textContent.trim().slice(0, 40));
    for (let j = i + 1; j < boxes.length; j++) {
      const b = boxes[j][1];
      if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
        faults.push("overlap: " + element.textContent.trim().slice(0, 40));
    }
  }
  for (const element of document.querySelectorAll(".network, .findings, header"))
    if (element.scrollWidth > element.clientWidth) faults.push("overflow: " + element.textContent.trim().slice(0, 40));
  if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is wider than the window");
  return faults;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "telephone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "answers"), [("3-networks", SMALL), ("300-networks", LARGE)])
def test_the_page_has_no_overlap_no_overflow_and_no_browser_error(
    browser: Browser, tmp_path: Path, name: str, answers: dict[str, Any], scheme: str, size: tuple[int, int]
) -> None:
    file = tmp_path / "report.html"
    file.write_text(as_html(fleet(answers, "2026-11-21 13:00 UTC")))
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    screenshot = SCREENSHOTS / f"report-{name}-{scheme}-{size[0]}.png"
    page.screenshot(path=screenshot, full_page=name.startswith("3-"))
    assert page.evaluate(FAULTS) == []
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    page.close()


def opened(browser: Browser, folder: Path, answers: dict[str, Any], **context: Any) -> Page:
    file = folder / "report.html"
    file.write_text(as_html(fleet(answers, "2026-11-21 13:00 UTC")))
    page = browser.new_page(**context)
    page.goto(file.as_uri())
    return page


def names(page: Page) -> list[str]:
    return page.locator(".network:visible h4").all_inner_texts()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_link_shows_one_host_in_topology_and_tables(browser: Browser, tmp_path: Path, scripts: bool) -> None:
    page = opened(browser, tmp_path, LARGE, java_script_enabled=scripts)
    page.click("text=hv07")
    assert page.locator(".host:visible h3").all_inner_texts() == ["hv07 30 networks"]
    assert names(page) == [f"net{i}" for i in range(210, 240)]
    page.click("summary >> text=Networks")
    page.click("summary >> text=Guests")
    cells = page.locator("tbody tr:visible td:first-child").all_inner_texts()
    assert cells[:30] == ["hv07"] * 30
    assert set(page.locator("details:last-of-type tbody tr:visible td:nth-child(5)").all_inner_texts()) == {"hv07"}
    page.click("text=All hosts")
    assert len(names(page)) == 300
    page.close()


def test_a_mode_that_is_not_ticked_is_not_shown(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, tmp_path, SMALL, java_script_enabled=False)
    assert names(page) == ["net0", "net1", "net2"]
    page.click("label:has-text('nat: out')")
    assert names(page) == ["net1", "net2"]
    assert page.locator("details:first-of-type tbody tr:visible td:nth-child(2)").all_inner_texts() == ["net1", "net2"]
    page.click("label:has-text('nat: out')")
    assert names(page) == ["net0", "net1", "net2"]
    page.close()


def test_findings_can_be_filtered_and_link_to_their_network(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, tmp_path, SMALL, viewport={"width": 390, "height": 500}, java_script_enabled=False)
    page.click("text=only what is not as it should be")
    assert names(page) == ["net2"]
    assert page.locator(".host:visible h3").all_inner_texts() == ["hv01 1 network", "hv02 0 networks"]
    page.click(".findings a")
    assert page.url.endswith("#hv01--net2")
    (top,) = [page.locator("#hv01--net2").bounding_box()]
    assert top is not None and 0 <= top["y"] < 500
    page.close()


@pytest.mark.parametrize(
    "markup",
    [
        "<script>document.title = 'ran'</script>",
        "<img src=x onerror=\"document.title = 'ran'\">",
        "<style>h1 { display: none }</style>",
        "<h1 style='display: none'>x</h1>",
        "<img src='http://192.0.2.1/x.png'>",
        "<form action='http://192.0.2.1/'><input></form><base href='http://192.0.2.1/'>",
    ],
)
def test_the_policy_stops_what_would_get_past_the_escaping(browser: Browser, tmp_path: Path, markup: str) -> None:
    """A page without escaping: it contains the markup itself."""
    file = tmp_path / "report.html"
    file.write_text(as_html(fleet(SMALL, "2026-11-21 13:00 UTC")).replace("<main>", f"<main>{markup}"))
    page = browser.new_page()
    messages: list[str] = []
    responses: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("response", lambda response: responses.append(response.url))
    page.goto(file.as_uri())
    assert page.title() == "Virtual networks of 3 hosts"
    assert page.locator("h1").first.is_visible()
    assert any("Content Security Policy" in message for message in messages)
    assert [url for url in responses if "192.0.2.1" in url] == []
    page.close()
