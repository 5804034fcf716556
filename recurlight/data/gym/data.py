"""Tasks of reasoning gym as data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from torch import Tensor

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.gym.entries import Entries, Scorer, Text
from recurlight.data.gym.layouts import CausalLayout, Layout, SeparateLayout
from recurlight.data.gym.measure import AnswerScores
from recurlight.data.puzzles import Puzzles
from recurlight.data.sources.generated import check_counts
from recurlight.draw.seeding import seed_of
from recurlight.errors import DataError
from recurlight.metrics.task import TaskMetric
from recurlight.rendering.looks import Looks
from recurlight.rendering.wording import Wording
from recurlight.spec import settle

__all__ = ["ReasoningGymData"]

_Layout = Literal["separate", "causal"]
_LossOn = Literal["answers", "everywhere"]
_LAYOUTS: dict[str, type[Layout]] = {"separate": SeparateLayout, "causal": CausalLayout}
_USUAL = 2048
"""Positions that are taken without being asked for."""


class ReasoningGymData(PuzzleData):
    """Questions and answers of a task of reasoning gym, which makes them by a rule and scores answers.

    Characters are tokens. There are about a hundred tasks, from sums to puzzles; the library is installed by
    itself (without it, an error says how). Beside exact accuracy, `score_at_s` is the mean score of the
    task's own scorer after `s` segments and `solved_at_s` the share of full scores: some tasks have several
    right answers, or partly right ones. A few tasks name no answer, and nothing can be learnt from them.

    Questions and answers are of unequal length, and lie in one row in one of two ways:

    - `separate`, for cells that see the whole row: the question is the row, and the answer is written where
      it stands, from the first position on, and ends with token 0;
    - `causal`, for causal cells: question, separator, answer and end follow each other, and each position
      predicts the next. Such a model answers by `recurlight generate`. Its exact accuracy is that of writing
      the likeliest token one by one; of its scores only a lower bound is known, for where a wrong token is
      followed by others, what would be written is not known and scores 0. `score` scores what was written.

    Test, validation and training questions are made from seeds of their own and share none; only training
    may ask the same twice. They are made in another process, once, and kept in the cache.

    Args:
        task: Name of the task, such as `chain_sum`.
        config: Settings of its generator, as the library names them; None for its own.
        layout: `separate` or `causal`.
        loss_on: In training, supervise `answers`, or `everywhere` the question too; the latter is for the
            causal layout. Evaluation always counts answers.
        alphabet: Characters in the order of their tokens 1, 2, ...; None for those of all questions and
            answers, sorted. A checkpoint keeps them.
        length: Positions `L`; None for as many as the longest question takes with its answer, up to 2,048. A
            checkpoint keeps it.
        num_train: Training questions.
        num_val: Validation questions.
        num_test: Test questions.
        seed: Seed of the questions and of their order, see `PuzzleData`.
        settings: Those of `PuzzleData` on batches and workers.

    Raises:
        DataError: The library is not there, does not know the task or a setting, or makes questions that
            cannot be used.

    Example:
        >>> ReasoningGymData("chain_sum", {"seed": 3})
        Traceback (most recent call last):
        recurlight.errors.DataError: config has seed: leave it away, and set data.seed

    Reference:
        Stojanovski et al., Reasoning Gym, arXiv:2505.24760.
    """

    split_by = ("seed", "num_val", "num_test", "config")

    def __init__(
        self,
        task: str = "chain_sum",
        config: dict[str, Any] | None = None,
        layout: _Layout = "separate",
        loss_on: _LossOn = "answers",
        alphabet: str | None = None,
        length: int | None = None,
        num_train: int = 10_000,
        num_val: int = 200,
        num_test: int = 500,
        seed: int | None = None,
        **settings: Any,
    ) -> None:
        _check(layout, loss_on, length)
        check_counts(num_train=num_train, num_val=num_val, num_test=num_test)
        seed = seed_of(self, seed)
        counts = {"train": num_train, "val": num_val, "test": num_test}
        self.entries = Entries(task, dict(config or {}), seed, counts)
        self.texts: dict[str, list[Text]] = self.entries.texts()
        """Questions and answers of `train`, `val` and `test`."""
        every = [text for texts in self.texts.values() for text in texts]
        found = sorted(set().union(*(set(text) for pair in every for text in pair)))
        self.alphabet = tuple(dict.fromkeys(found if alphabet is None else alphabet))
        self.layout, self.everywhere = _LAYOUTS[layout](len(self.alphabet)), loss_on == "everywhere"
        self.next_token = self.layout.next_token
        places = max((self.layout.places(len(one.question), len(one.answer)) for one in every), default=1)
        _check_fits(task, places, length, set(found) - {*self.alphabet})
        super().__init__(
            vocab_size=1 + len(self.alphabet) + len(self.layout.extra),
            grid_shape=(1, places if length is None else length),
            seed=seed,
            **settings,
        )
        settle(self, "alphabet", "".join(self.alphabet), otherwise="".join(self.alphabet))
        settle(self, "length", self.seq_len, otherwise=self.seq_len)

    def load(self) -> Splits:
        """Lay the questions and answers out."""
        token = {symbol: number for number, symbol in enumerate(self.alphabet, 1)}
        parts = {}
        for part, texts in self.texts.items():
            pairs = [tuple([token[symbol] for symbol in text] for text in pair) for pair in texts]
            everywhere = self.everywhere and part == "train"
            inputs, labels = self.layout.laid(pairs, self.seq_len, everywhere)  # type: ignore[arg-type]
            parts[part] = Puzzles(inputs, labels, np.zeros(len(pairs), dtype=np.uint8))
        return Splits(**parts)

    def score(self, split: str, answers: Sequence[str]) -> list[float]:
        """Score texts as answers by the task's own rule, such as those that `generate` wrote.

        Args:
            split: `val` or `test`.
            answers: One for each question of the split, in the order of `texts[split]`.
        """
        scorer = self.scorer(split)
        return [scorer(row, text) for row, text in enumerate(answers)]

    def scorer(self, split: str) -> Scorer:
        """Return the task's own rule for the questions of `val` or `test`."""
        return self.entries.scorer(split, self.texts[split])

    def task_metric(self, split: str) -> TaskMetric:
        """Score answers by the task's own rule, by segments."""
        questions = self.splits._asdict()[split].inputs
        return AnswerScores(questions, self.layout.answer, self.looks.texts, self.scorer(split))

    def names(self) -> dict[str, Any]:
        """Return the symbols."""
        return {"symbols": [*self.alphabet, *self.layout.extra]}

    def shown(self, question: Tensor, tokens: Tensor, supervised: Tensor) -> Tensor:
        """Return answers alone, up to their end."""
        return self.layout.shown(tokens, supervised)

    def wording(self) -> Wording:
        """Every character of a question counts, line ends too."""
        return self.layout.wording(self.looks)

    @cached_property
    def looks(self) -> Looks:
        """The texts as they are."""
        return Looks(self.grid_shape, ("", *self.alphabet, *self.layout.extra), "")


def _check(layout: str, loss_on: str, length: int | None) -> None:
    for name, given, known in (("layout", layout, _LAYOUTS), ("loss_on", loss_on, get_args(_LossOn))):
        if given not in known:
            raise DataError(f"{name} is {given!r}: set data.{name} to {' or '.join(known)}")
    if loss_on == "everywhere" and layout != "causal":
        raise DataError(
            "loss_on everywhere is for rows in which each position predicts the next: set data.layout to "
            "causal, or data.loss_on to answers"
        )
    if length is not None and length < 1:
        raise DataError(f"length is {length}: set data.length to 1 or more")


def _check_fits(task: str, places: int, length: int | None, unknown: set[str]) -> None:
    """Refuse questions that are too long, or spelled in other characters."""
    if places > (_USUAL if length is None else length):
        room = f"{_USUAL:,} at most" if length is None else f"data.length is {length}"
        raise DataError(
            f"the longest question of the task {task} takes {places} positions with its answer, and {room}: "
            f"make shorter ones by data.config, or set data.length to {places}"
        )
    if unknown:
        raise DataError(
            f"questions of the task {task} have the character {min(unknown)!r}, which is not in "
            "data.alphabet: add it there"
        )
