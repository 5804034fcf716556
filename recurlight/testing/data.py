"""Checks of a puzzle family."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recurlight.data.base import PuzzleData
from recurlight.data.counter import counter_hash
from recurlight.data.puzzles import Puzzles, are_numbers
from recurlight.data.split import fingerprints
from recurlight.losses import MeanSquaredError
from recurlight.testing.batches import BATCHES, equal, rows, same, stream
from recurlight.testing.guises import check_rules, check_symmetries
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import draws
from recurlight.types import IGNORE, Batch, Prediction, supervised

__all__ = ["check_data"]


def check_data(
    build: Callable[[], PuzzleData], *, exclude: Mapping[str, str] | None = None, raises: bool = True
) -> Findings:
    """Check a puzzle family of yours by what recurlight promises of its own; give it few puzzles.

    | check | what must hold |
    | --- | --- |
    | `composes` | vocabulary, length and number of tasks are known before the puzzles are loaded |
    | `puzzles` | there are puzzles to train on, and all have the shapes and numbers that they should |
    | `seed` | another object of the same settings has the same puzzles and the same stream |
    | `apart` | no question that is held out is trained on, and none is in both held-out parts |
    | `augmentation` | it varies each puzzle as a function of its key alone, into one of the right shape |
    | `symmetries` | each is drawn from its key alone, can be undone, and keeps right answers right |
    | `rules` | they hold of right answers, judge each by itself, and do not hold of everything |
    | `ranks` | the batches of two processes are together those of one |
    | `resume` | a stream that is resumed goes on with the next batch |
    | `workers` | worker processes can have it, and make the same batches |
    | `randomness` | serving batches takes nothing from the global generators |
    | `looks` | every sample has a text, a picture, and marks or none |
    | `metric` | what the task measures of right answers is finite, and has the names it says |

    Args:
        build: Makes new data: a class, or a function without arguments.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import SudokuData
        >>> check_data(lambda: SudokuData(size=4, num_train=20, num_val=5, num_test=5))["apart"]
    """
    checks = {name: partial(check, build) for name, check in _CHECKS.items()}
    return run("the data", checks, exclude, raises)


Build = Callable[[], PuzzleData]


def _composes(build: Build) -> None:
    expect(build() is not build(), "give a function that makes new data at every call, not the same")
    data = build()
    needed = ("seq_len", "num_tasks", *(() if data.features and data.targets else ("vocab_size",)))
    for name in ("vocab_size", "seq_len", "num_tasks", "features", "targets"):
        size = getattr(data, name)
        expect(
            isinstance(size, int) and size >= (name in needed),
            f"{name} is {size!r} in new data: pass it to super().__init__",
        )
    expect(data._splits is None, "the constructor loads the puzzles: leave that to load()")


def _puzzles(build: Build) -> None:
    data = build()
    expect(len(data.splits.train.inputs) > 0, "there is no puzzle to train on")


def _seed(build: Build) -> None:
    first, second = build(), build()
    for name, one, other in zip(first.splits._fields, first.splits, second.splits, strict=True):
        expect(
            all(map(same, one, other)),
            f"two objects of the same settings have other {name} puzzles: draw them from self.seed alone",
        )
    expect(equal(stream(first), stream(second)), "two objects of the same settings serve other batches")


def _apart(build: Build) -> None:
    marks = [fingerprints(part) for part in build().splits]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        names = [("train", "val", "test")[part] for part in (one, other)]
        shared = int(np.isin(marks[other], marks[one]).sum())
        expect(
            not shared,
            f"{shared} questions of {names[1]} are in {names[0]} too: part them by recurlight.hold_out, or "
            "draw every question once",
        )


def _augmentation(build: Build) -> None:
    data = build()
    vary = data.augmentation()
    if vary is None:
        return
    puzzles = data.splits.train.rows(np.arange(8) % len(data.splits.train.inputs))
    keys = counter_hash(0, 0, np.arange(8))
    whole = vary(Puzzles(*(field.copy() for field in puzzles)), keys)
    some = np.array([2, 1])
    expect(
        all(map(same, whole.rows(some), vary(puzzles.rows(some), keys[some]))),
        "a puzzle becomes another one when its neighbours in the batch change: vary each by its key alone",
    )
    expect(
        whole.inputs.shape == puzzles.inputs.shape and whole.labels.shape == puzzles.labels.shape,
        f"augmentation turns {puzzles.inputs.shape} into {whole.inputs.shape}: keep the shape",
    )
    for field, nothing in ((whole.inputs, 0), (whole.labels, IGNORE)):
        _require_cells(field, nothing, data.vocab_size)


def _require_cells(field: NDArray[Any], nothing: int, vocab: int) -> None:
    """Require tokens of the vocabulary, or finite numbers; labels may be left out."""
    if are_numbers(field):
        left_out = np.isnan(field) if nothing == IGNORE else np.zeros_like(field, dtype=bool)
        expect(
            bool((np.isfinite(field) | left_out).all()),
            "augmentation makes numbers that are not finite: keep NaN to labels that do not count",
        )
        return
    cells = field[field != nothing]
    lowest, highest = int(cells.min(initial=0)), int(cells.max(initial=0))
    expect(
        lowest >= 0 and highest < vocab,
        f"augmentation makes tokens from {lowest} to {highest}: keep 0 to {vocab - 1}",
    )


def _ranks(build: Build) -> None:
    """Halves of the training batches; of the held-out puzzles the rows without padding, in order."""
    whole, halves = build(), [_on_rank(build(), rank) for rank in range(2)]
    expect(whole.batch_size % 2 == 0, f"batch_size is {whole.batch_size}: give an even one to check ranks")
    joined = [
        Batch(*map(torch.cat, zip(*pair, strict=True)))
        for pair in zip(*(stream(half) for half in halves), strict=True)
    ]
    expect(equal(stream(whole), joined), "two processes train on other samples than one")
    for name in ("val", "test"):
        parts = [rows(getattr(half, f"{name}_dataloader")()) for half in halves]
        wanted = rows(getattr(whole, f"{name}_dataloader")())
        expect(
            sorted(parts[0] + parts[1]) == sorted(wanted),
            f"two processes are asked other {name} puzzles than one: let EvaluationBatches divide them",
        )


def _on_rank(data: PuzzleData, rank: int) -> PuzzleData:
    """Put data on one of two processes: the data look at these of a trainer alone."""
    stand_in: Any = SimpleNamespace(global_rank=rank, world_size=2, overfit_batches=0)
    data.trainer = stand_in
    return data


def _resume(build: Build) -> None:
    whole = stream(build(), BATCHES)
    loader = build().train_dataloader()
    served = iter(loader)
    next(served)
    state = loader.state_dict()
    again = build().train_dataloader()
    again.load_state_dict(state)
    expect(equal(whole[1:], list(islice(again, BATCHES - 1))), "a resumed stream does not go on where it was")


def _workers(build: Build) -> None:
    dataset: Any = build().train_dataloader().dataset
    again = pickle.loads(pickle.dumps(dataset))
    expect(equal([dataset[1]], [again[1]]), "a worker process makes other batches: keep nothing between them")


def _randomness(build: Build) -> None:
    data = build()
    _ = data.splits
    expect(
        not draws(lambda: (stream(data), rows(data.val_dataloader()))),
        "serving batches draws from the global generators: draw from recurlight.data.draws(keys, ...)",
    )


def _looks(build: Build) -> None:
    data = build()
    rows, columns = data.grid_shape
    for part in data.splits:
        for inputs, labels in zip(part.inputs[:2], part.labels[:2], strict=True):
            question, answer = (_drawn(data, cells[None]) for cells in (inputs, labels))
            counts = supervised(torch.tensor(labels[None]))
            counts = counts.any(2) if counts.ndim > 2 else counts
            shown = data.shown(question, answer.clamp(min=0), counts)[0]
            for tokens in (question[0].tolist(), shown.tolist()):
                _require_looks(data, tokens, (rows, columns, 3))


def _drawn(data: PuzzleData, cells: NDArray[Any]) -> Tensor:
    """Return tokens, `(1, L)`, also those as which numbers are drawn."""
    if are_numbers(cells):
        return data.levels(torch.from_numpy(cells))
    return torch.from_numpy(cells.astype(np.int64))


def _require_looks(data: PuzzleData, tokens: list[int], shape: tuple[int, int, int]) -> None:
    text, picture, marks = data.render(tokens), data.picture(tokens), data.marks(tokens)
    expect(isinstance(text, str) and bool(text.strip()), f"render returns {text!r}: return some text")
    expect(
        picture.shape == shape and picture.dtype == np.uint8,
        f"picture returns {picture.shape} {picture.dtype}: return {shape} uint8",
    )
    expect(len(marks) in (0, len(tokens)), f"marks returns {len(marks)} texts: return one a token, or none")


def _metric(build: Build) -> None:
    data = build()
    for split in ("val", "test"):
        metric = data.task_metric(split)
        loader = getattr(data, f"{split}_dataloader")()
        if metric is None or not len(loader):
            continue
        if data.targets:
            metric.judge = MeanSquaredError().right
        for batch in loader:
            metric.update(batch, _right(batch, data.vocab_size), 1)
        found = metric.compute()
        expect(
            all(bool(torch.as_tensor(value).isfinite()) for value in found.values()),
            f"{type(metric).__name__} of right answers is not finite: {found}",
        )
        missing = set(metric.figures((1,))) ^ set(found)
        expect(
            not missing,
            f"{type(metric).__name__}.figures and compute differ by {', '.join(sorted(missing))}: let both "
            "have the same names",
        )


def _right(batch: Batch, vocab: int) -> Prediction:
    """Predict the labels, where none counts the question's tokens, or 0."""
    counts, count = supervised(batch.labels), len(batch.labels)
    otherwise = batch.inputs if batch.inputs.shape == batch.labels.shape else torch.zeros_like(batch.labels)
    answers = torch.where(counts, batch.labels, otherwise)
    return Prediction(
        answers if answers.is_floating_point() else 10.0 * functional.one_hot(answers, vocab).float(),
        torch.ones(count, dtype=torch.int32),
        torch.ones(count, dtype=torch.bool),
        torch.ones(count),
    )


_CHECKS = {
    "composes": _composes,
    "puzzles": _puzzles,
    "seed": _seed,
    "apart": _apart,
    "augmentation": _augmentation,
    "symmetries": lambda build: check_symmetries(build()),
    "rules": lambda build: check_rules(build()),
    "ranks": _ranks,
    "resume": _resume,
    "workers": _workers,
    "randomness": _randomness,
    "looks": _looks,
    "metric": _metric,
}
