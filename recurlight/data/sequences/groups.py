"""Products in permutation groups."""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import combinations, permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import UInt64, draws
from recurlight.data.sequences.base import Questions, SequenceData
from recurlight.data.symmetry import Symmetry, SymmetryGroup
from recurlight.errors import DataError
from recurlight.spec.given import within

__all__ = ["PermutationData", "elements"]

GROUPS = ("S3", "S4", "S5", "A4", "A5")


def _even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for a, b in combinations(permutation, 2)) % 2 == 0


@lru_cache(maxsize=len(GROUPS))
def elements(group: str) -> NDArray[np.int64]:
    """Return the permutations of a group in lexicographic order, the identity first, `(G, n)`.

    Example:
        >>> elements("S3").tolist()
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    """
    every = permutations(range(int(group[1])))
    return np.array([p for p in every if group[0] == "S" or _even(p)], dtype=np.int64)


def _numbers(found: NDArray[np.int64], group: str) -> NDArray[np.int64]:
    """Number permutations, `(n, size)`, as `elements` does."""
    table = elements(group)
    places = table.shape[1] ** np.arange(table.shape[1])[::-1]  # lexicographic order is numeric order
    found_at: NDArray[np.int64] = np.searchsorted(table @ places, found @ places)
    return found_at


@lru_cache(maxsize=len(GROUPS))
def _conjugates(group: str) -> NDArray[np.int64]:
    """Number of `h g h^-1` for elements number `h` and `g`, `(G, G)`."""
    table = elements(group)
    return np.stack([_numbers(one[table[:, one.argsort()]], group) for one in table])


def _conjugated(questions: NDArray[Any], keys: UInt64, *, group: str) -> Symmetry:
    """Rename the permuted things: the product of conjugates is the conjugate of the product."""
    table = _conjugates(group)
    drawn = table[(draws(keys, 0, 1)[:, 0] % np.uint64(len(table))).astype(np.int64)]  # (B, G)
    cells = np.tile(np.arange(questions.shape[1]), (len(keys), 1))
    return Symmetry.of(cells, np.pad(drawn + 1, ((0, 0), (1, 0))))


class PermutationData(SequenceData):
    """Elements `g_1, g_2, ...` of a permutation group, and at each of them the product up to there.

    `answer_i = g_i g_(i-1) ... g_1`, the permutation that applies `g_1` first. Element number `k` of
    `elements(group)` is token `k + 1`. Following the state of such a product is the hardest thing that fixed
    depth cannot do: the word problem of S5 and A5 is complete for NC1, those of S3, S4 and A4, which are
    solvable groups, are easier.

    Args:
        group: All permutations of 3, 4 or 5 things, or the even ones of 4 or 5: 6, 24, 120, 12, 60 elements.
        moves: Elements of a question at most that are not the identity, at drawn places; None for as many as
            there are. With few of them the products are short, whatever the length.
        settings: Those of `SequenceData` and `PuzzleData`, such as `length`, `eval_lengths`, `batch_size`.

    Raises:
        DataError: A setting is out of range.

    Example:
        >>> data = PermutationData("S3", length=4, num_train=100, num_val=10, num_test=10)
        >>> question, answer, _ = data.splits.train.rows(slice(0, 1))
        >>> print(data.render(question[0]), "->", data.render(answer[0]))
        321 123 312 213 -> 321 321 213 123

    Reference:
        Merrill, Petty and Sabharwal 2024, "The illusion of state in state-space models" (arXiv:2404.08819).
    """

    def __init__(
        self, group: Literal["S3", "S4", "S5", "A4", "A5"] = "S5", moves: int | None = None, **settings: Any
    ) -> None:
        if group not in GROUPS:
            raise DataError(f"group is {group!r}: set data.group to {', '.join(GROUPS)}")
        symbols = ["".join(str(place + 1) for place in element) for element in elements(group)]
        within("PermutationData", "moves", 1 if moves is None else moves, 1, error=DataError)
        super().__init__(symbols=symbols, **settings)
        self.group, self.moves = group, moves

    def sample(self, length: int, keys: UInt64) -> Questions:
        """Draw elements and multiply them."""
        table = elements(self.group)
        drawn = (draws(keys, 0, length) % np.uint64(len(table))).astype(np.int64)  # (n, length)
        if self.moves is not None:
            order = draws(keys, 1, length).argsort(axis=1).argsort(axis=1)
            drawn = np.where(order < self.moves, drawn, 0)
        product = np.broadcast_to(table[0], (len(keys), table.shape[1]))
        products = np.empty_like(drawn)
        for place in range(length):
            product = np.take_along_axis(table[drawn[:, place]], product, axis=1)
            products[:, place] = _numbers(product, self.group)
        return Questions(drawn[:, None] + 1, products[:, None] + 1)

    def symmetry_group(self) -> SymmetryGroup:
        """Return the conjugations by elements of the group: other names for the things that are permuted."""
        return partial(_conjugated, group=self.group)
