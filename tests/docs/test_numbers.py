"""The page on numbers: its example is short, right, and trains through the command line."""

import numpy as np
import pytest

from docs.test_pages import blocks, execute

PAGE = "tutorials/numbers.md"
PIXELS = blocks(PAGE, "python")[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the page's Python defines, after its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        return execute(PAGE, max_steps=2)


def test_the_class_is_short():
    """Breaks when the example grows beyond what the page promises."""
    assert len(PIXELS.splitlines()) < 40


def test_what_is_missing_is_asked_and_nothing_else(page):
    """Breaks when known pixels are supervised, or question and answer lie apart."""
    data = page["PixelData"](pictures=600, missing=0.7)
    for part in data.splits:
        known = part.inputs[..., 1] > 0
        assert (np.isnan(part.labels[..., 0]) == known).all()
        picture = np.where(known, part.inputs[..., 0], part.labels[..., 0]).reshape(-1, 8, 8)
        assert ((picture > 0) & (picture <= 1)).all()
        assert np.abs(np.diff(picture, axis=1)).max() < 0.5  # it is smooth
        assert known.mean() == pytest.approx(0.3, abs=0.02)


def test_the_page_ends_with_a_picture(page):
    batch = page["batch"]
    assert batch.inputs.shape[1:] == (64, 2)
    assert page["model"](batch).logits.shape[1:] == (64, 1)
