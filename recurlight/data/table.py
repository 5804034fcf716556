"""Your own questions and answers from files, without code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.split import fingerprints, hold_out
from recurlight.data.stream import Puzzles
from recurlight.data.table_files import Table, find_tables, read_table
from recurlight.data.table_symbols import Grids, Vocabulary, holds_text, read_grids
from recurlight.data.text_grid import text_grid
from recurlight.errors import DataError
from recurlight.exact_by_group import ExactByGroup
from recurlight.task_metric import TaskMetric
from recurlight.types import IGNORE, Batch

__all__ = ["TableData"]

_PAD = 0
_SHOWN_TASKS = 20


class TableData(PuzzleData):
    r"""Questions and answers from CSV or JSON-lines files: data of your own, and no code.

    Every row has a `question` and an `answer`: two texts, whose characters become tokens, or two grids of
    integers, as JSON lists of rows (in a CSV file too, quoted). The answer's cells lie where the question's
    cells lie, so it may not be larger than the largest question. Shorter ones are padded at the right and
    below with token 0, which is not supervised. Two more columns are optional: `task`, a name for which the
    model learns a vector if it has a prefix, and `id`, which may not occur twice. Others are ignored.

    `path` is a folder with `train.csv` or `train.jsonl` and, if you like, `val` and `test` files; or it is
    one file. Parts without a file are drawn from the training file, so that no question is in two parts;
    files that share a question are refused. Every row of every file is read and checked when the object is
    made.

    Args:
        path: The folder or file.
        alphabet: Symbols in the order of their tokens 1, 2, ...: a text of all characters, or a list of all
            integers; None for those of the training file, sorted.
        grid_shape: Rows and columns of the canvas, `[1, L]` for texts; None for the largest question's.
        num_val: Validation rows to draw where there is no file; None for a tenth of the training file's rows.
        num_test: Test rows to draw where there is no file; None for a tenth of the training file's rows.
        settings: Those of `PuzzleData` on batches, workers and the seed.

    Raises:
        DataError: A file cannot be used; with file, row (the line in the file) and reason.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "train.csv").write_text("question,answer\nab,ba\nabc,cba\nb,b\n")
        >>> _ = (folder / "test.csv").write_text("question,answer\nac,ca\n")
        >>> data = TableData(str(folder), num_val=1)
        >>> data.vocab_size, data.grid_shape, data.splits.test.inputs, data.splits.test.labels
        (4, (1, 3), array([[1, 3, 0]], dtype=int32), array([[   3,    1, -100]], dtype=int32))
    """

    def __init__(
        self,
        path: str,
        alphabet: str | list[int] | None = None,
        grid_shape: tuple[int, int] | None = None,
        num_val: int | None = None,
        num_test: int | None = None,
        **settings: Any,
    ) -> None:
        tables = {part: read_table(file) for part, file in find_tables(Path(path)).items()}
        self.drawn = _drawn(tables, val=num_val, test=num_test)
        train = tables["train"]
        self.text = isinstance(alphabet, str) or (alphabet is None and holds_text(train))
        grids = {
            part: [read_grids(table, name, self.text) for name in ("question", "answer")]
            for part, table in tables.items()
        }
        self.vocabulary = _vocabulary(alphabet, grids["train"], train, self.text)
        self.tasks = sorted({str(task) for task in train.columns.get("task", [""])})
        largest = np.max([question.shapes.max(axis=0) for question, _ in grids.values()], axis=0)
        super().__init__(
            vocab_size=len(self.vocabulary.symbols) + 1,
            grid_shape=grid_shape or (int(largest[0]), int(largest[1])),
            num_tasks=len(self.tasks),
            **settings,
        )
        self.parts = {part: self._puzzles(*pair) for part, pair in grids.items()}
        _check_ids(tables)
        _check_apart(tables, self.parts)

    def _puzzles(self, question: Grids, answer: Grids) -> Puzzles:
        """Turn the rows of a file into tokens."""
        inputs = question.place(self.vocabulary.tokens(question), self.grid_shape, _PAD)
        labels = answer.place(self.vocabulary.tokens(answer), self.grid_shape, IGNORE)
        names = list(map(str, question.table.columns.get("task", [""] * len(inputs))))
        numbers = {name: number for number, name in enumerate(self.tasks)}
        for row, name in enumerate(names):
            if name not in numbers:
                reason = f"the task {name!r} has no row in the training file" if name else "it has no task"
                raise question.table.error(row, reason)
        return Puzzles(inputs, labels, np.array([numbers[name] for name in names], dtype=np.int32))

    def load(self) -> Splits:
        """Draw the parts that have no file."""
        val, test = self.drawn.get("val", 0), self.drawn.get("test", 0)
        splits = hold_out(self.parts["train"], num_val=val, num_test=test, seed=self.seed)
        return splits._replace(**self.parts | {"train": splits.train})

    def task_metric(self, split: str) -> TaskMetric | None:
        """Return the exact accuracy of each task where there are 2 to 20."""
        return ExactByGroup("task", self.tasks, _task) if 1 < self.num_tasks <= _SHOWN_TASKS else None

    def render(self, tokens: Iterable[int]) -> str:
        """Draw a question or an answer, `(L,)` tokens: the text, or the grid with dots for its padding."""
        numbers = [int(token) for token in tokens]
        marks = [self.vocabulary.show(int(self.vocabulary.symbols[n - 1])) if n > 0 else "" for n in numbers]
        return "".join(marks) if self.text else text_grid([mark or "." for mark in marks], self.grid_shape[1])


def _drawn(tables: dict[str, Table], **counts: int | None) -> dict[str, int]:
    """Return how many rows each part without a file takes from the training file."""
    drawn = {}
    for part, count in counts.items():
        if part not in tables:
            drawn[part] = max(1, len(tables["train"].lines) // 10) if count is None else count
        elif count is not None:
            raise DataError(
                f"num_{part} is {count}, but {tables[part].path} is there: leave data.num_{part} away"
            )
    for part, count in drawn.items():
        if count < 0:
            raise DataError(f"num_{part} is {count}: set data.num_{part} to 0 or more")
    return drawn


def _task(batch: Batch) -> Tensor:
    return batch.task


def _vocabulary(alphabet: str | list[int] | None, train: list[Grids], table: Table, text: bool) -> Vocabulary:
    """Take the alphabet, or the symbols of the training file in sorted order."""
    if alphabet is None:
        symbols = np.unique(np.concatenate([grids.symbols for grids in train]))
        advice = f"which {table.path.name} has not: add a row with it, or list all symbols in data.alphabet"
        return Vocabulary(symbols, text, advice)
    listed = list(map(ord, alphabet)) if isinstance(alphabet, str) else alphabet
    if not listed or len(set(listed)) < len(listed):
        raise DataError(f"alphabet is {alphabet!r}: set data.alphabet to one or more symbols, each once")
    return Vocabulary(np.array(listed, dtype=np.int64), text, "which data.alphabet has not: add it there")


def _check_ids(tables: dict[str, Table]) -> None:
    """Refuse an id that occurs twice, in one file or in two."""
    seen: dict[str, str] = {}
    for table in tables.values():
        for row, value in enumerate(table.columns.get("id", [])):
            if str(value) in seen:
                raise table.error(
                    row, f"the id {str(value)!r} is also in {seen[str(value)]}; make ids unique"
                )
            seen[str(value)] = f"{table.path.name}, row {table.lines[row]}"


def _check_apart(tables: dict[str, Table], parts: dict[str, Puzzles]) -> None:
    """Refuse a question that is in two files: held-out rows must be new to the model."""
    seen: dict[int, str] = {}
    for part, puzzles in parts.items():
        marks: NDArray[np.uint64] = fingerprints(puzzles)
        for row, mark in enumerate(marks.tolist()):
            if mark in seen:
                reason = f"the question is also in {seen[mark]}; keep it in one of the files"
                raise tables[part].error(row, reason)
        lines = tables[part].lines
        seen.update(
            {mark: f"{tables[part].path.name}, row {lines[row]}" for row, mark in enumerate(marks.tolist())}
        )
