"""ArcData: which pairs are trained on and asked, in which variants, in which order."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch

from data.arc.made import EVALUATION, TRAINING, small
from data.test_base import epoch, on_rank, same
from recurlight.data import ArcData
from recurlight.data.arc.grid import restore, symmetries
from recurlight.data.counter import visits
from recurlight.errors import DataError
from recurlight.types import IGNORE

SIZE = 4


@pytest.fixture
def made(tmp_path):
    """Return a function that makes data of the small sets."""
    small(tmp_path)

    def make(**settings):
        usual = {"augmentations": 6, "val_augmentations": 2, "canvas": SIZE, "batch_size": 8}
        return ArcData(source="json", path=str(tmp_path), **(usual | settings))

    return make


def pairs_of(batch, data):
    """Undo the variants of a batch at the top left: `(task, variant, question, answer)` of each row."""
    symmetry = symmetries(data.seed, batch.task.numpy(), data.per_task)
    shape = (-1, SIZE, SIZE)
    last = slice(-SIZE * SIZE, None)
    questions = restore(batch.inputs[:, last].reshape(shape).numpy(), symmetry)
    answers = restore(batch.labels[:, last].clamp(min=0).reshape(shape).numpy(), symmetry)
    numbers = zip(*np.divmod(batch.task.numpy(), data.per_task), strict=True)
    return [
        (int(task), int(variant), question.tolist(), answer.tolist())
        for (task, variant), question, answer in zip(numbers, questions, answers, strict=True)
    ]


def published(data):
    """The training pairs that the protocol names, by task."""
    tasks = [*TRAINING.items(), *EVALUATION.items()]
    everything = []
    for number, (name, one) in enumerate(tasks):
        shown = one["train"] + (one["test"] if name in TRAINING else [])
        everything += [(number, pair["input"], pair["output"]) for pair in shown]
    return everything


def test_training_has_all_pairs_but_the_evaluated_tests(made):
    """Fails if test pairs of evaluated tasks leak, or demonstrations of theirs are left out."""
    data = made(translate=False, batch_size=12, epoch_samples=12)
    (batch,) = epoch(data.train_dataloader())
    found = [(task, question, answer) for task, _, question, answer in pairs_of(batch, data)]
    assert len(published(data)) == 11
    assert sorted(found[:11]) == sorted(published(data))


def test_held_out_tasks_are_not_trained_on(made):
    """Fails if demonstrations of evaluated tasks are trained on."""
    data = made(translate=False, held_out=True, batch_size=7, epoch_samples=7)
    (batch,) = epoch(data.train_dataloader())
    assert data.num_tasks == 1
    assert sorted(task for task, *_ in pairs_of(batch, data)) == [0, 0, 0, 1, 1, 1, 1]


def test_evaluation_asks_every_test_pair_in_every_variant(made):
    """Fails if a split asks another number of variants, or answers do not follow their questions."""
    data = made()
    asked = [(2, one) for one in EVALUATION["cc"]["test"]] + [(3, one) for one in EVALUATION["dd"]["test"]]
    for loader, variants in ((data.val_dataloader(), 3), (data.test_dataloader(), 7)):
        found = [row for batch in loader for row in pairs_of(batch, data)]
        expected = [
            (task, variant, one["input"], one["output"]) for task, one in asked for variant in range(variants)
        ]
        assert found == expected


def test_identities_number_every_variant_of_every_task(made):
    data = made()
    assert data.num_tasks == 4 * 7
    seen = torch.cat([batch.task for batch in epoch(made(epoch_samples=2000).train_dataloader())])
    assert sorted(seen.unique().tolist()) == list(range(28))


def test_the_pairs_of_a_visit_come_together_in_one_variant(made):
    """Fails if variants are drawn for each pair, or a pass leaves pairs out."""
    data = made(epoch_samples=11 * 8)
    tasks = torch.cat([batch.task for batch in epoch(data.train_dataloader())]).reshape(8, 11)
    orders = set()
    for one_pass in tasks.tolist():
        runs = [one_pass[0], *(b for a, b in pairwise(one_pass) if a != b)]
        assert sorted(identity // 7 for identity in runs) == [0, 1, 2, 3]
        orders.add(tuple(identity // 7 for identity in runs))
    assert len(orders) > 1
    assert len(set(tasks.flatten().tolist())) > 12


def test_visits_are_a_function_of_seed_and_index_alone():
    """Fails if a visit's key depends on where a batch begins."""
    task = np.array([0, 0, 3, 3, 3, 9])
    rows, keys = visits(4, np.arange(60), task)
    for at in (0, 7, 13):
        some = visits(4, np.arange(at, at + 5), task)
        assert (some[0] == rows[at : at + 5]).all()
        assert (some[1] == keys[at : at + 5]).all()
    assert len(np.unique(keys)) == 60
    assert len(np.unique(keys >> np.uint64(32))) == 30
    assert (visits(5, np.arange(60), task)[1] != keys).all()


@pytest.mark.parametrize("loader", ["train_dataloader", "test_dataloader"])
def test_ranks_and_workers_change_nothing(made, loader):
    """Fails if a rank draws its own variants, or the augmentation cannot be pickled."""
    whole = epoch(getattr(made(epoch_samples=32), loader)())
    assert same(whole, epoch(getattr(pickle.loads(pickle.dumps(made(epoch_samples=32))), loader)()))
    parts = [epoch(getattr(on_rank(made(epoch_samples=32), rank, 2), loader)()) for rank in range(2)]
    for batch, left, right in zip(whole, *parts, strict=True):
        kept = len(batch.task) - len(left.task)  # the last batch may leave the second rank a row of padding
        for all_, a, b in zip(batch, left, right, strict=True):
            assert torch.equal(all_, torch.cat([a, b[:kept]]))
        assert kept or (right.labels == IGNORE).all()


def test_grids_are_shifted_together_and_one_of_a_task_stays(made):
    """Fails if question and answer are shifted apart, pairs leave the canvas, or none is at the top left."""
    data = made(augmentations=0, val_augmentations=0, canvas=6, epoch_samples=4000, batch_size=100)
    batches = epoch(data.train_dataloader())
    inputs, labels = (torch.cat(parts).reshape(-1, 6, 6) for parts in list(zip(*batches, strict=True))[:2])
    color = inputs >= 2
    assert torch.equal(color, labels >= 2)
    assert (color.sum((1, 2)) == 2).all()  # two cells in a row
    cells = color.flatten(1).int().argmax(1)
    task = torch.cat([batch.task for batch in batches])
    stays = [(cells[task == number] == 0).float().mean().item() for number in range(4)]
    for stay, pairs in zip(stays, (3, 4, 2, 2), strict=True):
        assert stay == pytest.approx(1 / pairs + (1 - 1 / pairs) / 30, abs=0.04)
    assert sorted(cells.unique().tolist()) == [row * 6 + column for row in range(6) for column in range(5)]


def test_padding_of_the_answer_is_not_supervised(made):
    batch = next(iter(made(augmentations=0, val_augmentations=0).test_dataloader()))
    assert batch.inputs[0].tolist() == [7, 10, 1, 0, 1, 1] + [0] * 10
    assert batch.labels[0].tolist() == [8, 11, 1, IGNORE, 1, 1] + [IGNORE] * 10


def test_demonstrations_are_other_pairs_in_the_same_variant(made):
    """Fails if a pair is shown its own answer, or demonstrations keep their colors."""
    data = made(demonstrations=2, translate=False)
    assert data.seq_len == 5 * SIZE**2
    for batch in (next(iter(data.train_dataloader())), next(iter(data.test_dataloader()))):
        symmetry = symmetries(data.seed, batch.task.numpy(), data.per_task)
        blocks = batch.inputs.reshape(len(batch.task), 5, SIZE, SIZE)
        shown = [restore(blocks[:, place].numpy(), symmetry) for place in range(5)]
        for row, (task, _, question, _) in enumerate(pairs_of(batch, data)):
            known = [*TRAINING.values(), *EVALUATION.values()][task]["train"]
            others = [[pair["input"], pair["output"]] for pair in known if pair["input"] != question]
            pairs = [[shown[at][row].tolist(), shown[at + 1][row].tolist()] for at in (0, 2)]
            missing = 2 - min(2, len(others))
            assert pairs[:missing] == [[[], []]] * missing
            assert all(pair in others for pair in pairs[missing:])
            assert shown[4][row].tolist() == question
        assert (batch.labels[:, : 4 * SIZE**2] == IGNORE).all()


def test_tasks_that_do_not_fit_the_canvas_are_left_out():
    data = ArcData(canvas=10, max_tasks=8, augmentations=1, val_augmentations=0)
    assert (len(data.train_tasks), len(data.eval_tasks)) == (8, 8)
    sizes = [grid.shape for task in data.train_tasks for pair in task.train for grid in pair]
    assert max(map(max, sizes)) <= 10


def test_a_set_without_answers_is_predicted_but_not_scored(tmp_path):
    """Fails if a score of nothing is reported, or unanswered questions are not asked."""
    small(tmp_path, solved=False)
    data = ArcData("json", path=str(tmp_path), augmentations=1, val_augmentations=0, canvas=SIZE)
    for stage in ("validate", "test"):
        with pytest.raises(DataError, match="the set 'evaluation' has test pairs without answers and cannot"):
            data.setup(stage)
    for stage in ("fit", "predict"):
        data.setup(stage)
    assert len(data.val_dataloader()) == 0
    (batch,) = data.predict_dataloader()
    assert batch.inputs.shape[0] == 6
    assert (batch.labels == IGNORE).all()


def test_the_published_size_needs_little_memory():
    """Fails if variants are stored: 420,000 questions would need 750 MB."""
    data = ArcData()
    assert sum(field.nbytes for split in data.splits for field in split) < 20e6
    assert (data.num_tasks, len(data.splits.train.inputs), len(data.splits.test.inputs)) == (
        800_800,
        3081,
        419,
    )
    assert len(data.test_dataloader()) == -(-419 * 1001 // 768)


def test_a_shown_answer_ends_where_its_own_grid_ends(made):
    """Fails if the question shows beside a smaller answer, or a larger prediction is cut to its size."""
    data = made(demonstrations=1)
    question = torch.from_numpy(data.splits.test.inputs[:1].astype(np.int64))
    size = SIZE * SIZE
    context = question[:, : 2 * size]
    small_grid, large = (torch.zeros(1, SIZE, SIZE, dtype=torch.int64) for _ in range(2))
    small_grid[0, 0, :2] = torch.tensor([5, 1])
    small_grid[0, 1, 0] = 1
    large[0] = torch.tensor([[5, 6, 7, 1], [5, 6, 7, 1], [1, 1, 1, 9], [9, 9, 9, 9]])
    supervised = torch.zeros_like(question, dtype=torch.bool)
    supervised[0, -size:] = small_grid.flatten() > 0
    label = torch.cat([torch.zeros_like(context), small_grid.flatten(1)], dim=1)
    shown = data.shown(question, label, supervised)
    assert torch.equal(shown, torch.cat([context, small_grid.flatten(1)], dim=1))
    guess = torch.cat([torch.full_like(context, 3), large.flatten(1)], dim=1)
    answer = data.shown(question, guess, supervised)[0, -size:].tolist()
    assert answer == [5, 6, 7, 1, 5, 6, 7, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert torch.equal(data.shown(question, guess, supervised)[:, : 2 * size], context)


def test_grids_are_drawn_as_digits(made):
    data = made(demonstrations=1)
    text = data.render(data.splits.test.inputs[0].tolist())
    assert text == "14+\n++\n\n25+\n++\n\n58+\n++"
