"""Order and randomness of the training stream as pure functions of (seed, index)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import checked, within

__all__ = [
    "UInt64",
    "augmentation_keys",
    "counter_hash",
    "draws",
    "mix",
    "puzzle_rows",
    "shuffled",
    "symmetry_keys",
    "visits",
]

UInt64 = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
# Streams of a run's seed. Pass `n` over the puzzles has the stream `1 + n`. The draws of files, 2 and 3,
# share two of those: no harm, for they order other things, and a seed must go on giving what it gave. The
# others lie where the passes of no run end: generated questions from 2^32, held-out ones at 2^40,
# reasoning gym at 2^42, symmetries of search at 2^61, visits at 2^62, symmetries of ARC's tasks at 2^63.
_AUGMENTATION = 0
_ORDER = 1
_SYMMETRY = 1 << 61
_VISIT = 1 << 62


def mix(values: UInt64) -> UInt64:
    """Scramble 64-bit values one to one, as splitmix64 does.

    Args:
        values: uint64 array of at least one axis (numpy warns of overflow in scalars, not in arrays).

    Example:
        >>> [hex(value) for value in mix(np.array([0], dtype=np.uint64))]
        ['0xe220a8397b1dcdaf']

    Reference:
        Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))


def counter_hash(seed: int, stream: int, index: NDArray[np.integer]) -> UInt64:
    """Hash `(seed, stream, index)` to 64 bits, with no state between calls.

    Args:
        seed: Any integer.
        stream: Which use of the seed, so that two uses do not repeat each other.
        index: Counters, integers of any shape with at least one axis.
    """
    # Three rounds, so that seeds, streams or counters that are neighbors do not give neighboring values.
    base = mix(np.array([seed % 2**64], dtype=np.uint64))
    base = mix(base ^ np.uint64(stream))
    return mix(mix(index.astype(np.uint64)) ^ base)


def shuffled(seed: int, stream: int, size: int) -> NDArray[np.int64]:
    """Return the numbers below `size` in a random order, a function of seed and stream.

    Example:
        >>> sorted(shuffled(seed=0, stream=5, size=4).tolist())
        [0, 1, 2, 3]
    """
    return counter_hash(seed, stream, np.arange(size)).argsort(kind="stable")


def augmentation_keys(seed: int, samples: NDArray[np.int64]) -> UInt64:
    """Return the augmentation key of each sample of the run."""
    return counter_hash(seed, _AUGMENTATION, samples)


def symmetry_keys(seed: int, chain: int, marks: UInt64) -> UInt64:
    """Return the key of the symmetry that each question, known by its hash `(B,)`, is given in one draw."""
    return mix(marks ^ counter_hash(seed, _SYMMETRY, np.array([chain])))


@lru_cache(maxsize=4)
def _permutation(seed: int, number: int, size: int) -> NDArray[np.int64]:
    """Permutation of `size` puzzles for one pass over them."""
    order = shuffled(seed, _ORDER + number, size)
    order.setflags(write=False)
    return order


def puzzle_rows(seed: int, samples: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the training puzzle of each sample of the run: a fresh permutation for every pass.

    `row(k) = permutation(seed, k // size)[k % size]`

    Args:
        seed: Any integer.
        samples: Counters `k` in the run's endless stream, `(B,)`.
        size: Number of training puzzles.

    Example:
        >>> rows = puzzle_rows(0, np.arange(8), 4)
        >>> sorted(rows[:4].tolist()), sorted(rows[4:].tolist())
        ([0, 1, 2, 3], [0, 1, 2, 3])
    """
    passes, places = np.divmod(samples, size)
    rows = np.empty_like(places)
    for number in np.unique(passes):  # a batch may end one pass and begin the next
        here = passes == number
        rows[here] = _permutation(seed, int(number), size)[places[here]]
    return rows


def visits(
    seed: int, samples: NDArray[np.int64], task: NDArray[np.int64]
) -> tuple[NDArray[np.int64], UInt64]:
    """Return puzzle and augmentation key of each sample when the puzzles of a task come together.

    Every pass goes through the tasks in a fresh permutation, and through all puzzles of each: one *visit*.
    The upper 32 bits of a key are those of the visit, the lower those of the sample, so that an augmentation
    may vary a task as a whole as well as its puzzles one by one.

    Args:
        seed: Any integer.
        samples: Counters `k` in the run's endless stream, `(B,)`.
        task: Task of each training puzzle, `(n,)`.

    Example:
        >>> rows, keys = visits(0, np.arange(5), np.array([0, 0, 1, 1, 1]))
        >>> sorted(rows.tolist()), len(np.unique(keys >> np.uint64(32)))
        ([0, 1, 2, 3, 4], 2)
    """
    names, group = np.unique(task, return_inverse=True)
    passes, places = np.divmod(samples, len(task))
    rows = np.empty_like(places)
    for number in np.unique(passes):
        turn = _permutation(seed, int(number), len(names)).argsort()  # when each task's turn comes
        here = passes == number
        rows[here] = turn[group].argsort(kind="stable")[places[here]]  # stable: a task keeps its order
    visit = counter_hash(seed, _VISIT, passes * len(names) + group[rows])
    low = np.uint64(2**32 - 1)
    return rows, (visit & ~low) | (augmentation_keys(seed, samples) & low)


@checked
def draws(keys: UInt64, stream: int, size: int) -> UInt64:
    """Draw `size` random values for each key.

    Args:
        keys: `(B,)` uint64.
        stream: Which use of the key, so that two uses do not repeat each other.
        size: Number of values, at most 65,536.

    Returns:
        `(B, size)` uint64. Their `argsort` is a random permutation.

    Raises:
        IncompatibleComponents: The keys are of another shape or dtype, or a number is out of range.

    Example:
        >>> draws(np.arange(3, dtype=np.uint64), stream=0, size=4).argsort(axis=1).shape
        (3, 4)
    """
    if keys.ndim != 1 or keys.dtype != np.uint64:
        raise IncompatibleComponents(f"draws got keys {keys.shape} {keys.dtype}: give (B,) uint64")
    within("draws", "stream", stream, 0)
    within("draws", "size", size, 0, 1 << 16)
    # Each stream has 2^16 counters of its own, hence the limit: no value is drawn by two streams.
    steps = np.arange(stream << 16, (stream << 16) + size, dtype=np.uint64)
    return mix(keys[:, None] ^ mix(steps))
