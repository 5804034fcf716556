"""What every task of the suite keeps: disjoint seeded splits, lengths, one canvas, figures by length."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from recurlight.checkpoints.trust import Trust
from recurlight.data import AdditionData, ParityData, PermutationData, QueensData, ReversalData, SortingData
from recurlight.errors import DataError
from recurlight.types import Prediction

TASKS = [SortingData, ReversalData, ParityData, PermutationData, AdditionData, QueensData]
SMALL = {
    "length": 8,
    "min_length": 7,
    "eval_lengths": [8, 10],
    "num_train": 80,
    "num_val": 15,
    "num_test": 20,
}
every_task = pytest.mark.parametrize("task", TASKS)


def questions(puzzles):
    return {row.tobytes() for row in puzzles.inputs}


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@every_task
def test_splits_share_no_question(task):
    """Breaks when splits are drawn on their own, or duplicates are looked for within one only."""
    train, val, test = map(questions, task(**SMALL).splits)
    assert len(val) == 2 * 15
    assert len(test) == 2 * 20
    assert train.isdisjoint(val | test)
    assert val.isdisjoint(test)


def test_splits_share_no_question_even_where_there_are_few():
    """Breaks when training may repeat a held-out question: of 32 rows of bits, 20 are held out."""
    data = ParityData(length=5, num_train=500, num_val=8, num_test=12)
    train, val, test = map(questions, data.splits)
    assert (len(train), len(val), len(test)) == (12, 8, 12)
    assert len(train | val | test) == 32
    assert len(data.splits.train.inputs) == 500


@every_task
def test_a_seed_says_everything(task):
    """Breaks when something is drawn from global random state, or the seed is not used."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = task(**SMALL, seed=3).splits
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    again, other = task(**SMALL, seed=3).splits, task(**SMALL, seed=4).splits
    assert all(same(one, two) for one, two in zip(first, again, strict=True))
    assert not any(same(one, two) for one, two in zip(first, other, strict=True))


@every_task
def test_held_out_questions_do_not_depend_on_training(task):
    """Breaks when more training questions push others into validation or test: figures would not compare."""
    few, many = task(**SMALL), task(**SMALL | {"num_train": 300, "length": 9})
    assert same(few.splits.test, many.splits.test)
    assert same(few.splits.val, many.splits.val)


@every_task
def test_training_lengths_are_equally_frequent_and_evaluation_has_its_own(task):
    """Breaks when a training length is missing or evaluation lengths leak into training."""
    data = task(**SMALL)
    cells = [np.prod(data.shape(length)) for length in (7, 8, 10)]
    counts = [
        [int((filled == size).sum()) for size in cells]
        for filled in ((part.inputs != 0).sum(axis=1) for part in data.splits)
    ]
    assert counts == [[40, 40, 0], [0, 15, 15], [0, 20, 20]]


@every_task
def test_sizes_are_known_before_anything_is_made(task):
    """Breaks when the canvas is smaller than the longest length or a token is beyond the vocabulary."""
    data = task(**SMALL)
    assert data._splits is None
    assert data.grid_shape == task(length=10).grid_shape
    longest = max(int(part.labels.max()) for part in data.splits)
    assert longest < data.vocab_size
    assert data.splits.train.inputs.shape[1] == data.seq_len == np.prod(data.grid_shape)


@every_task
def test_batches_of_shifted_questions_go_to_workers(task):
    """Breaks when the augmentation cannot be pickled or loses the token types."""
    data = task(**SMALL, shift=True, batch_size=8)
    batch = next(iter(data.train_dataloader()))
    assert batch.inputs.shape == (8, data.seq_len)
    assert pickle.loads(pickle.dumps(data.augmentation())).keywords == {"grid_shape": data.grid_shape}
    assert task(**SMALL).augmentation() is None


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (SortingData, {"length": 0}, "min_length is 0, length 0: set 1 <= data.min_length <= data.length"),
        (SortingData, {"min_length": 9}, "min_length is 9, length 8: set 1 <= data.min_length"),
        (
            SortingData,
            {"eval_lengths": [8, 0]},
            "eval_lengths has 0: set data.eval_lengths to 1 or more each",
        ),
        (SortingData, {"num_val": -1}, "num_val is -1: set data.num_val to 0 or more"),
        (SortingData, {"values": 1}, "values is 1: set data.values to 2 or more"),
        (ReversalData, {"values": 0}, "values is 0: set data.values to 2 or more"),
        (PermutationData, {"group": "A3"}, "group is 'A3': set data.group to S3, S4, S5, A4, A5"),
        (PermutationData, {"moves": 0}, "PermutationData got moves=0: give 1 or more"),
        (QueensData, {"length": 3}, "a board of queens has length 4 to 12, not 3: change data.length"),
        (QueensData, {"eval_lengths": [8, 13]}, "a board of queens has length 4 to 12, not 13"),
    ],
)
def test_settings_out_of_range_are_refused_when_made(task, settings, message):
    """Breaks when a bad setting is only noticed later, or its message does not name it."""
    with pytest.raises(DataError) as caught:
        task(**settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            (10, 4, 20),
            "ParityData of length 4 has 16 questions that no other part took, num_test asks for 20",
        ),
        ((10, 6, 12), "ParityData of length 4 has 4 questions that no other part took, num_val asks for 6"),
        ((10, 4, 12), "has 0 questions that no other part took, num_train asks for 10: lower data.num_train"),
    ],
)
def test_too_few_questions_are_refused(counts, message):
    """Breaks when a short length is searched for ever, or a split quietly becomes smaller."""
    names = ("num_train", "num_val", "num_test")
    with pytest.raises(DataError) as caught:
        _ = ParityData(length=4, **dict(zip(names, counts, strict=True))).splits
    assert message in str(caught.value)


def test_accuracy_is_told_by_length():
    """Breaks when padding rows or the wrong cells decide to which length a question belongs."""
    data = AdditionData(length=2, eval_lengths=[4, 2, 3], num_train=5, num_val=2, num_test=4, batch_size=20)
    metric = data.task_metric("test")
    batch = next(iter(data.test_dataloader()))
    assert len(batch.inputs) == 12
    answers = batch.labels.clamp(min=0)
    answers[0, 10] += 1  # a digit of the first question's sum, of the shortest length
    answers[11] = 0  # all of the last one
    logits = torch.nn.functional.one_hot(answers, data.vocab_size).float()
    spent = torch.ones(12)
    metric.update(batch, Prediction(logits, spent.int(), spent > 0, spent), 1)
    figures = {name: value.item() for name, value in metric.compute().items()}
    assert figures == {
        "length_2/exact_at_1": 0.75,
        "length_3/exact_at_1": 1.0,
        "length_4/exact_at_1": 0.75,
    }


def test_one_length_needs_no_table():
    """Breaks when every run prints the same figures twice."""
    assert SortingData(length=5, eval_lengths=[7]).task_metric("val") is None


def test_they_are_found_in_their_folder_too():
    """Recipes and programs may name them by it, though its rules are read without Lightning."""
    from recurlight.data import sequences

    assert sequences.SortingData is SortingData
    assert Trust()("recurlight.data.sequences.ParityData") is ParityData
    with pytest.raises(AttributeError, match="has no attribute 'Sorting'"):
        _ = sequences.Sorting
