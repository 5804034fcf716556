from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DistributedSampler

from recurlight.data import SudokuData
from recurlight.data.base import PuzzleData
from recurlight.data.counter import counter_hash, puzzle_rows
from recurlight.data.stream import Share, TrainingBatches
from recurlight.errors import DataError
from recurlight.types import IGNORE, Batch

from .numbers import Numbers


def on_rank(data: PuzzleData, rank: int, world_size: int) -> PuzzleData:
    data._share = lambda: Share(rank, world_size)
    return data


def epoch(loader, number: int = 0) -> list[Batch]:
    loader.sampler.set_epoch(number)
    return list(loader)


def same(one: list[Batch], two: list[Batch]) -> bool:
    return len(one) == len(two) and all(
        torch.equal(a, b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True)
    )


def test_items_are_batches_of_int64():
    batch = next(iter(Numbers(batch_size=4).train_dataloader()))
    assert isinstance(batch, Batch)
    assert [(field.dtype, tuple(field.shape)) for field in batch] == [
        (torch.int64, (4, 4)),
        (torch.int64, (4, 4)),
        (torch.int64, (4,)),
    ]


def test_every_pass_is_another_permutation():
    rows = puzzle_rows(0, np.arange(60), 20).reshape(3, 20)
    assert all(sorted(row) == list(range(20)) for row in rows.tolist())
    assert len({tuple(row) for row in rows.tolist()}) == 3
    assert (puzzle_rows(1, np.arange(60), 20) != rows.reshape(-1)).any()


def test_order_is_a_function_of_the_index_alone():
    everything = puzzle_rows(5, np.arange(100), 7)
    some = np.array([93, 2, 41, 2])
    assert (puzzle_rows(5, some, 7) == everything[some]).all()


def test_hash_depends_on_each_argument():
    index = np.arange(1000)
    hashes = [counter_hash(*pair, index) for pair in ((0, 0), (0, 1), (1, 0), (-1, 0))]
    assert len(np.unique(np.concatenate(hashes))) == 4000


def test_epochs_go_on_in_one_stream():
    data = Numbers(batch_size=4, epoch_samples=12)
    long = Numbers(batch_size=4, epoch_samples=24)
    loader = data.train_dataloader()
    assert len(loader) == 3
    assert same(epoch(loader, 0) + epoch(loader, 1), epoch(long.train_dataloader()))
    assert not same(epoch(loader, 0), epoch(loader, 1))


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_together_see_the_global_batch(world_size):
    whole = epoch(Numbers(batch_size=8, epoch_samples=40).train_dataloader())
    parts = [
        epoch(on_rank(Numbers(batch_size=8, epoch_samples=40), rank, world_size).train_dataloader())
        for rank in range(world_size)
    ]
    joined = [Batch(*map(torch.cat, zip(*shares, strict=True))) for shares in zip(*parts, strict=True)]
    assert same(whole, joined)


def test_workers_make_the_same_batches():
    alone = epoch(Numbers(batch_size=4, epoch_samples=24).train_dataloader())
    assert same(alone, epoch(Numbers(batch_size=4, epoch_samples=24, num_workers=2).train_dataloader()))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_resumes_in_the_middle_of_an_epoch(workers):
    whole = epoch(Numbers(batch_size=4, epoch_samples=24).train_dataloader(), 3)
    first = Numbers(batch_size=4, epoch_samples=24).train_dataloader()
    first.sampler.set_epoch(3)
    served = iter(first)
    begun = [next(served), next(served)]
    second = Numbers(batch_size=4, epoch_samples=24, num_workers=workers).train_dataloader()
    second.load_state_dict(first.state_dict())
    rest = epoch(second, 3)
    assert same(whole, begun + rest)
    assert second.state_dict().items() >= {"epoch": 3, "served": 6}.items()
    assert same(epoch(second, 4), epoch(first, 4))


def test_no_random_number_is_taken_from_the_global_state():
    before = torch.get_rng_state()
    epoch(Numbers(batch_size=4, epoch_samples=8).train_dataloader())
    assert torch.equal(before, torch.get_rng_state())


def test_lightning_leaves_the_samplers_alone():
    """Under several ranks it replaces every sampler that is no `DistributedSampler`."""
    data = Numbers(batch_size=4)
    loaders = [
        data.train_dataloader(),
        data.val_dataloader(),
        data.test_dataloader(),
        data.predict_dataloader(),
    ]
    assert all(isinstance(loader.sampler, DistributedSampler) for loader in loaders)


def test_default_epoch_has_at_least_100_batches_and_one_pass():
    assert len(Numbers(batch_size=4).train_dataloader()) == 100
    assert len(Numbers(counts=(1001, 1, 1), batch_size=4).train_dataloader()) == 251
    assert len(Numbers(batch_size=4, epoch_samples=9).train_dataloader()) == 3


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_sees_every_puzzle_once_in_equally_many_batches(world_size):
    loaders = [
        on_rank(Numbers(counts=(1, 13, 1), batch_size=4), rank, world_size).val_dataloader()
        for rank in range(world_size)
    ]
    batches = [list(loader) for loader in loaders]
    assert {len(mine) for mine in batches} == {4}
    supervised = [
        number
        for step in zip(*batches, strict=True)
        for batch in step
        for number, label in zip(batch.inputs[:, 0].tolist(), batch.labels[:, 0].tolist(), strict=True)
        if label != IGNORE
    ]
    assert supervised == list(range(13))
    assert all(len(batch.inputs) > 0 for mine in batches for batch in mine)


def test_evaluation_without_puzzles_is_empty():
    assert list(Numbers(counts=(1, 0, 1), batch_size=4).val_dataloader()) == []


def test_test_and_predict_use_the_test_puzzles_and_their_own_batch():
    data = Numbers(batch_size=4, eval_batch_size=2)
    assert [len(batch.inputs) for batch in data.test_dataloader()] == [2, 2, 1]
    assert same(list(data.test_dataloader()), list(data.predict_dataloader()))


def test_loading_happens_once():
    data = Numbers(batch_size=4)
    for stage in ("fit", "test", None):
        data.prepare_data()
        data.setup(stage)
    assert data.loads == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, r"batch_size is 0: set data\.batch_size to 1 or more"),
        ({"batch_size": 4, "eval_batch_size": 0}, r"data\.eval_batch_size to 1"),
        ({"batch_size": 4, "epoch_samples": -1}, r"data\.epoch_samples to 1"),
        ({"batch_size": 4, "num_workers": -1}, r"data\.num_workers to 0"),
    ],
)
def test_bad_sizes_are_refused(settings, message):
    with pytest.raises(DataError, match=message):
        Numbers(**settings)


def test_a_batch_that_ranks_cannot_divide_is_refused():
    with pytest.raises(DataError, match=r"batch_size 10 .* 4 ranks: set data\.batch_size to 12"):
        on_rank(Numbers(batch_size=10), 0, 4).train_dataloader()


def test_no_training_puzzles_are_refused_only_for_fit():
    data = Numbers(counts=(0, 1, 1), batch_size=2)
    data.setup("test")
    with pytest.raises(DataError, match=r"no training puzzles: set data\.num_train"):
        data.setup("fit")


def test_training_batches_can_be_sent_to_workers():
    data = SudokuData(size=4, num_train=8, num_val=2, num_test=2)
    stream = TrainingBatches(
        data.splits.train, data.augmentation(), seed=0, batch_size=4, share=Share(), steps=2
    )
    assert same([stream[1]], [pickle.loads(pickle.dumps(stream))[1]])
