# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation as an HTML site in .build/docs/site: builds it, checks its links, prints its pages.

``make docs``. Nothing is downloaded: external links are not checked.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lxml import etree, html

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "docsite" / "rst"
BUILD = ROOT / ".build" / "docs"
SITE = BUILD / "site"
COLLECTION = "virtnet.linux"
TITLE = "virtnet.linux"
# Strict and offline: intersphinx, which the template has, would download files.
SETTINGS = ("extensions=sphinx_antsibull_ext", "html_theme=alabaster", "highlight_language=yaml")
SPHINX = ["-q", "-n", *(word for setting in SETTINGS for word in ("-D", setting))]
# Links of the reference into Ansible's own documentation.
ANSIBLES = re.compile(
    r"undefined label: '(action_plugins|callback_plugins|common_return_values|ansible_configuration_settings"
    r"|ansible_collections\.ansible\.builtin\.\w+)'|reference target not found: ANSIBLE_CACHE_PLUGIN"
)


def run(*command: str) -> str:
    """Run a program; its output is shown if it fails, and its warnings are returned."""
    result = subprocess.run(command, cwd=BUILD, capture_output=True, text=True, check=False, timeout=300)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
    return result.stderr


def build() -> list[str]:
    """Build the reference with antsibull-docs, and HTML of it and the guides; returns the warnings."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    common = ["--use-current", "--squash-hierarchy", "--fail-on-error"]
    words = ["--title", TITLE, "--project", TITLE, "--copyright", "virtnet.linux contributors"]
    run("antsibull-docs", "sphinx-init", *common, *words, "--dest-dir", ".", COLLECTION)
    pages = BUILD / "rst"
    # antsibull-docs does not write into folders that others may write to.
    pages.chmod(0o755)
    run("antsibull-docs", "--config-file", "antsibull-docs.cfg", "collection", *common, "--dest-dir", "rst", COLLECTION)
    for drawing in GUIDES.glob("*.svg"):
        shutil.copy(drawing, pages / "docsite")
    warnings = run("sphinx-build", *SPHINX, "-c", ".", "-b", "html", "rst", str(SITE))
    return [line for line in warnings.splitlines() if line.strip() and not ANSIBLES.search(line)]


def broken(site: Path) -> list[str]:
    """Links and images of the site whose file or anchor does not exist."""
    pages = {path: html.parse(path).getroot() for path in sorted(site.rglob("*.html"))}
    anchors = {path: set(root.xpath("//@id | //a/@name")) for path, root in pages.items()}
    broken_links = []
    for page, root in pages.items():
        for link in sorted(set(root.xpath("//@href | //@src"))):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            place = unquote(parts.fragment)
            if not target.is_file() or (place and place not in anchors.get(target, {place})):
                broken_links.append(f"{page.relative_to(site)}: {link}")
    return broken_links


def title(page: Path) -> str:
    """The title of a page."""
    heading = html.parse(page).find(".//h1")
    words = "" if heading is None else str(etree.tostring(heading, method="text", encoding="unicode"))
    return words.replace("¶", "").strip()


def main() -> None:
    """Build the site, check its links, print its pages."""
    errors = build()
    errors += [f"leads nowhere: {link}" for link in broken(SITE)]
    if errors:
        sys.exit("\n".join(errors))
    pages = [page for page in sorted(SITE.rglob("*.html")) if page.name != "search.html"]
    for page in pages:
        print(f"{page.relative_to(SITE)!s:60} {title(page)}")
    print(f"{len(pages)} pages in {SITE.relative_to(ROOT)}; all links within lead to a place")


if __name__ == "__main__":
    main()
