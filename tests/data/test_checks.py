"""Arrays that no model could be given: one line with the split, the row and what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from recurlight.data import PuzzleData, Puzzles, Splits, checks, hold_out
from recurlight.data.puzzles import Variants
from recurlight.data.stream import EvaluationBatches, Share
from recurlight.errors import DataError
from recurlight.types import IGNORE


def good(count: int = 6) -> Puzzles:
    grids = np.arange(1, 5, dtype=np.uint8)[None].repeat(count, axis=0)
    return Puzzles(grids, grids[:, ::-1].copy(), np.zeros(count, dtype=np.int64))


class Echo(PuzzleData):
    """Puzzles of four tokens below 5, in two tasks, one part of which is given."""

    def __init__(self, split="train", puzzles=None, **settings):
        super().__init__(vocab_size=5, grid_shape=(2, 2), num_tasks=2, batch_size=2, **settings)
        self.split, self.puzzles = split, puzzles

    def load(self):
        return Splits(good(), good(), good())._replace(**{self.split: self.puzzles or good()})


def put(field, row, value, dtype=None):
    """Change a row of one array, which then has that type."""
    array = getattr(good(), field).astype(dtype or np.int64)
    array[row] = value
    return good()._replace(**{field: array})


GRIDS = good().inputs.reshape(-1, 2, 2)
WRONG = {
    "fractions": (put("inputs", 3, 0.5, float), "inputs[3] has 0.5: give whole numbers"),
    "fractions in the answer": (put("labels", 2, 1.25, float), "labels[2] has 1.25: give whole numbers"),
    "nan": (put("labels", 1, np.nan, float), "labels[1] has nan: give whole numbers"),
    "infinity": (put("inputs", 1, np.inf, float), "inputs[1] has inf: tokens are 0 to 4"),
    "half a task": (put("task", 5, 0.5, float), "task[5] has 0.5: give whole numbers"),
    "text": (good()._replace(inputs=np.full((6, 4), "a")), "inputs has the dtype <U1: make it an array of"),
    "objects": (good()._replace(labels=np.full((6, 4), None)), "labels has the dtype object: make it an"),
    "complex": (
        put("inputs", 0, 1, complex),
        "inputs has the dtype complex128: make it an array of integers",
    ),
    "tensors": (good()._replace(inputs=torch.ones(6, 4)), "inputs is a Tensor: make it a numpy array of"),
    "lists": (good()._replace(task=[0] * 6), "task is a list: make it a numpy array of integers"),
    "negative": (put("inputs", 4, -1), "inputs[4] has -1: tokens are 0 to 4, for vocab_size is 5"),
    "too large": (put("inputs", 2, 5), "inputs[2] has 5: tokens are 0 to 4, for vocab_size is 5"),
    "too large an answer": (
        put("labels", 5, 5),
        "labels[5] has 5: tokens are 0 to 4, for vocab_size is 5, and IGNORE, -100, where nothing",
    ),
    "another mark": (
        put("labels", 0, -1),
        "labels[0] has -1: tokens are 0 to 4, for vocab_size is 5, and IG",
    ),
    "ignored question": (put("inputs", 0, IGNORE), "inputs[0] has -100: tokens are 0 to 4, for vocab_size"),
    "not flattened": (
        good()._replace(inputs=GRIDS),
        "inputs has the shape (6, 2, 2), not (n, L): give inputs.reshape(len(inputs), -1)",
    ),
    "flat": (
        good()._replace(labels=np.ones(6)),
        "labels has the shape (6,), not (n, L): give one row",
    ),
    "a column": (
        good()._replace(task=np.zeros((6, 1), int)),
        "task has the shape (6, 1), not (n,): give one number for each puzzle",
    ),
    "scalar": (
        good()._replace(task=np.array(0)),
        "task has the shape (), not (n,): give one number for each",
    ),
    "long": (
        Puzzles(np.ones((6, 9), int), np.ones((6, 9), int), np.zeros(6)),
        "inputs has rows of 9 tokens, grid_shape says 4: pad every row to rows * columns of data.grid_shape",
    ),
    "short answers": (
        good()._replace(labels=np.ones((6, 3), int)),
        "labels has rows of 3 tokens, grid_shape",
    ),
    "fewer answers": (
        good()._replace(labels=good().labels[:5]),
        "train has 6 inputs, 5 labels and 6 task numbers: give one of each for every puzzle",
    ),
    "task": (put("task", 2, 2), "task[2] has 2: tasks are 0 to 1, for num_tasks is 2"),
    "negative task": (put("task", 2, -1), "task[2] has -1: tasks are 0 to 1, for num_tasks is 2"),
    "nothing asked": (
        put("labels", 3, IGNORE),
        "labels[3] is IGNORE all over, so that there is nothing to learn or to measure: label a cell",
    ),
    "three arrays": (tuple(good()), "train is a tuple: make it Puzzles(inputs, labels, task)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_load_returns_is_named(case):
    """Fails if a number is cut to an integer, or an error of numpy or torch is shown."""
    puzzles, message = WRONG[case]
    with pytest.raises(DataError) as caught:
        Echo(puzzles=puzzles).setup("fit")
    assert "\n" not in str(caught.value)
    start = "Echo.load: " if message.startswith("train ") else "Echo.load: train."
    assert str(caught.value).startswith(start + message)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_split_is_looked_at_whole(split, monkeypatch):
    """Fails if a split or the rows after the first block pass unseen."""
    monkeypatch.setattr(checks, "_BLOCK", 8)
    with pytest.raises(DataError, match=re.escape(f"Echo.load: {split}.labels[5] has 7")):
        Echo(split, put("labels", 5, 7)).setup("predict")


def test_splits_are_returned_as_splits():
    data = Echo()
    data.load = lambda: (good(), good(), good())
    with pytest.raises(DataError, match=r"Echo\.load returned a tuple: return Splits\(train, val, test\)"):
        data.setup("fit")


def test_whole_numbers_of_any_type_are_taken_as_they_are():
    """Fails if tokens or tasks are changed, or whole floats are refused."""
    for kind in (np.float64, np.float32, np.int8, np.uint64, np.float16):
        parts = Puzzles(*(field.astype(kind) for field in good()))
        found = Echo(puzzles=parts).splits.train
        assert all(field.dtype.kind in "iu" for field in found)
        assert all((one == two).all() for one, two in zip(found, good(), strict=True))
    truths = good()._replace(labels=np.ones((6, 4), dtype=bool))
    batch = next(iter(Echo(puzzles=truths).train_dataloader()))
    assert batch.labels.tolist() == [[1] * 4] * 2


def test_large_arrays_are_not_copied():
    """Fails if checking doubles the memory of data that are integers already."""
    grids = good()
    found = Echo(puzzles=grids).splits.train
    assert all(one is two for one, two in zip(found, grids, strict=True))


def test_holding_out_looks_before_it_compares_questions():
    """Fails if questions that differ behind the decimal point count as one, or grids end in a traceback."""
    rows = np.linspace(0, 0.9, 40).reshape(10, 4)
    for inputs, message in (
        (rows, "hold_out: puzzles.inputs[0] has 0.02"),
        (
            GRIDS,
            "hold_out: puzzles.inputs has the shape (6, 2, 2), not (n, L): give inputs.reshape",
        ),
    ):
        with pytest.raises(DataError, match=re.escape(message)):
            hold_out(Puzzles(inputs, inputs, np.zeros(len(inputs))), num_val=1, num_test=1, seed=0)


def halves(puzzles, _):
    return puzzles._replace(inputs=puzzles.inputs / 2)


def test_an_augmentation_cannot_bring_fractions_in():
    """Fails if what is made for a batch is cut to integers."""
    message = r"augmentation or variants: puzzles\.inputs has the dtype float64: make it an array"
    data = Echo()
    data.augmentation = lambda: halves
    with pytest.raises(DataError, match=message):
        next(iter(data.train_dataloader()))
    with pytest.raises(DataError, match=message):
        _ = EvaluationBatches(good(), batch_size=2, share=Share(), variants=Variants(1, halves))[0]


NONE = Puzzles(np.zeros((0, 4), int), np.zeros((0, 4), int), np.zeros(0, int))


@pytest.mark.parametrize(
    ("stage", "split", "kind"),
    [("fit", "train", "training"), ("validate", "val", "validation"), ("test", "test", "test")],
)
def test_a_stage_without_puzzles_is_refused(stage, split, kind):
    """Fails if a table of nothing is printed."""
    with pytest.raises(DataError, match=rf"Echo has no {kind} puzzles: set data\.num_{split} to 1 or more"):
        Echo(split, NONE).setup(stage)
    Echo(split, NONE).setup("predict")


def test_answers_that_nobody_knows_are_predicted_and_not_scored():
    """Fails if rows without an answer are left out of a score in silence, or cannot be asked."""
    data = Echo("test", put("labels", 3, IGNORE))
    for stage in ("fit", "validate", "predict"):
        data.setup(stage)
    with pytest.raises(DataError, match="Echo cannot score test puzzle number 4, whose answer is not known"):
        data.setup("test")


def test_a_question_that_padding_looks_like_is_refused():
    """Fails if an empty board is left out of the predictions, whose rows then shift."""
    blank = put("inputs", 4, 0)
    assert Echo("test", blank).splits.test.inputs.any(axis=1).sum() == 5  # its answer tells it from padding
    labels = put("labels", slice(2, None), IGNORE).labels
    with pytest.raises(DataError, match=r"test\.inputs\[4\] is 0 all over and has no answer, as rows that"):
        Echo("test", blank._replace(labels=labels)).setup("predict")
