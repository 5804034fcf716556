"""Questions and answers that are numbers, through the same stream as tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.fields import Fields, fields
from data.numbers import Numbers
from recurlight.data import Puzzles, hold_out
from recurlight.data.counter import augmentation_keys, puzzle_rows
from recurlight.data.split import fingerprints
from recurlight.data.stream import EvaluationBatches, Share
from recurlight.errors import DataError
from recurlight.types import IGNORE

NAN = np.nan


def test_a_batch_of_the_stream_is_the_drawn_puzzles_varied_by_their_keys():
    """Fails if numbers are cut to integers, or NaN is lost on the way."""
    data = Fields(batch_size=6, seed=3)
    found = next(iter(data.train_dataloader()))
    rows, keys = puzzle_rows(3, np.arange(6), 10), augmentation_keys(3, np.arange(6))
    factor = torch.tensor(1 + (keys % 4).astype(np.int64))[:, None, None]
    assert [field.dtype for field in found] == [torch.float32, torch.float32, torch.int64]
    torch.testing.assert_close(found.inputs, torch.tensor(fields(10).inputs[rows]) * factor)
    expected = torch.tensor(fields(10).labels[rows]) * factor
    torch.testing.assert_close(found.labels, expected, equal_nan=True)
    assert found.labels[:, 3].isnan().all()
    assert factor.unique().numel() > 1


def test_padding_of_the_last_batch_asks_nothing_and_a_field_of_zeros_does():
    """Fails if the padding of a rank without a puzzle is counted, or a field of zeros is taken for it."""
    puzzles = fields(3)
    puzzles.inputs[1] = 0
    batches = [EvaluationBatches(puzzles, batch_size=2, share=Share(rank, 2))[1] for rank in range(2)]
    padding, real = sorted(batches, key=lambda batch: bool(batch.asked().any()))
    assert not padding.asked().any()
    assert not padding.answered().any()
    assert padding.labels.shape == (1, 4, 1)
    assert padding.labels.isnan().all()
    torch.testing.assert_close(real.inputs[0], torch.tensor(puzzles.inputs[2]))
    whole = EvaluationBatches(puzzles, batch_size=3, share=Share())[0]
    assert whole.asked().tolist() == [True] * 3


@pytest.mark.parametrize("which", ["inputs", "labels"])
def test_tokens_and_numbers_may_be_mixed(which):
    """Fails if one of the two decides for both."""
    tokens = np.arange(1, 5)[None].repeat(8, axis=0)
    parts = dict.fromkeys(("train", "val", "test"), fields(8)._replace(**{which: tokens}))
    none = {"features" if which == "inputs" else "targets": 0}
    data = Fields(parts=parts, vary=False, vocab_size=5, batch_size=2, **none)
    batch = next(iter(data.train_dataloader()))
    kinds = [torch.int64, torch.float32] if which == "inputs" else [torch.float32, torch.int64]
    assert [batch.inputs.dtype, batch.labels.dtype] == kinds
    assert batch.answered().tolist() == [True, True]


def test_doubles_and_whole_numbers_are_kept_as_float32():
    doubles = Puzzles(*(field.astype(np.float64) for field in fields(6)))
    kept = Fields(parts={"train": doubles}).splits.train
    assert [field.dtype.kind for field in kept] == ["f", "f", "i"]
    assert kept.inputs.dtype == np.float32
    np.testing.assert_array_equal(kept.inputs, fields(6).inputs)
    whole = fields(6)._replace(inputs=np.ones((6, 4, 2), int))
    assert Fields(parts={"train": whole}).splits.train.inputs.dtype == np.float32
    same = fields(6)
    assert Fields(parts={"train": same}).splits.train.inputs is same.inputs


def put(field: str, row: int, value: float) -> Puzzles:
    array = getattr(fields(6), field).astype(np.float64)
    array[row, 1] = value
    return fields(6)._replace(**{field: array})


def flat(**change) -> Puzzles:
    return fields(6)._replace(**change)


FINITE = "give finite numbers that float32 holds"
WRONG = {
    "nan in a question": (put("inputs", 2, NAN), f"inputs[2] has nan: {FINITE}"),
    "infinite question": (put("inputs", 5, np.inf), f"inputs[5] has inf: {FINITE}"),
    "infinite answer": (put("labels", 1, -np.inf), f"labels[1] has -inf: {FINITE}, and NaN where nothing is"),
    "beyond float32": (put("labels", 4, 1e39), f"labels[4] has inf: {FINITE}"),
    "tokens": (
        flat(inputs=np.ones((6, 4), int)),
        "inputs has the shape (6, 4), not (n, L, 2): give float32, 2 in each cell, or another features",
    ),
    "one number too many": (
        flat(inputs=np.ones((6, 4, 3))),
        "inputs has the shape (6, 4, 3), not (n, L, 2): give float32, 2 in each cell, or another features",
    ),
    "grids": (flat(labels=np.ones((6, 2, 2, 1))), "labels has the shape (6, 2, 2, 1), not (n, L, 1): give"),
    "too long": (
        flat(inputs=np.ones((6, 9, 2))),
        "inputs has rows of 9 tokens, grid_shape says 4: pad",
    ),
    "nothing asked": (
        flat(labels=np.full((6, 4, 1), NAN)),
        "labels[0] is NaN all over, so that there is nothing to learn or to measure: label a cell of it",
    ),
    "texts": (flat(inputs=np.full((6, 4, 2), "a")), "inputs has the dtype <U1: make it an array of integers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_load_returns_is_named(case):
    puzzles, message = WRONG[case]
    with pytest.raises(DataError) as caught:
        Fields(parts={"train": puzzles}).setup("fit")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"Fields.load: train.{message}")


def test_numbers_where_tokens_are_told_of_are_named():
    """Fails if fields are cut to tokens, or the settings that they need are not told."""
    data = Fields(features=0, targets=0, vocab_size=5)
    advice = "give inputs.reshape(len(inputs), -1), or features=2 if these are no tokens"
    with pytest.raises(DataError, match=r"inputs has the shape \(10, 4, 2\), not \(n, L\)") as caught:
        data.setup("fit")
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": -1}, "features is -1: set data.features to 0 or more"),
        ({"targets": -1}, "targets is -1: set data.targets to 0 or more"),
        ({"targets": 0}, "vocab_size is 0: set data.vocab_size to 1 or more"),
        ({"features": 0}, "vocab_size is 0: set data.vocab_size to 1 or more"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(DataError, match=message):
        Fields(**settings)


def test_a_question_of_zeros_without_an_answer_is_refused_as_among_tokens():
    puzzles = fields(5)
    puzzles.inputs[3], puzzles.labels[3] = 0, NAN
    data = Fields(parts={"test": puzzles})
    with pytest.raises(DataError, match=r"test\.inputs\[3\] is 0 all over and has no answer"):
        data.setup("predict")


def test_equal_fields_have_equal_fingerprints_and_others_have_not():
    """Fails if digits after the point do not count, or -0 is another question than 0."""
    inputs = np.array([[[0.0, 0.25]], [[-0.0, 0.25]], [[0.0, 0.26]], [[0.25, 0.0]]])
    marks = fingerprints(Puzzles(inputs, inputs, np.zeros(4)))
    assert marks[0] == marks[1]
    assert len(set(marks.tolist())) == 3
    assert len(fingerprints(Puzzles(inputs[:0], inputs[:0], np.zeros(0)))) == 0


def test_fields_are_held_out_by_whole_questions():
    puzzles = fields(20)
    twice = Puzzles(*(np.concatenate([field, field]) for field in puzzles))
    splits = hold_out(twice, num_val=4, num_test=6, seed=0)
    assert [len(part.inputs) for part in splits] == [30, 4, 6]
    marks = [set(fingerprints(part).tolist()) for part in splits]
    assert not marks[0] & marks[1]
    assert not marks[0] & marks[2]


def test_tokens_are_divided_as_before():
    """The numbers of a seed must not move where there are tokens."""
    cells = np.arange(20)[:, None].repeat(4, axis=1)
    splits = hold_out(Puzzles(cells, cells, np.zeros(20)), num_val=3, num_test=3, seed=1)
    assert sorted(splits.val.inputs[:, 0].tolist() + splits.test.inputs[:, 0].tolist()) == [
        1,
        6,
        8,
        10,
        12,
        18,
    ]
    batch = next(iter(Numbers(batch_size=4).train_dataloader()))
    assert batch.inputs.dtype == batch.labels.dtype == torch.int64
    assert IGNORE not in batch.labels
