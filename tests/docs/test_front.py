"""The front pages: what stands first, what they show, and where they lead."""

import re

import pytest

from docs.test_pages import DOCS, ROOT

PAGES = {"README.md": ROOT / "README.md", "index.md": DOCS / "index.md"}


@pytest.fixture(params=PAGES)
def page(request):
    """The text of a front page, and the folder that its links start from."""
    path = PAGES[request.param]
    return path.read_text("utf-8"), path.parent


def test_it_begins_with_a_picture_a_command_and_the_figures(page):
    text, _ = page
    first = re.findall(r"^(!\[|```\w+|- \*\*|## )", text.partition("\n## ")[0], re.M)
    assert first[:8] == ["![", "```bash", *5 * ["- **"], "!["]
    shown = re.findall(r"\((?:docs/)?assets/(\w+\.\w+)\)", text)
    assert shown == ["solving.png", "accuracy.svg", "growth.svg"]
    assert text.index("growth.svg") < text.index("\n## ")


def test_the_figures_say_how_they_were_measured(page):
    """Each has a command, a seed and hardware in the paragraph below it."""
    text, _ = page
    for name in ("accuracy", "growth"):
        below = text.partition(f"assets/{name}.svg)\n\n")[2].partition("\n\n")[0]
        assert "recurlight fit --config" in below.replace("\n", " ")
        assert re.search(r"seeds? 0", below)
        assert re.search(r"\d s of", below)
        assert "CPU" in below


def test_its_links_lead_somewhere(page):
    text, folder = page
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    made = {"recipes.md"}  # by docs/hooks.py
    assert [link for link in links - made if not (folder / link).exists()] == []


def test_the_first_blocks_of_the_readme_are_what_newcomers_paste():
    """Install and main job, then install and tests; each line by itself."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGES["README.md"].read_text("utf-8"), re.M | re.S)
    assert blocks[0] == "pip install .\nrecurlight fit --config quickstart\n"
    assert blocks[1].splitlines()[0] == "pip install -e '.[dev,docs]'"
    assert blocks[1].splitlines()[1].startswith("pytest ")


def test_the_readme_names_every_recipe():
    """Fails when one is added or taken away; those that are laid over others are told of by their page."""
    rows = re.findall(r"^\| [\w ]+ \| (`.+`) \|$", PAGES["README.md"].read_text("utf-8"), re.M)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    recipes = [path.stem for path in (ROOT / "recipes").glob("*.yaml") if not path.stem.startswith("small")]
    assert sorted(named) == sorted(recipes)
