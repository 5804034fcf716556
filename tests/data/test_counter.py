"""The training stream and the evaluation batches, for any size, number of ranks and place of interruption."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from data.numbers import Numbers
from recurlight.data.stream import Share


def loader(count: int, batch: int, steps: int, share: Share):
    data = Numbers((count, 1, 1), batch_size=batch, epoch_samples=batch * steps)
    data._share = lambda: share
    return data.train_dataloader()


def numbers(loader, epoch: int) -> list[list[int]]:
    """Which puzzles each batch of an epoch holds."""
    loader.sampler.set_epoch(epoch)
    return [batch.inputs[:, 0].tolist() for batch in loader]


def interrupted(loader, again, epoch: int, served: int) -> list[list[int]]:
    """Serve an epoch up to a batch, and the rest from a second loader that got the first one's state."""
    loader.sampler.set_epoch(epoch)
    batches = iter(loader)
    found = [next(batches).inputs[:, 0].tolist() for _ in range(served)]
    again.load_state_dict(loader.state_dict())
    return found + numbers(again, epoch)


@given(
    count=st.integers(1, 9),
    share=st.integers(1, 3),
    ranks=st.integers(1, 4),
    steps=st.integers(1, 4),
    where=st.tuples(st.integers(0, 10), st.integers(1, 4)),
)
def test_every_pass_holds_every_puzzle_once_wherever_it_was_interrupted(count, share, ranks, steps, where):
    """Fails if a resumed loader repeats or skips a batch, or if ranks overlap."""
    batch = share * ranks
    epochs = -(-2 * count // (batch * steps))  # two passes over the puzzles
    stop = min(where[0], epochs - 1)
    sides = []
    for rank in range(ranks):
        first, second = (loader(count, batch, steps, Share(rank, ranks)) for _ in range(2))
        epoch_batches = [
            interrupted(first, second, epoch, min(where[1], steps))
            if epoch == stop
            else numbers(second, epoch)
            for epoch in range(epochs)
        ]
        sides.append([rows for epoch in epoch_batches for rows in epoch])
    stream = [row for step in zip(*sides, strict=True) for rows in step for row in rows]
    assert len(stream) == epochs * steps * batch
    for start in range(0, len(stream) - count + 1, count):
        assert sorted(stream[start : start + count]) == list(range(count))
