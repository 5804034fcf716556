"""Random numbers that belong to slots: a sample draws the same on any number of ranks.

`number = generator(seed, batch)[slot of the global batch]`

Each function draws for all slots of the global batch, from torch's global generator of the device, and keeps
the rows of this process. `RecursiveModule` seeds the generators alike on every rank, from the seed and the
number of the batch, so that what a sample draws depends on these and on its slot: not on how many ranks there
are, nor on what ran before, nor on which other rows are still there. Numbers are drawn in float32, whatever
the precision. Nothing is drawn where nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.ranks import rank as _own_rank
from recurlight.ranks import world_size
from recurlight.spec import Recorded
from recurlight.spec.given import within

__all__ = ["Dropout", "as_rank", "dropout", "integers", "normal", "number", "of_batch", "still", "uniform"]


class _Slots(NamedTuple):
    """Which slots of the global batch the rows of this process are."""

    rank: int
    ranks: int
    own: int = 0  # rows of this process's batch; 0 where only the tensor tells
    first: int = 0  # slot of the first of them, where they are told
    total: int = 0  # slots of the global batch, where they are told
    left: tuple[Tensor, Tensor] | None = None
    """Slots of the rows that are there, `(R,)` int64, and an empty `(total, 0)`; None where no row has left.

    A compiled cell takes the size of a tensor for a variable, and an integer for a constant of its graph.
    """


_slots: _Slots | None = None  # None for those that the process group tells
_still = False


def normal(like: Tensor) -> Tensor:
    """Draw standard normal numbers.

    Args:
        like: Gives shape, device and dtype, float32 if its own is of integers; batch-first, `(B, ...)`.

    Example:
        >>> state = torch.zeros(4, 16, 32)
        >>> noisy = state + 0.1 * normal(state)
    """
    drawn = _drawn(like, lambda shape: torch.randn(shape, dtype=torch.float32, device=like.device), 0.0)
    return _cast(drawn, like)


def uniform(like: Tensor) -> Tensor:
    """Draw numbers uniform in [0, 1), where low precision does not round some to 1.

    Args:
        like: Gives shape, device and dtype, float32 if its own is of integers; batch-first, `(B, ...)`.

    Example:
        >>> uniform(torch.zeros(4, 16)).shape
        torch.Size([4, 16])
    """
    return _cast(_uniform(like), like)


def integers(like: Tensor, low: int, high: int) -> Tensor:
    """Draw whole numbers uniform in `low, ..., high - 1`, int64.

    Args:
        like: Gives shape and device; batch-first, `(B, ...)`.
        low: Smallest.
        high: One above the largest.

    Example:
        >>> age = torch.zeros(4, dtype=torch.int32)
        >>> bool((integers(age, 2, 5) < 5).all())
        True
    """
    return _drawn(like, lambda shape: torch.randint(low, high, shape, device=like.device), low)


def number(low: int, high: int) -> int:
    """Draw one whole number uniform in `low, ..., high - 1` for the whole batch: the length of a window, say.

    It comes from the generator of the CPU, so that no accelerator is waited for.

    Args:
        low: Smallest.
        high: One above the largest.

    Example:
        >>> number(3, 4)
        3
    """
    return low if _still else int(torch.randint(low, high, (), device="cpu"))


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set each element to zero with probability `p`, and divide the others by `1 - p`.

    Args:
        x: `(B, ...)`.
        p: Probability, in [0, 1].
        training: Return `x` itself where False.

    Example:
        >>> bool((dropout(torch.ones(2, 8), 0.25).unique() * 0.75 <= 1).all())
        True
    """
    if not training or p == 0:
        return x
    return x * (_uniform(x) >= p) * (0.0 if p == 1 else 1 / (1 - p))


class Dropout(Recorded, nn.Module):
    """Dropout for cells: as `torch.nn.Dropout`, but each sample drops the same on any number of ranks.

    It draws in training mode only; see `dropout`. A refiner whose cell has it sets `stationary = False`.

    Args:
        p: Probability with which an element is set to zero, in [0, 1].

    Raises:
        IncompatibleComponents: `p` is no probability.

    Example:
        >>> cell = nn.Sequential(nn.Linear(32, 32), Dropout(0.1))
        >>> cell.eval()(torch.ones(2, 32)).shape
        torch.Size([2, 32])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        within("Dropout", "p", p, 0, 1)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements in training mode."""
        return dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """Return the probability, for `print`."""
        return f"p={self.p}"


@contextmanager
def as_rank(rank: int, ranks: int) -> Iterator[None]:
    """Draw as one rank of several, whatever the process group says.

    Args:
        rank: Number of the rank.
        ranks: How many there are.

    Example:
        >>> zeros = torch.zeros(4, 3)
        >>> _ = torch.manual_seed(0)
        >>> whole = normal(zeros)
        >>> _ = torch.manual_seed(0)
        >>> with as_rank(1, ranks=2):
        ...     second = normal(zeros[2:])
        >>> torch.equal(second, whole[2:])
        True
    """
    with _being(_Slots(rank, ranks)):
        yield


@contextmanager
def of_batch(count: int, total: int = 0, rows: Tensor | None = None) -> Iterator[None]:
    """Draw for a batch of known size, of which some rows may have left.

    Those that are there draw what they would among all. The slots of a rank begin at `rank * total // ranks`,
    as the loaders divide a batch.

    Args:
        count: Rows of this rank's batch before any left.
        total: Slots of the global batch; 0 for `ranks * count`, or what was said around.
        rows: Those that are there, `(R,)` int64, on the device of what is drawn; None for all. Repeats draw
            the same.

    Example:
        >>> zeros = torch.zeros(4, 3)
        >>> _ = torch.manual_seed(0)
        >>> whole = normal(zeros)
        >>> _ = torch.manual_seed(0)
        >>> with of_batch(4, rows=torch.tensor([3, 1])):
        ...     some = normal(zeros[:2])
        >>> torch.equal(some, whole[[3, 1]])
        True
    """
    rank, ranks, *_, told, _ = _here()
    total = total or told or ranks * count
    first = rank * total // ranks
    if first + count > total:  # a loader that divides batches otherwise than was told
        first, total = rank * count, ranks * count
    left = None if rows is None else (rows + first, rows.new_empty(total, 0))
    with _being(_Slots(rank, ranks, count, first, total, left)):
        yield


@contextmanager
def still() -> Iterator[None]:
    """Draw nothing: every number is the middle of what it could be, a whole one the smallest.

    A model can then be compared with itself, whatever it draws.

    Example:
        >>> with still():
        ...     normal(torch.zeros(2)), integers(torch.zeros(2), 3, 5)
        (tensor([0., 0.]), tensor([3, 3]))
    """
    global _still
    before, _still = _still, True
    try:
        yield
    finally:
        _still = before


@contextmanager
def _being(slots: _Slots) -> Iterator[None]:
    global _slots
    before, _slots = _slots, slots
    try:
        yield
    finally:
        _slots = before


def _uniform(like: Tensor) -> Tensor:
    return _drawn(like, lambda shape: torch.rand(shape, dtype=torch.float32, device=like.device), 0.5)


def _cast(drawn: Tensor, like: Tensor) -> Tensor:
    return drawn.to(like.dtype) if like.is_floating_point() else drawn


def _here() -> _Slots:
    return _Slots(_own_rank(), world_size()) if _slots is None else _slots


def _drawn(like: Tensor, make: Callable[[tuple[int, int]], Tensor], middle: float) -> Tensor:
    """Draw for all slots and keep those of the rows that `like` has.

    Args:
        like: `(B, ...)`; other axes may be folded into the first behind the slots, `(B * H, ...)`.
        make: Draws so many numbers for so many slots.
        middle: Stands for each number while `still` lasts.
    """
    if _still:
        return torch.full(like.shape, middle, device=like.device)
    here = _here()
    if here.left is not None:
        slots, room = here.left
        drawn = make((room.shape[0], _each(like, slots.shape[0])))[slots]
    else:
        rows = here.own or like.shape[0]
        first, total = (here.first, here.total) if here.own else (here.rank * rows, here.ranks * rows)
        drawn = make((total, _each(like, rows)))
        if total != rows:
            drawn = drawn[first : first + rows].clone()  # a view would keep the numbers of every rank
    return drawn.reshape(like.shape)


def _each(like: Tensor, rows: int) -> int:
    """Return how many numbers a row has.

    Raises:
        IncompatibleComponents: The tensor has no whole number of them.
    """
    if like.shape[0] % rows:
        raise IncompatibleComponents(
            f"draw got a tensor {tuple(like.shape)} where the batch has {rows} rows: "
            "give one whose first axis is the batch"
        )
    return like.numel() // rows
