"""What all files of puzzles have in common: their bytes, their names, and the names of their columns."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recurlight.errors import DataError, suggestion

__all__ = ["ANSWER", "QUESTION", "HeaderError", "columns", "contents", "ending", "missing", "part_file"]

QUESTION, ANSWER = "question", "answer"

_NAMES = {
    QUESTION: ("questions", "puzzle", "puzzles", "quiz", "quizzes", "input", "inputs"),
    ANSWER: ("answers", "solution", "solutions", "output", "outputs"),
}
"""What files in the wild call the two columns."""

_PACKED = ".gz"


class HeaderError(ValueError):
    """The names of the columns leave open which is which; the message is a reason without file and row."""


def columns(names: Sequence[str]) -> dict[str, str]:
    """Find which columns of a file are the questions and the answers, by their names.

    Args:
        names: Of all columns.

    Returns:
        The column's name under `question` and under `answer`, as far as there is one.

    Raises:
        HeaderError: Two could be the same.

    Example:
        >>> columns(["id", "Puzzle", "solution"])
        {'question': 'Puzzle', 'answer': 'solution'}
    """
    found = {}
    for kind, others in _NAMES.items():
        exact = [name for name in names if name.strip().lower() == kind]
        fitting = exact or [name for name in names if name.strip().lower() in others]
        if len(fitting) > 1:
            same = f"two columns are called {fitting[0]}" if fitting[0] == fitting[1] else ""
            raise HeaderError(
                f"{same or f'{fitting[0]} and {fitting[1]} both could be the {kind}'}; rename one"
            )
        if fitting:
            found[kind] = fitting[0]
    return found


def ending(path: Path, known: Sequence[str]) -> str | None:
    """Return which of the endings a file's name has, packed or not, in small letters or capitals, or None.

    Example:
        >>> ending(Path("train.csv.gz"), [".csv", ".jsonl"])
        '.csv'
    """
    name = path.name.lower().removesuffix(_PACKED)
    return next((suffix for suffix in known if name.endswith(suffix)), None)


def missing(path: Path, advice: str) -> DataError:
    """Return the error for a file or folder that is not there, with the name that may be meant."""
    beside = path.parent.glob("*") if path.parent.is_dir() else ()
    near = suggestion(str(path), [str(other) for other in beside if other != path])
    return DataError(f"{path}: no such file or folder{near or ';'} {advice}")


def part_file(folder: Path, part: str, endings: Sequence[str]) -> Path | None:
    """Return the file of a folder that holds a part, such as `train.csv` or `train.csv.gz`; None for none.

    Raises:
        DataError: There are two.
    """
    names = [f"{part}{suffix}{packed}" for suffix in endings for packed in ("", _PACKED)]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder} has {found[0].name} and {found[1].name}: remove one of them")
    return found[0] if found else None


def contents(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of a file: mapped, not read, unless they have to be unpacked.

    Raises:
        DataError: The file cannot be read, is empty, or is a packed file that was cut off.
    """
    try:
        packed = path.name.lower().endswith(_PACKED)
        if packed or not path.stat().st_size:  # an empty file cannot be mapped
            content = path.read_bytes()
            found = np.frombuffer(gzip.decompress(content) if packed else content, dtype=np.uint8)
        else:
            found = np.memmap(path, dtype=np.uint8, mode="r")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: no whole gzip file, it was cut off or damaged; copy it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read, {error.strerror}") from error
    if not len(found):
        raise DataError(f"{path}: the file is empty; it needs the columns question and answer")
    return found
