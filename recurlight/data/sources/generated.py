"""Generated data sets: many puzzles on all cores, none twice, kept on disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray

from recurlight.data.base import Splits
from recurlight.data.counter import UInt64
from recurlight.data.puzzles import Puzzles
from recurlight.data.sources.cache import cache_folder, load_arrays, save_arrays
from recurlight.data.split import Deck
from recurlight.data.stream import answered
from recurlight.errors import DataError

__all__ = ["Tokens", "cached_splits", "check_counts", "make_texts"]

Tokens = NDArray[np.uint8]
_WORTH_PROCESSES = 32


def check_counts(**counts: int | None) -> None:
    """Refuse negative numbers of puzzles; None stands for all there are.

    Raises:
        DataError: With the setting to change.
    """
    for name, count in counts.items():
        if count is not None and count < 0:
            raise DataError(f"{name} is {count}: set data.{name} to 0 or more")


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _worker(script: str, arguments: Sequence[int], indices: range) -> list[list[str]]:
    """Make the puzzles of `indices` in another process.

    It runs the generator's file rather than a `multiprocessing` pool: that would import the caller's script
    again (and torch), and fork is not safe beside threads.
    """
    words = (*arguments, indices.start, indices.stop, indices.step)
    command = [sys.executable, "-I", script, *map(str, words)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split(",") for line in lines]


def make_texts(
    script: str,
    arguments: Sequence[int],
    make: Callable[[int], Sequence[str]],
    indices: range,
    cores: int | None = None,
) -> list[list[str]]:
    """Make the puzzles with the given numbers, in their order, whatever the number of cores.

    Args:
        script: File of the generator, standard library only. Called with `arguments` and start, stop and
            step of a range, it prints a line for each puzzle, its texts divided by commas.
        arguments: What it needs beside the numbers.
        make: What it does for one number, for this process.
        indices: Numbers of the puzzles, step 1.
        cores: Processes to use; None for all cores.
    """
    cores = _cores() if cores is None else cores
    if cores == 1 or len(indices) < _WORTH_PROCESSES:
        return [list(make(index)) for index in indices]
    parts = [indices[core::cores] for core in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        made = list(pool.map(lambda part: _worker(script, arguments, part), parts))
    return [made[place % cores][place // cores] for place in range(len(indices))]


def cached_splits(
    name: str,
    key: tuple[object, ...],
    counts: tuple[int, int, int],
    make: Callable[[range], tuple[Tokens, Tokens]],
    identity: Callable[[Puzzles], UInt64],
    what: str,
    advice: str,
) -> Splits:
    """Return generated splits in which no puzzle comes twice, from the cache if they were made before.

    Args:
        name: Begins the file's name, such as `sudoku-9x9`.
        key: All that the puzzles depend on, beside the counts.
        counts: Training, validation and test puzzles.
        make: Makes questions and answers with the numbers of a range.
        identity: What must not repeat, see `Deck`.
        what: What they are, such as `puzzles of size 4`.
        advice: What to change where there are not so many.

    Raises:
        DataError: There are not so many.
    """
    digest = hashlib.sha256(repr((*key, counts)).encode())
    path = cache_folder() / f"{name}-{digest.hexdigest()[:16]}.npz"
    if not path.exists():
        count = sum(counts)
        rank_zero_info(f"Making {count:,} puzzles ({name}), kept in {path}")
        # A puzzle takes long to make: the few that replace repeated ones are made in a second round.
        deck = Deck(lambda numbers: answered(*make(numbers)), identity, least=1 + count // 8)
        made = deck.deal(count)
        if len(made.inputs) < count:
            raise DataError(f"only {len(made.inputs)} different {what} were found for {count}: {advice}")
        save_arrays(path, questions=made.inputs, answers=made.labels)
    arrays = load_arrays(path)
    puzzles = answered(arrays["questions"], arrays["answers"])
    ends = np.cumsum(counts)
    return Splits(*(puzzles.rows(slice(end - count, end)) for end, count in zip(ends, counts, strict=True)))
