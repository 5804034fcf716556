"""What is printed while the progress bar of `rich` is shown in a notebook.

There IPython completes the lines that were begun whenever it shows something, and the progress bar shows what
is printed: a text of several lines whose last one is not complete is shown for ever.
"""

from __future__ import annotations

import sys

import pytest
from helpers import batch, loader, module, trainer
from lightning.pytorch.callbacks import RichProgressBar


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """Take the place of IPython; return what it shows."""
    texts: list[str] = []

    def display(segments, text: str) -> None:
        sys.stdout.flush()
        texts.append(text)

    monkeypatch.setattr("rich.jupyter.display", display)
    return texts


@pytest.mark.filterwarnings('ignore:install "ipywidgets"')
@pytest.mark.parametrize("stage", ["validate", "test"])
def test_a_table_is_shown_line_by_line(shown, stage):
    """Fails if the table is printed in one call."""
    made, bar = module(), RichProgressBar(console_kwargs={"force_jupyter": True})
    run = trainer(enable_progress_bar=True, callbacks=[bar])
    getattr(run, stage)(made, loader([batch(4)]), verbose=False)
    text = "".join(shown)
    assert all(text.count(f"{line}\n") == 1 for line in made.measured.table.splitlines())
    assert text.count("seeds: model 0; 32-true, recurlight") == 1
