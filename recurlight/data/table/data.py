"""Your own questions and answers from files, without code."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.puzzles import Puzzles
from recurlight.data.split import fingerprints, hold_out
from recurlight.data.table.files import Table, find_tables, read_table
from recurlight.data.table.numbers import Fields, check_numbers, read_fields
from recurlight.data.table.symbols import Grids, Vocabulary, holds_text, read_grids
from recurlight.errors import DataError
from recurlight.metrics.by_group import ExactByGroup
from recurlight.metrics.task import TaskMetric
from recurlight.rendering.looks import Looks
from recurlight.rendering.wording import Wording, up_to_end
from recurlight.spec import settle
from recurlight.types import IGNORE, Batch

__all__ = ["TableData"]

_PAD = 0
_SHOWN_TASKS = 20


class TableData(PuzzleData):
    r"""Questions and answers from CSV or JSON-lines files: data of your own, and no code.

    Every row has a `question` and an `answer`: two texts, whose characters become tokens, or two grids of
    integers, as JSON lists of rows (in a CSV file too, quoted). The answer's cells lie where the question's
    cells lie, so it may not be larger than the largest question. Shorter ones are padded at the right and
    below with token 0. Two more columns are optional: `task`, a name for which the model learns a vector if
    it has a prefix, and `id`, which may not occur twice. Others are ignored. The columns may also be called
    `puzzle`, `quiz` or `input` and `solution` or `output`, and files may be packed (`.csv.gz`).

    Where an answer ends is part of it: the padding after its first row, and below its first column, is
    supervised, where there is room on the canvas; all other padding is not. So the length of a text is learnt
    and measured, and a prediction ends at its own first padding.

    `path` is a folder with `train.csv` or `train.jsonl` and, if you like, `val` and `test` files; or it is
    one file. Parts without a file are drawn from the training file, so that no question is in two parts;
    files that share a question are refused. Every row of every file is read and checked when the object is
    made.

    With `numbers` a column holds numbers in place of symbols, so many in each cell: `[0.5, 1.5]` is a row of
    two cells of one number, `[[0.5, 1.5]]` one of a cell of two, and a list of such rows is a grid; in a CSV
    file one row of single numbers may also be written `0.5 1.5`. Numbers have no padding, so questions of
    numbers have one size; an answer may be smaller, and `null` in it is not supervised.

    Questions without answers can be predicted, as the test file or as a file of their own. The latter has no
    training file beside it that would tell the symbols: a checkpoint keeps `alphabet` and `grid_shape` as
    they were found in training.

    Args:
        path: The folder or file.
        alphabet: Symbols in the order of their tokens 1, 2, ...: a text of all characters, or a list of all
            integers; None for those of the training file, sorted.
        grid_shape: Rows and columns of the canvas, `[1, L]` for texts; None for the largest question's. A
            text or list of `rows * columns` is a grid written row by row, as Sudoku often is.
        num_val: Validation rows to draw where there is no file; None for a tenth of the training file's rows.
        num_test: Test rows to draw where there is no file; None for a tenth of the training file's rows.
        end_mark: Supervise the padding that ends an answer; otherwise a prediction is judged and shown in the
            cells of the right answer only. Checkpoints written before there was a choice have none.
        numbers: Columns that hold numbers, `question`, `answer` or both, and how many each cell has; None for
            symbols alone.
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
        (4, (1, 3), array([[1, 3, 0]], dtype=int32), array([[3, 1, 0]], dtype=int32))
    """

    def __init__(
        self,
        path: str,
        alphabet: str | list[int] | None = None,
        grid_shape: tuple[int, int] | None = None,
        num_val: int | None = None,
        num_test: int | None = None,
        end_mark: bool = True,
        numbers: dict[str, int] | None = None,
        **settings: Any,
    ) -> None:
        self.numbers = check_numbers(numbers)
        symbols = [name for name in ("question", "answer") if name not in self.numbers]
        tables = _tables(Path(path), alphabet, symbols)
        self.drawn = _drawn(tables, val=num_val, test=num_test)
        first = tables.get("train") or tables["test"]
        spelled = alphabet is None and bool(symbols) and holds_text(first, symbols[0])
        self.text = isinstance(alphabet, str) or spelled
        self.end_mark = end_mark
        self.split_by = ("end_mark", *(("seed", "num_val", "num_test") if any(self.drawn.values()) else ()))
        grids = {part: _grids(table, self.text, self.numbers) for part, table in tables.items()}
        self.vocabulary = _vocabulary(alphabet, grids.get("train", []), first, self.text)
        self.tasks = sorted({str(task) for task in first.columns.get("task", [""])})
        largest = np.max([question.shapes.max(axis=0) for question, *_ in grids.values()], axis=0)
        shape = largest.tolist() if grid_shape is None else list(grid_shape)
        if len(shape) != 2 or min(shape) < 1:
            raise DataError(f"grid_shape is {grid_shape}: set data.grid_shape to [rows, columns], 1 or more")
        super().__init__(
            vocab_size=len(self.vocabulary.symbols) + 1 if symbols else 0,
            features=self.numbers.get("question", 0),
            targets=self.numbers.get("answer", 0),
            grid_shape=(shape[0], shape[1]),
            num_tasks=len(self.tasks),
            **settings,
        )
        folded = {part: [grid.folded(self.grid_shape) for grid in pair] for part, pair in grids.items()}
        self.parts = {part: self._puzzles(*pair) for part, pair in folded.items()}
        _check_ids(tables)
        _check_apart(tables, self.parts)
        for name, found in (("alphabet", self.vocabulary.spelled()), ("grid_shape", self.grid_shape)):
            if symbols or name == "grid_shape":
                settle(self, name, found, otherwise=found)

    def _puzzles(self, question: Grids | Fields, answer: Grids | Fields | None = None) -> Puzzles:
        """Turn the rows of a file into tokens, or into numbers."""
        shape = self.grid_shape
        inputs: NDArray[Any] = question.laid(self.vocabulary, shape, _PAD)
        labels: NDArray[Any] = np.full(inputs.shape[:2], IGNORE, dtype=np.int32)
        if self.targets:
            labels = np.full((*labels.shape, self.targets), np.nan, dtype=np.float32)
        if answer is not None:
            labels = answer.laid(self.vocabulary, shape, IGNORE)
        if answer is not None and self.end_mark:
            answer.end(labels, shape, _PAD)
        names = list(map(str, question.table.columns.get("task", [""] * len(inputs))))
        numbers = {name: number for number, name in enumerate(self.tasks)}
        for row, name in enumerate(names):
            if name not in numbers:
                reason = f"the task {name!r} has no row in the training file" if name else "it has no task"
                raise question.table.error(row, reason)
        return Puzzles(inputs, labels, np.array([numbers[name] for name in names], dtype=np.int32))

    def load(self) -> Splits:
        """Draw the parts that have no file."""
        if "train" not in self.parts:
            nothing = self.parts["test"].rows(slice(0))
            return Splits(nothing, self.parts.get("val", nothing), self.parts["test"])
        val, test = self.drawn.get("val", 0), self.drawn.get("test", 0)
        splits = hold_out(self.parts["train"], num_val=val, num_test=test, seed=self.seed)
        return splits._replace(**self.parts | {"train": splits.train})

    def names(self) -> dict[str, Any]:
        """Return the symbols, and where there are several the tasks."""
        tasks = {"tasks": self.tasks} if self.num_tasks > 1 else {}
        symbols = {"symbols": self.vocabulary.spelled()} if self.vocab_size else {}
        return {**symbols, **tasks}

    def task_metric(self, split: str) -> TaskMetric | None:
        """Return the exact accuracy of each task where there are 2 to 20."""
        return ExactByGroup("task", self.tasks, _task) if 1 < self.num_tasks <= _SHOWN_TASKS else None

    def shown(self, question: Tensor, tokens: Tensor, supervised: Tensor) -> Tensor:
        """Return answers up to where they end; without end marks, in the cells of the right answer."""
        if self.numbers or not self.end_mark:
            return torch.where(supervised, tokens, _PAD)
        return up_to_end(tokens, self.grid_shape)

    def wording(self) -> Wording | None:
        """The symbols of the files; shorter questions are padded, and answers end where they say."""
        if self.numbers:
            return None
        return Wording.of(self.looks, self.vocab_size, padded=True, ends=self.end_mark)

    @cached_property
    def looks(self) -> Looks:
        """The texts as they are, or grids with dots for their padding; numbers as other data show them."""
        if self.numbers:
            return super().looks
        pad, gap = ("", "") if self.text else (".", " ")
        symbols = map(self.vocabulary.show, self.vocabulary.symbols.tolist())
        # A short text has no empty rows below; where it has one row, blanks at its end are part of it.
        canvas = self.grid_shape[0] if self.text and self.grid_shape[0] > 1 else None
        return Looks(self.grid_shape, [pad, *symbols], gap, canvas=canvas)


def _tables(path: Path, alphabet: str | list[int] | None, symbols: list[str]) -> dict[str, Table]:
    """Read the files; one without answers, alone, is to be predicted."""
    tables = {part: read_table(file) for part, file in find_tables(path).items()}
    if len(tables) == 1 and "train" in tables and not tables["train"].answered:
        tables = {"test": tables["train"]}
    for part in ("train", "val"):
        if part in tables and not tables[part].answered:
            raise tables[part].missing("answer", "only the test file may be without answers")
    if alphabet is not None and not symbols:
        raise DataError(
            "alphabet lists symbols, and numbers leaves no column of them: leave data.alphabet away"
        )
    if "train" not in tables and alphabet is None and symbols:
        raise DataError(
            f"{tables['test'].path} can be predicted only, and has no training file that tells the symbols: "
            "give --ckpt_path, whose checkpoint knows them, or list them in data.alphabet"
        )
    return tables


def _grids(table: Table, text: bool, numbers: dict[str, int]) -> list[Grids | Fields]:
    """Read the questions of a file, and its answers if it has them."""
    return [
        read_fields(table, name, numbers[name]) if name in numbers else read_grids(table, name, text)
        for name in ("question", "answer")
        if name in table.columns
    ]


def _drawn(tables: dict[str, Table], **counts: int | None) -> dict[str, int]:
    """Return how many rows each part without a file takes from the training file, if there is one."""
    drawn: dict[str, int] = {}
    if "train" not in tables:
        return drawn
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


def _vocabulary(
    alphabet: str | list[int] | None, train: list[Grids | Fields], table: Table, text: bool
) -> Vocabulary:
    """Take the alphabet, or the symbols of the training file in sorted order."""
    if alphabet is None:
        nothing = np.zeros(0, dtype=np.int64)
        symbols = np.unique(np.concatenate([nothing, *(grids.symbols for grids in train)]))
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
