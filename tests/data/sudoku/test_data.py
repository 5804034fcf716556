from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch

from recurlight.cli.explain.types import accepted, settings
from recurlight.data import ArcData, MazeData, PuzzleData, SudokuData
from recurlight.data.sudoku.rules import solved
from recurlight.errors import DataError


def small(**settings) -> SudokuData:
    return SudokuData(
        **{"size": 4, "num_train": 12, "num_val": 4, "num_test": 4, "batch_size": 8, **settings}
    )


@pytest.mark.parametrize("size", [4, 6, 9, 16])
def test_sizes_are_known_before_loading(size):
    data = SudokuData(size=size)
    shape = (data.vocab_size, data.seq_len, data.num_tasks, data.grid_shape)
    assert shape == (size + 2, size * size, 1, (size, size))


def test_a_vocabulary_for_larger_sizes():
    """Fails if the vocabulary follows the size, or the digits do not reach the augmentation."""
    data = small(digits=9, epoch_samples=400)
    assert (data.vocab_size, data.seq_len) == (11, 16)
    labels = torch.cat([batch.labels for batch in data.train_dataloader()])
    assert labels.max() == 10
    assert data.splits.test.labels.max() == 5


def test_marks_are_the_digits():
    """Fails if blanks and pads are written, or digits above 9 are numbers."""
    assert SudokuData(size=16).marks(torch.tensor([0, 1, 2, 10, 11, 17])) == ["", "", "1", "9", "A", "G"]


def test_training_batches_are_augmented_and_stay_puzzles():
    data = small(epoch_samples=80)
    inputs, labels, task = (torch.cat(field) for field in zip(*data.train_dataloader(), strict=True))
    assert solved(labels.numpy(), 4).all()
    assert ((inputs == 1) | (inputs == labels)).all()
    assert not task.any()
    assert len(labels.unique(dim=0)) > 40


def test_without_augmentation_only_the_puzzles_are_seen():
    data = small(augment=False, epoch_samples=48)
    inputs = torch.cat([batch.inputs for batch in data.train_dataloader()])
    seen, counts = inputs.unique(dim=0, return_counts=True)
    known = torch.from_numpy(data.splits.train.inputs.astype("int64")).unique(dim=0)
    assert torch.equal(seen, known)
    assert (counts == 4).all()


def test_evaluation_is_never_augmented():
    data = small()
    batch = next(iter(data.val_dataloader()))
    assert (batch.inputs.numpy() == data.splits.val.inputs).all()


def test_seeds_make_other_puzzles():
    assert (small().splits.train.inputs != small(seed=1).splits.train.inputs).any()


def test_render_rules_boxes():
    six = SudokuData(size=6).render([1, 2, 3, 4, 5, 6, *[7] * 30]).splitlines()
    assert six[0] == ". 1 2 | 3 4 5"
    assert six[2] == "------+------"
    assert [line.count("-") > 0 for line in six] == [False, False, True] * 2 + [False, False]
    sixteen = SudokuData(size=16).render(torch.tensor([0, 11, 17] + [1] * 253)).splitlines()
    assert sixteen[0].startswith("  A G . | .")
    assert {len(line) for line in sixteen} == {37}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 5}, "size is 5: set data.size to 4, 6, 9 or 16"),
        ({"size": 9, "digits": 8}, "digits is 8: set data.digits from 9 to 16"),
        ({"digits": 17}, "digits is 17: set data.digits from 9 to 16"),
        ({"source": "web"}, "source is 'web': set data.source to generated, csv or hub"),
        ({"num_val": -1}, "num_val is -1: set data.num_val to 0 or more"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(DataError, match=message):
        SudokuData(**settings)


def test_sources_refuse_what_they_cannot_give():
    with pytest.raises(DataError, match=r"set data\.num_train and data\.num_test"):
        small(num_train=None).setup("fit")
    with pytest.raises(DataError, match=r"set data\.size to 9"):
        small(source="hub").setup("fit")


@pytest.mark.parametrize("family", [SudokuData, MazeData, ArcData])
def test_shared_arguments_are_settings_of_every_family(family):
    """Fails if the command line loses a setting that is passed on, or offers one that the family gives."""
    shared = set(inspect.signature(PuzzleData.__init__).parameters) - {"self"}
    assert shared - set(accepted(family)) == {"vocab_size", "grid_shape", "num_tasks"}
    assert settings(family)["batch_size"].default == 768


def test_a_script_without_main_guard_can_generate(tmp_path, own_cache):
    """Workers must not import the caller again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from recurlight.data.sudoku import make\n"
        "questions, _ = make.make_puzzles(4, 0, range(64), cores=2)\n"
        "assert questions.shape == (64, 16)\n"
        "import sys; sys.stdout.write('once ')\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=_environment())
    assert done.stdout == "once ", done.stderr


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path), "PATH": "", "OMP_NUM_THREADS": "1"}
