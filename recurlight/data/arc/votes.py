"""ARC answers by vote over the variants of a task."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from recurlight.data.arc.files import Grid, Task
from recurlight.data.arc.grid import restore, symmetries
from recurlight.data.arc.ranking import Candidate, Vote, pack, rank_candidates, solved, unpack
from recurlight.metrics.task import TaskMetric
from recurlight.ranks import gather_objects, is_first
from recurlight.types import IGNORE, Batch, Prediction

__all__ = ["ATTEMPTS", "ArcVotes"]

ATTEMPTS = (1, 2, 5, 10, 100, 1000)
SUBMITTED = 2

Votes = dict[tuple[int, int], dict[int, Vote]]
"""`(task, test pair) -> variant -> (packed grid, confidence)`."""


class ArcVotes(TaskMetric):
    """Answers each test pair of the evaluated tasks by a vote over the variants in which it was asked.

    Every prediction is cropped to the largest rectangle of colors at the top left, its variant's symmetry is
    undone, and equal grids are counted; see `rank_candidates`. `pass_at_k` is the share of test pairs,
    averaged by task, whose answer is among the first `k` candidates. Any number of ranks gives the same.

    Args:
        tasks: Evaluated tasks, in the order of their identities.
        first: Number of the first of them among all tasks.
        variants: Variants of each task, itself included.
        canvas: Rows and columns of a grid's canvas.
        seed: Seed of the symmetries.
        folder: Where `table` writes `submission.json`, two attempts for each test pair, and `tasks.csv`; None
            to write nothing.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        first: int,
        variants: int,
        canvas: int,
        seed: int,
        folder: str | None = None,
    ) -> None:
        super().__init__()
        self.tasks, self.first, self.variants = tasks, first, variants
        self.canvas, self.seed, self.folder = canvas, seed, folder
        self.questions: list[dict[bytes, int]] = []
        for task in tasks:
            numbers: dict[bytes, int] = {}
            for number, pair in enumerate(task.test):
                numbers.setdefault(pack(pair.question), number)
            self.questions.append(numbers)
        self.votes: Votes = {}
        self.grids: dict[bytes, bytes] = {}  # equal grids share their memory
        self.ranking: list[list[list[Candidate]]] | None = None

    def update(self, batch: Batch, prediction: Prediction, segments: int) -> None:
        """Take in the votes of a batch; see `TaskMetric.update`."""
        self.ranking = None
        real = batch.asked()
        if not real.any():
            return
        batch = Batch(*(field[real] for field in batch))
        prediction = Prediction(*(field[real] for field in prediction))
        shape = (-1, self.canvas, self.canvas)
        last = slice(-self.canvas * self.canvas, None)  # the question follows the demonstrations
        identity = batch.task.cpu().numpy()
        symmetry = symmetries(self.seed, identity, self.variants)
        asked = restore(batch.inputs[:, last].reshape(shape).cpu().numpy(), symmetry)
        answers = restore(prediction.logits[:, last].argmax(-1).reshape(shape).cpu().numpy(), symmetry)
        known = (batch.labels != IGNORE).any(1).tolist()
        confidences = prediction.confidence.tolist()
        rows = zip(identity.tolist(), asked, answers, known, confidences, strict=True)
        for number, question, answer, supervised, confidence in rows:
            task, variant = number // self.variants - self.first, number % self.variants
            test = self.questions[task][pack(question)]
            if supervised or self.tasks[task].test[test].answer is None:  # else a row that is not counted
                votes = self.votes.setdefault((task, test), {})
                grid = pack(answer)
                votes.setdefault(variant, (self.grids.setdefault(grid, grid), confidence))

    def standings(self) -> list[list[list[Candidate]]]:
        """Return the candidates for each test pair of each task, best first; every rank must call it."""
        if self.ranking is None:
            merged: Votes = {}
            for own in gather_objects(self.votes):
                for pair, votes in own.items():
                    merged[pair] = votes | merged.get(pair, {})
            self.ranking = [
                [
                    rank_candidates(merged.get((number, questions[pack(pair.question)]), {}).values())
                    for pair in task.test
                ]
                for number, (task, questions) in enumerate(zip(self.tasks, self.questions, strict=True))
            ]
        return self.ranking

    def places(self) -> list[list[int | None]]:
        """Return the place of the right answer among the candidates for each test pair of each task."""
        return [
            [
                next((at for at, one in enumerate(ranked, start=1) if _is(one, pair.answer)), None)
                for pair, ranked in zip(task.test, tests, strict=True)
            ]
            for task, tests in zip(self.tasks, self.standings(), strict=True)
        ]

    def compute(self) -> dict[str, Tensor]:
        """Return `pass_at_k` for 1, 2, 5, 10, 100 and 1,000 attempts."""
        places = self.places()
        return {f"pass_at_{count}": torch.tensor(solved(places, count)) for count in ATTEMPTS}

    def figures(self, points: Sequence[int]) -> list[str]:
        """Return `pass_at_k` for each number of attempts."""
        return [f"pass_at_{count}" for count in ATTEMPTS]

    def table(self) -> str:
        """Return the shares of solved test pairs as text, and write the files where there is a folder."""
        places = self.places()
        lines = [f"test pairs of {len(self.tasks)} tasks answered by vote"]
        if all(pair.answer is not None for task in self.tasks for pair in task.test):
            lines.append("attempts" + "".join(f"{count:>8}" for count in ATTEMPTS))
            lines.append("solved  " + "".join(f"{f'{solved(places, count):.1%}':>8}" for count in ATTEMPTS))
        if self.folder is not None:
            files = self.save(Path(self.folder), places)
            lines.append(f"written: {' and '.join(map(str, files))}")
        return "\n".join(lines)

    def save(self, folder: Path, places: list[list[int | None]]) -> list[Path]:
        """Write the submission and the report of each test pair, on the first rank."""
        files = [folder / "submission.json", folder / "tasks.csv"]
        if is_first():
            folder.mkdir(parents=True, exist_ok=True)
            files[0].write_text(json.dumps(self.submission()))
            with files[1].open("w", newline="") as file:
                csv.writer(file).writerows(self.report(places))
        return files

    def submission(self) -> dict[str, list[dict[str, list[list[int]]]]]:
        """Return two attempts for each test pair; the first stands in for a missing second, 0 for both."""
        attempts: dict[str, list[dict[str, list[list[int]]]]] = {}
        for task, tests in zip(self.tasks, self.standings(), strict=True):
            attempts[task.name] = []
            for ranked in tests:
                grids = [unpack(one.grid).tolist() for one in ranked[:SUBMITTED]] or [[[0]]]
                grids += grids[:1] * (SUBMITTED - len(grids))
                attempts[task.name].append({f"attempt_{at}": grid for at, grid in enumerate(grids, start=1)})
        return attempts

    def report(self, places: list[list[int | None]]) -> list[list[object]]:
        """Return a header and one line for each test pair."""
        lines: list[list[object]] = [["task", "test", "place", "candidates", "votes", "confidence"]]
        for task, tests, found in zip(self.tasks, self.standings(), places, strict=True):
            for number, (ranked, place) in enumerate(zip(tests, found, strict=True)):
                best = [ranked[0].votes, f"{ranked[0].confidence:.6f}"] if ranked else [0, ""]
                lines.append([task.name, number, place or "", len(ranked), *best])
        return lines

    def reset(self) -> None:
        """Forget every vote."""
        super().reset()
        self.votes, self.grids, self.ranking = {}, {}, None


def _is(candidate: Candidate, answer: Grid | None) -> bool:
    return answer is not None and candidate.grid == pack(answer)
