"""The figures of the front page are drawn from what the pages say was measured."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image, ImageChops

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import figures

    return figures


@pytest.mark.parametrize("name", ["accuracy", "growth"])
def test_a_figure_is_as_it_would_be_drawn_now(figures, name):
    """Fails when a figure or the page that it is drawn from changes without the other."""
    assert (ROOT / f"docs/assets/{name}.svg").read_text("utf-8") == getattr(figures, name)()


def test_the_picture_is_the_strip_in_two_rows(figures):
    """Fails when the strip is made anew and the picture is not."""
    with Image.open(ROOT / "docs/assets/solving.png") as picture:
        assert ImageChops.difference(picture.convert("RGB"), figures.solving()).getbbox() is None


@pytest.mark.parametrize("name", ["accuracy", "growth"])
def test_nothing_of_a_figure_is_cut(figures, name):
    """Words are taken to be 0.55 of their size a letter, more than any common font needs in the mean."""
    root = ET.fromstring(getattr(figures, name)())
    _, _, width, height = map(float, root.get("viewBox").split())
    for word in root.iter(f"{SVG}text"):
        long, x, y = (
            0.55 * float(word.get("font-size")) * len(word.text),
            float(word.get("x")),
            float(word.get("y")),
        )
        left = x - {"start": 0, "middle": long / 2, "end": long}[word.get("text-anchor")]
        assert left >= 0, word.text
        assert left + long <= width, word.text
        assert 0 < y < height, word.text


def test_the_growth_is_that_of_the_page(figures):
    """Fails when the page's other tables, or another model's row, are taken for it."""
    numbers, shares, one_pass = figures.parity((ROOT / "docs/why-recursion.md").read_text("utf-8"))
    assert numbers == (1, 2, 4, 8, 16, 32)
    assert [exact[-1] for exact in shares.values()] == [100] * 5
    assert list(shares) == [32, 64, 128, 256, 512]
    assert shares[512] == (0, 0, 0, 0, 2, 100)
    assert one_pass == (96, 0, 0, 0, 0)


def test_the_quickstart_is_that_of_its_recipe(figures):
    """Fails when a new measurement is told in one place alone."""
    header = re.match(r"(?:#.*\n)*", (ROOT / "recipes/quickstart.yaml").read_text("utf-8"))[0]
    said = " ".join(line.lstrip("# ") for line in header.splitlines())
    zero, one, two = (figures.QUICKSTART[seed] for seed in (0, 1, 2))
    assert f"{zero[-1]} % of 500 held-out 6x6 puzzles after 16 segments, {zero[0]} % after one" in said
    assert f"seeds 1 and 2 have {one[-1]} and {two[-1]} %" in said
