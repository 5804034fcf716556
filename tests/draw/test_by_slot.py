"""What a slot draws depends on its place in the global batch alone, and is distributed as it says."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from helpers import seeded
from torch import Tensor, nn

from recurlight import draw
from recurlight.data.stream import Share
from recurlight.errors import IncompatibleComponents

COMPILER = shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")
ROWS = 12

DRAWS = {
    "normal": draw.normal,
    "uniform": draw.uniform,
    "integers": lambda like: draw.integers(like, -3, 1000),
    "dropout": lambda like: draw.dropout(torch.ones_like(like), 0.4),
}


@pytest.fixture(autouse=True)
def restored():
    with torch.random.fork_rng(devices=[]):
        yield


def drawn(make, like: Tensor) -> Tensor:
    """Three draws in a row: the later ones tell whether the generator went on alike."""
    torch.manual_seed(3)
    return torch.stack([make(like) for _ in range(3)], dim=1)


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 5), (ROWS, 5, 7)])
@pytest.mark.parametrize("name", DRAWS)
def test_a_slot_draws_the_same_on_any_number_of_ranks(name, shape):
    """Fails if a rank draws for its own rows only, or keeps those of another."""
    like, make = torch.zeros(shape), DRAWS[name]
    whole = drawn(make, like)
    assert len(whole.reshape(ROWS, -1).unique(dim=0)) == ROWS or name == "dropout"
    for ranks in (1, 2, 3, ROWS):
        parts = []
        for rank, part in enumerate(like.chunk(ranks)):
            with draw.as_rank(rank, ranks):
                parts.append(drawn(make, part))
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 7])
def test_shares_of_unequal_size_are_those_of_the_loader(ranks):
    """Fails if a rank's first slot is another than the loader's, as where 5 rows are divided over 2 ranks."""
    total = 5
    whole = drawn(draw.normal, torch.zeros(total, 4))
    for rank in range(ranks):
        low, high = Share(rank, ranks).of(total)
        for count in range(1, high - low + 1):  # the last batch of a split has fewer rows
            with draw.as_rank(rank, ranks), draw.of_batch(count, total):
                assert torch.equal(drawn(draw.normal, torch.zeros(count, 4)), whole[low : low + count])


def test_a_batch_that_is_larger_than_was_told_still_draws():
    """Fails if a loader of the user's own, of another size than the data say, ends in an error of torch."""
    with draw.as_rank(1, 2), draw.of_batch(4, total=5):
        found = drawn(draw.normal, torch.zeros(4, 3))
    assert torch.equal(found, drawn(draw.normal, torch.zeros(8, 3))[4:])


@pytest.mark.parametrize("name", DRAWS)
def test_rows_that_go_on_draw_what_they_would_among_all(name):
    """Fails if rows are numbered anew where others left, or if what pads them draws apart."""
    like, make, rows = torch.zeros(ROWS, 5), DRAWS[name], torch.tensor([7, 2, 11, 7])
    whole = drawn(make, like)
    with draw.of_batch(ROWS, rows=rows):
        assert torch.equal(drawn(make, like[:4]), whole[rows])
    two = ROWS // 2
    with draw.as_rank(1, 2), draw.of_batch(two, rows=torch.tensor([5, 0])):
        assert torch.equal(drawn(make, like[:2]), whole[[11, 6]])


def test_other_axes_may_be_folded_behind_the_slots():
    """Fails if heads that are folded into the batch are taken for slots."""
    heads, rows = 3, torch.tensor([7, 2])
    whole = drawn(draw.normal, torch.zeros(ROWS * heads, 5))
    split = whole.unflatten(0, (ROWS, heads))
    with draw.of_batch(ROWS, rows=rows):
        found = drawn(draw.normal, torch.zeros(2 * heads, 5))
    assert torch.equal(found.unflatten(0, (2, heads)), split[rows])
    with draw.of_batch(ROWS), pytest.raises(IncompatibleComponents, match=r"\(5, 2\) where the batch has 12"):
        draw.normal(torch.zeros(5, 2))


def test_what_is_said_ends_with_its_context_whatever_happens():
    """Fails if an error inside leaves a process to draw as another."""
    before = drawn(draw.normal, torch.zeros(4, 2))

    def failing():
        with draw.as_rank(1, 2), draw.of_batch(2, rows=torch.tensor([0])):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert torch.equal(drawn(draw.normal, torch.zeros(4, 2)), before)


@pytest.mark.parametrize("make", [draw.normal, draw.uniform])
def test_precision_changes_no_draw(make):
    """Fails if each dtype has numbers of its own, or follows the default that Lightning changes."""
    like = torch.zeros(4, 50)
    exact = drawn(make, like)
    assert exact.dtype == torch.float32
    for dtype in (torch.bfloat16, torch.float64):
        assert torch.equal(drawn(make, like.to(dtype)), exact.to(dtype))
    assert torch.equal(drawn(make, like.bool()), exact)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(drawn(make, like), exact)
    finally:
        torch.set_default_dtype(torch.float32)


def test_numbers_are_distributed_as_they_say():
    """Fails if a scale is wrong, or if slots or draws are correlated."""
    size = 200_000
    with draw.as_rank(1, 2):
        normal, flat, whole = (drawn(DRAWS[name], torch.zeros(4, size)) for name in list(DRAWS)[:3])
    off = 6 / size**0.5
    for found, mean, spread in ((normal, 0.0, 1.0), (flat, 0.5, 12**-0.5)):
        assert (found.mean(-1) - mean).abs().max() < off * spread
        assert (found.var(-1) / spread**2 - 1).abs().max() < 2 * off
        several = found.reshape(-1, size)
        assert (torch.corrcoef(several) - torch.eye(len(several))).abs().max() < off
    assert (normal.pow(4).mean() - 3).abs() < 0.05
    assert flat.min() >= 0
    assert flat.max() < 1
    assert (whole.unique() == torch.arange(-3, 1000)).all()
    assert whole.float().mean().item() == pytest.approx(498.0, abs=1.0)


def test_dropout_drops_as_often_as_it_says_and_keeps_the_mean():
    x = torch.ones(4, 50_000, requires_grad=True)
    found = draw.dropout(x, 0.3)
    assert (found == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(found.unique(), torch.tensor([0.0, 1 / 0.7]))
    found.sum().backward()
    assert torch.equal(x.grad, found)


def test_dropout_without_a_choice_draws_nothing():
    """Fails if evaluation, or a probability of 0, computes or draws anything."""
    x, before = torch.randn(4, 8), torch.get_rng_state()
    assert draw.dropout(x, 0.3, training=False) is x
    assert draw.Dropout(0.0)(x) is x
    assert draw.Dropout(0.3).eval()(x) is x
    assert torch.equal(torch.get_rng_state(), before)
    assert not draw.Dropout(1.0)(x).any()


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan"), "much"])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(IncompatibleComponents, match="Dropout got p="):
        draw.Dropout(p)


def test_a_number_is_one_for_all_ranks():
    """Fails if a scalar depends on the rank, so that windows differ in length between ranks."""

    def numbers() -> list[int]:
        torch.manual_seed(0)
        return [draw.number(2, 6) for _ in range(60)]

    whole = numbers()
    assert set(whole) == {2, 3, 4, 5}
    with draw.as_rank(1, 2):
        assert numbers() == whole


class Shaky(nn.Module):
    """A cell that drops and adds noise."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(8, 8), draw.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.linear(x)) + draw.normal(x)


def seen(cell: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(1)
    return cell(x)


@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor", marks=pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler on a CPU")
        ),
    ],
)
def test_a_compiled_cell_draws_by_slot_too(backend):
    """Fails if a graph takes the rank, the rows or the numbers of its first call for constants."""
    torch._dynamo.reset()
    x, cell = torch.randn(8, 3, 8, generator=seeded()), Shaky()
    eager = seen(cell, x)
    cell.compile(backend=backend, fullgraph=True)
    whole = seen(cell, x)
    assert not torch.allclose(cell(x), whole)
    if backend != "inductor":  # it has a generator of its own, which takes its seeds from torch's
        assert torch.allclose(whole, eager)
    with draw.as_rank(1, 2):
        torch.testing.assert_close(seen(cell, x[4:]), whole[4:])
    rows = torch.tensor([5, 2])
    with draw.of_batch(8, rows=rows):
        torch.testing.assert_close(seen(cell, x[rows]), whole[rows])
    torch._dynamo.reset()


def test_still_numbers_are_the_middle_and_nothing_is_drawn():
    like, before = torch.zeros(4, 3), torch.get_rng_state()
    with draw.still():
        assert torch.equal(draw.normal(like), like)
        assert torch.equal(draw.uniform(like.double()), like.double() + 0.5)
        assert torch.equal(draw.integers(like, 3, 7), torch.full((4, 3), 3))
        assert draw.number(2, 9) == 2
    assert torch.equal(torch.get_rng_state(), before)
    assert draw.normal(like).any()
