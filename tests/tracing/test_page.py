"""The page in a real browser: it says what the replay says, plays to its end and fits every screen."""

from __future__ import annotations

import json
import re

import pytest
import torch
from browser import browsing, found
from helpers import batch, equilibrium, numbers, opinionated, single, trm

from recurlight import Looks, replay
from recurlight.rendering import Drawable
from recurlight.tracing import page
from recurlight.types import IGNORE

from .test_recording import Field, fields

PROGRAM = found()
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no chromium is installed here")


class Digits(Drawable):
    """Token 1 is blank, as in Sudoku."""

    grid_shape, boxes = (4, 4), (2, 2)
    looks = Looks((4, 4), " .1234", marks=("", "", *"1234"), boxes=(2, 2))


class Colors(Drawable):
    grid_shape = (4, 4)


class Symbols(Drawable):
    grid_shape = (1, 16)
    looks = Looks((1, 16), [".", "</script>", "<b>", "&", "10", "x"])


def made(kind):
    """Return the replay of a kind of task."""
    torch.manual_seed(0)
    asked = batch(3, seed=1)
    clueless = asked._replace(labels=torch.full_like(asked.labels, IGNORE))
    return {
        "digits": lambda: replay(opinionated(trm(), 3.0).eval(), asked, Digits(), 1, title="digits <4>"),
        "colors": lambda: replay(equilibrium().eval(), asked, Colors(), 1, title="colors"),
        "symbols": lambda: replay(single().eval(), asked, Symbols(), 1, title="symbols"),
        "no answer": lambda: replay(trm().eval(), clueless, Digits(), 1, title="no answer"),
        "numbers": lambda: replay(fields().eval(), numbers(3), Field(), 1, title="numbers"),
    }[kind]()


KINDS = ("digits", "colors", "symbols", "no answer", "numbers")

SHOWN = """(() => [...document.querySelectorAll("#levels .panel")].map(panel => ({
  level: panel.querySelector("b").textContent,
  tokens: [...panel.querySelectorAll(".cell")].map(cell => Number(cell.dataset.token)),
  texts: [...panel.querySelectorAll(".cell")].map(cell => cell.textContent),
  sure: [...panel.querySelectorAll(".cell")].map(cell => Number(cell.style.getPropertyValue("--c"))),
  wrong: [...panel.querySelectorAll(".cell.wrong")].map(cell => Number(cell.dataset.cell)),
  changed: [...panel.querySelectorAll(".cell.changed")].map(cell => Number(cell.dataset.cell)),
  now: panel.classList.contains("now"),
})))()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(PROGRAM, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def opened(browser, tmp_path):
    """Write the page of a replay and open it."""

    def open_it(replay, width=1280, **features):
        path = tmp_path / "trace.html"
        path.write_text(page(replay), "utf-8")
        browser.open(path, width, **features)
        return browser

    return open_it


def test_the_page_is_small_and_asks_for_nothing():
    text = page(made("digits"))
    assert len(text) < 100_000
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "digits &lt;4&gt;" in text


def test_no_text_of_the_data_ends_the_script():
    text = page(made("symbols"))
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
    assert json.loads(data)["look"]["texts"]["1"] == "</script>"


@needs_browser
@pytest.mark.parametrize("kind", KINDS)
def test_every_update_is_shown_as_it_was(opened, kind):
    """Fails if a cell, a mark or a ring is another than the replay's, on the way on or back."""
    replay = made(kind)
    browser = opened(replay)
    total = len(replay.updates)
    frames = [*range(total + 1), *range(total - 1, total - 4, -1)]
    go = "slider.value = at; slider.dispatchEvent(new Event('input'))"
    shots = browser.run(f"{frames}.map(at => {{ {go}; return {SHOWN}; }})")
    for at, panels in zip(frames, shots, strict=True):
        assert [shown["level"] for shown in panels] == replay.levels
        for shown in panels:
            expected = replay.reading(at, shown["level"])
            wrote = at > 0 and shown["level"] in replay.updates[at - 1].read
            assert shown["tokens"] == expected.tokens
            assert shown["wrong"] == expected.wrong
            assert shown["changed"] == (expected.changed if wrote else [])
            assert shown["now"] == (at > 0 and replay.updates[at - 1].level == shown["level"])
            if expected.confidence:
                known = [1 if sure is None else sure / 100 for sure in expected.confidence]
                assert shown["sure"] == pytest.approx(known)
            if replay.look.written:
                assert shown["texts"] == [replay.look.texts[token] for token in expected.tokens]
    assert browser.complaints() == []


@needs_browser
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(opened, kind, width):
    browser = opened(made(kind), width, prefers_color_scheme="dark")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("[...document.querySelectorAll('.panel, .plot')].every(e => e.clientWidth > 60)")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 25)"
    assert browser.complaints() == []


@needs_browser
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_it_plays_to_the_end(opened, motion):
    """Fails if it does not start, stops halfway, or an error comes up on the way."""
    replay = made("digits")
    browser = opened(replay, prefers_reduced_motion=motion)
    browser.run("speed.options[2].value = 1; speed.selectedIndex = 2; 0")
    seen = """new Promise(done => {
        const frames = [];
        new MutationObserver(() => {
            frames.push(Number(document.body.dataset.frame));
            if (frames.at(-1) === data.updates.length) done(frames);
        }).observe(document.body, {attributes: true});
        const data = JSON.parse(document.getElementById("data").textContent);
        play.click();
    })"""
    total = len(replay.updates)
    ends = [replay.last_update(number) for number in range(1, len(replay.segments) + 1)]
    assert browser.run(seen) == ([*range(1, total + 1)] if motion == "no-preference" else ends)
    assert browser.run("play.textContent") == "Play"
    assert browser.complaints() == []


@needs_browser
def test_keys_move_it(opened):
    replay = made("digits")
    browser, total = opened(replay), len(replay.updates)
    first = replay.last_update(1)
    ways = [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowUp", first), ("ArrowLeft", first - 1)]
    ways += [("ArrowDown", 0), ("End", total), ("ArrowRight", total), ("ArrowDown", replay.last_update(3))]
    for key, frame in [*ways, ("Home", 0)]:
        browser.press(key)
        assert browser.run("Number(document.body.dataset.frame)") == frame, key
    browser.press(" ")
    assert browser.run("play.getAttribute('aria-label')") == "Pause"
    browser.press(" ")
    assert browser.run("play.getAttribute('aria-label')") == "Play"


@needs_browser
def test_it_can_be_read_without_seeing_it(opened):
    """Fails if a control or a picture has no name, or the place is not told."""
    replay = made("digits")
    browser = opened(replay)
    nameless = "[...document.querySelectorAll('button, input, [role=img]')].filter(e => !e.ariaLabel).length"
    assert browser.run(nameless) == 0
    browser.press("End")
    told = f"Segment 4 of 4, cycle 2, update 6 of 6: answer|{len(replay.reading(24).wrong)} wrong"
    place, state = told.split("|")
    assert browser.run("slider.getAttribute('aria-valuetext')") == place
    assert browser.run("document.querySelector('[role=status]').textContent") == place
    assert state in browser.run("document.querySelector('#levels [role=img]').ariaLabel")
    wrong = replay.reading(24).wrong[0]
    point = "new PointerEvent('pointerover', {bubbles: true})"
    browser.run(f"document.querySelectorAll('#levels .cell')[{wrong}].dispatchEvent({point}); 0")
    spoken = browser.run("document.getElementById('cell').textContent")
    assert spoken.startswith(f"Row {wrong // 4 + 1}, column {wrong % 4 + 1} of answer: ")
    assert "right is " in spoken
