"""The notebook: its cells run in order, its file shows what they show, and the site has it as a page."""

import base64
import re

import pytest

from docs.notebooks import FILE, mark, read, run, source
from docs.test_pages import hook

NOTEBOOK = read()
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
KEYS = {
    "markdown": {"cell_type", "id", "metadata", "source"},
    "code": {"cell_type", "id", "metadata", "source", "execution_count", "outputs"},
}
"""What nbformat 4.5 wants of a cell."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What the cells show after a training of two steps, and the names that they define."""
    names = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("notebook")
        patch.setenv("RECURLIGHT_CACHE", str(folder / "cache"))
        patch.setenv("MPLBACKEND", "Agg")
        patch.chdir(folder)
        few = {"num_train": 40, "num_val": 4, "num_test": 8, "batch_size": 4, "eval_batch_size": 8}
        outputs = run(NOTEBOOK, names, max_steps=2, **few)
        assert (folder / "thinking.html").read_text("utf-8").startswith("<!doctype html>")
        yield outputs, names


def forms(outputs):
    """Return the kinds of what cells show, apart from the figures in it."""
    return [[(one["output_type"], sorted(one.get("data", {}))) for one in cell] for cell in outputs]


def test_the_file_shows_what_its_cells_show(shown):
    """Breaks when a cell changes, and `python -m docs.notebooks` was not run after that."""
    outputs, names = shown
    assert NOTEBOOK["metadata"]["sources"] == mark(NOTEBOOK)
    assert forms(cell["outputs"] for cell in CODE) == forms(outputs)
    kept = ["".join(cell["outputs"][0].get("text", "")) for cell in CODE]
    now = ["".join(output[0].get("text", "")) for output in outputs]
    assert kept[1] == now[1] == f"{sum(weight.numel() for weight in names['model'].parameters())} weights\n"
    assert [line.split()[0] for line in kept[2].splitlines()[:3]] == ["exact", "segments", "exact"]
    assert names["right"].shape == (16, 8)


def test_the_training_that_the_file_shows_went_well():
    """Fails if what is kept was shown by a training that was cut short."""
    shares = re.findall(r"([\d.]+)%", "".join(CODE[2]["outputs"][0]["text"]))
    assert float(shares[-1]) > 90
    assert "the rules hold: True" in "".join(CODE[5]["outputs"][0]["text"])


def test_the_file_is_a_notebook_that_every_reader_opens():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert NOTEBOOK["metadata"]["kernelspec"]["name"] == "python3"
    assert [set(cell) for cell in NOTEBOOK["cells"]] == [
        KEYS[cell["cell_type"]] for cell in NOTEBOOK["cells"]
    ]
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    assert [cell["execution_count"] for cell in CODE] == [*range(1, len(CODE) + 1)]
    data = [output.get("data", {}) for cell in CODE for output in cell["outputs"]]
    pictures = [base64.b64decode(one["image/png"]) for one in data if "image/png" in one]
    assert [picture[:4] for picture in pictures] == [b"\x89PNG"] * 2
    assert FILE.stat().st_size < 250_000


def test_the_site_has_the_notebook_as_a_page():
    page = hook("notebooks").notebook_page(NOTEBOOK, FILE.name)
    assert page.startswith(
        "# A reasoner in a notebook\n\n[Download this page as a notebook](notebook.ipynb)\n"
    )
    assert all(f"```python\n{source(cell).rstrip()}\n```" in page for cell in CODE)
    assert page.count("](data:image/png;base64,") == 2
    assert re.search(r"^```text\nexact accuracy after segments\n", page, re.M)
