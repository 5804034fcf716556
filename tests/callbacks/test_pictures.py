"""Pictures in TensorBoard and in the run's folder."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from helpers import module, trainer
from lightning.pytorch.loggers import TensorBoardLogger

from recurlight.callbacks import SamplePictures
from recurlight.data import SudokuData
from recurlight.data.stream import Share
from recurlight.errors import IncompatibleComponents, RecurlightError

image = pytest.importorskip("matplotlib.image", reason="the extra viz is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def sudoku(**settings) -> SudokuData:
    counts = {"num_train": 8, "num_val": 5, "num_test": 4, "batch_size": 4, "epoch_samples": 8}
    return SudokuData(**({"size": 4} | counts | settings))


def shape(path) -> tuple[int, ...]:
    return image.imread(path).shape[:2]


@pytest.mark.filterwarnings("ignore")
def test_every_validation_draws_the_same_samples_once(tmp_path):
    """Fails if the sanity check draws, a second batch overwrites the first, or a step is not in the name."""
    logger = TensorBoardLogger(tmp_path, name="run")
    settings = {"max_epochs": 2, "num_sanity_val_steps": 1, "logger": logger}
    trainer(callbacks=[SamplePictures(count=2)], **settings).fit(module(), sudoku(eval_batch_size=2))
    folder = tmp_path / "run/version_0/pictures"
    assert sorted(path.name for path in folder.iterdir()) == ["val_000002.png", "val_000004.png"]
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "run/version_0"), size_guidance={"images": 0})
    events.Reload()
    logged = events.Images("val/samples")
    assert [event.step for event in logged] == [2, 4]
    for event, path in zip(logged, sorted(folder.iterdir()), strict=True):
        decoded = image.imread(io.BytesIO(event.encoded_image_string), format="png")
        assert decoded.shape[:2] == shape(path)
        assert np.abs(decoded - image.imread(path)[..., :3]).max() < 0.02


@pytest.mark.filterwarnings("ignore")
def test_count_and_folder_are_the_users(tmp_path):
    """Fails if the number of samples or the folder is ignored, or test draws nothing."""
    heights = []
    for count in (1, 3):
        pictures = SamplePictures(count, folder=str(tmp_path / f"{count}"))
        trainer(callbacks=[pictures]).test(module(), sudoku(), verbose=False)
        heights.append(shape(tmp_path / f"{count}/test_000000.png")[0])
    assert 2.5 < heights[1] / heights[0] < 3


@pytest.mark.filterwarnings("ignore")
def test_drawing_changes_nothing_that_is_measured():
    """Fails if the samples' second evaluation is counted, or disturbs the weights or the training slots."""
    runs = []
    for callbacks in ([], [SamplePictures()]):
        model = module()
        loop = trainer(max_epochs=2, callbacks=callbacks)
        loop.fit(model, sudoku())
        runs.append({name: float(value) for name, value in loop.callback_metrics.items()})
    assert runs[0] == runs[1]
    assert "val/exact_accuracy" in runs[0]


@pytest.mark.filterwarnings("ignore")
def test_fewer_puzzles_than_asked_for_or_none(tmp_path):
    """Fails if a batch of padding alone is drawn as a puzzle."""
    for rank, files in ((0, 1), (3, 0)):
        folder = tmp_path / str(rank)
        data = sudoku(num_val=2)
        data._share = lambda rank=rank: Share(rank, world_size=4)  # the last has no part of two
        pictures = SamplePictures(4, folder=str(folder))
        trainer(callbacks=[pictures]).validate(module(), data, verbose=False)
        assert len(list(folder.glob("*.png"))) == files


def test_what_cannot_be_drawn_is_refused(monkeypatch):
    """Each fails if it comes to light only at the first validation."""
    with pytest.raises(IncompatibleComponents, match="SamplePictures got count=0: give 1 or more"):
        SamplePictures(0)
    with pytest.raises(IncompatibleComponents, match="give the trainer a PuzzleData as datamodule"):
        trainer(callbacks=[SamplePictures()]).validate(module(), sudoku().val_dataloader())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RecurlightError, match=r"pip install 'recurlight\[viz\]'"):
        SamplePictures()
