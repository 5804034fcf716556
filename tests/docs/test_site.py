"""The built pages in a browser, at a desk and on a phone: nothing sticks out, complains or is fetched."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from browser import browsing, found

ROOT = Path(__file__).parents[2]
PROGRAM = found()
WIDTHS = (1280, 360)

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium is installed here")


def pages(menu):
    """Yield the pages of a menu, in its order."""
    for entry in menu:
        for inside in entry.values() if isinstance(entry, dict) else [entry]:
            yield from [inside] if isinstance(inside, str) else pages(inside)


MENU = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
PAGES = [page for page in pages(MENU) if page.endswith(".md")]

WIDEST = """(() => {
  const wide = one => one.getBoundingClientRect().right > innerWidth + 1;
  const scrolls = one => getComputedStyle(one).overflowX !== "visible";
  const held = one => one !== document.body && (scrolls(one) || held(one.parentElement));
  const found = [...document.querySelectorAll("article *")].filter(one => wide(one) && !held(one));
  return found.slice(0, 3).map(one => one.outerHTML.slice(0, 120));
})()"""
"""What reaches beyond the screen and cannot be scrolled to."""

UNREAD = "[...document.images].filter(one => one.complete && !one.naturalWidth).map(one => one.src)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the built pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=ROOT, env=quiet, check=True, capture_output=True)

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(PROGRAM, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_and_is_whole(site, browser, page):
    """Fails if a table or a line of code widens the page, a picture is missing, or a font is fetched."""
    browser.open(f"{site}/{page.removesuffix('.md').removesuffix('index')}", WIDTHS[0])
    for width in WIDTHS:
        browser.resize(width)
        assert browser.run("document.scrollingElement.scrollWidth") <= width
        assert browser.run(WIDEST) == []
    assert browser.run(UNREAD) == []
    assert browser.complaints() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_that_sticks_out_is_seen(site, browser, width):
    """Fails if the test above could not fail."""
    browser.open(f"{site}/", width)
    browser.run("document.querySelector('article p').style.width = '3000px'; 0")
    assert browser.run("document.scrollingElement.scrollWidth") > width
    assert "width: 3000px" in browser.run(WIDEST)[0]
