from __future__ import annotations

import pytest
import torch

from recurlight.data import MazeData
from recurlight.data.maze.generate import make_maze
from recurlight.data.maze.metric import MazePaths
from recurlight.data.maze.rules import drawn_steps, shortest_steps
from recurlight.errors import DataError


def small(**settings) -> MazeData:
    return MazeData(**{"size": 6, "num_train": 12, "num_val": 4, "num_test": 4, "batch_size": 8, **settings})


@pytest.mark.parametrize(("size", "least"), [(6, 5), (8, 8), (30, 111), (64, 501)])
def test_sizes_are_known_before_loading(size, least):
    """Fails if the default path does not scale with the cells, or is not above 110 in 30 x 30."""
    data = MazeData(size=size)
    shape = (data.vocab_size, data.seq_len, data.num_tasks, data.grid_shape, data.min_path)
    assert shape == (6, size * size, 1, (size, size), least)
    assert MazeData(size=size, min_path=3).min_path == 3


def test_training_batches_are_augmented_and_stay_mazes():
    """Fails if augmentation is not used, or breaks paths."""
    data = small(epoch_samples=160)
    inputs, labels, task = (torch.cat(field) for field in zip(*data.train_dataloader(), strict=True))
    assert (drawn_steps(inputs.numpy(), labels.numpy()) == shortest_steps(inputs.numpy())).all()
    assert not task.any()
    assert len(inputs.unique(dim=0)) > 40


def test_without_augmentation_and_in_evaluation_mazes_stay_as_they_are():
    """Fails if `augment` is ignored, or evaluation varies its mazes."""
    data = small(augment=False, epoch_samples=48)
    inputs = torch.cat([batch.inputs for batch in data.train_dataloader()])
    known = torch.from_numpy(data.splits.train.inputs.astype("int64")).unique(dim=0)
    assert torch.equal(inputs.unique(dim=0), known)
    varied = small()
    assert (next(iter(varied.val_dataloader())).inputs.numpy() == varied.splits.val.inputs).all()


def test_settings_make_other_mazes():
    """Fails if the seed or the least path does not reach the generator."""
    assert (small().splits.train.inputs != small(seed=1).splits.train.inputs).any()
    assert shortest_steps(small(min_path=12).splits.train.inputs).min() >= 12


def test_the_data_brings_its_metric_anew():
    """Fails if evaluation does not measure paths, or two evaluations share counters."""
    data = small()
    assert isinstance(data.task_metric("val"), MazePaths)
    assert data.task_metric("val") is not data.task_metric("val")


def test_render_is_the_text_of_the_files():
    """Fails if tokens and characters do not match."""
    question, answer = make_maze(6, 5, 0, 0)
    splits = small(seed=0, num_train=1, num_val=0, num_test=0).splits
    data = small()
    assert data.render(splits.train.inputs[0]).replace("\n", "") == question
    assert data.render(splits.train.labels[0]) == "\n".join(answer[at : at + 6] for at in range(0, 36, 6))
    assert data.render(torch.zeros(36, dtype=torch.int64)).splitlines() == ["??????"] * 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 5}, "size is 5: set data.size between 6 and 64"),
        ({"size": 65}, "size is 65: set data.size between 6 and 64"),
        ({"min_path": 0}, "min_path is 0: set data.min_path to 1 or more"),
        ({"source": "web"}, "source is 'web': set data.source to generated, csv or hub"),
        ({"num_val": -1}, "num_val is -1: set data.num_val to 0 or more"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    """Each case fails if its check is left out."""
    with pytest.raises(DataError, match=message):
        MazeData(**settings)


def test_sources_refuse_what_they_cannot_give():
    """Fails if counts may be missing, or the hub's mazes are read in another size."""
    with pytest.raises(DataError, match=r"set data\.num_train and data\.num_test"):
        small(num_train=None).setup("fit")
    with pytest.raises(DataError, match=r"set data\.size to 30"):
        small(source="hub").setup("fit")


def test_the_hub_is_read_like_a_folder(own_cache):
    """Fails if the hub's folder, or the reading of it, is another than for csv."""
    folder = own_cache / "maze-30x30-hard-1k"
    folder.mkdir()
    for name, first in (("train", 0), ("test", 3)):
        rows = [",".join(("made", *make_maze(30, 111, 0, first + row), "111")) for row in range(3)]
        (folder / f"{name}.csv").write_text("\n".join(["source,question,answer,rating", *rows]))
    data = MazeData(source="hub", num_train=2, num_val=1, num_test=None)
    assert [len(split.inputs) for split in data.splits] == [2, 1, 3]
