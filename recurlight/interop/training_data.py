"""The data that published runs trained on, recognized by the names of their folders."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from recurlight.interop.settings import SettingError, whole

__all__ = ["DataSizes", "data_sizes", "known_data", "known_tokens"]

SIDES = {"sudoku": 9, "maze": 30, "arc": 30}
"""Side of the square of tokens that a sample is, by a word of the folder's name."""

_COUNT = r"-(\d+)k(?![a-z0-9])"
_NO_COUNT = r"-aug-\d+(?![a-z0-9])|-9x9(?![a-z0-9])"
"""What a number in the name of a folder of Sudoku-Extreme means: thousands of puzzles, or something else."""


class DataSizes(NamedTuple):
    """What a data module tells its model."""

    vocab_size: int
    seq_len: int
    num_tasks: int


def _folder(config: Mapping[str, Any]) -> str:
    """Return the name of the first folder of data, without those above it, in lower case."""
    paths = config.get("data_paths") or config.get("data_path") or ""
    first = paths[0] if isinstance(paths, list) else paths
    return str(first).rstrip("/").rpartition("/")[2].lower()


def _kind(folder: str) -> str | None:
    """Return the word that tells what a folder holds, None where none does or a size in the name denies it.

    Example:
        >>> _kind("arc1concept-aug-1000"), _kind("search-5x5"), _kind("sudoku-6x6")
        ('arc', None, None)
    """
    found = next((word for word in SIDES if re.search(rf"(?<![a-z0-9]){word}(?![a-z])", folder)), None)
    sizes = re.findall(r"(?<![0-9])(\d+)x(\d+)(?![0-9])", folder)
    if found is None or any({int(side) for side in size} != {SIDES[found]} for size in sizes):
        return None
    return found


def known_tokens(config: Mapping[str, Any]) -> int | None:
    """Return the number of tokens of the data in an `all_config.yaml`, None where that is not known.

    Example:
        >>> known_tokens({"data_paths": ["data/maze-30x30-hard-1k"]}), known_tokens({})
        (900, None)
    """
    kind = _kind(_folder(config))
    return None if kind is None else SIDES[kind] ** 2


def known_data(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the data section for the data in an `all_config.yaml`, None where there is none here.

    Raises:
        SettingError: Its batch size is no number.

    Example:
        >>> known_data({"data_paths": ["data/sudoku-extreme-1k-aug-1000"]})["class_path"]
        'recurlight.SudokuData'
        >>> known_data({"data_paths": ["data/sudoku-mine"]})
    """
    folder = _folder(config)
    if _kind(folder) != "sudoku" or "extreme" not in folder:
        return None
    thousands = re.search(_COUNT, folder)
    if re.search("[0-9]", re.sub(f"{_COUNT}|{_NO_COUNT}", "", folder)):
        return None  # a number that is not understood may be that of the puzzles
    count = None if "full" in folder else 1000 * int(thousands[1]) if thousands else 1000
    size = {"num_train": count, "num_val": 200, "num_test": None}
    try:
        batch = whole(config.get("global_batch_size") or 768)
    except ValueError as error:
        raise SettingError(f"global_batch_size is {config['global_batch_size']!r}: write {error}") from error
    arguments = {"size": 9, "source": "hub", **size, "batch_size": batch}
    return {"class_path": "recurlight.SudokuData", "init_args": arguments}


def data_sizes(spec: Mapping[str, Any]) -> DataSizes:
    """Make the data module of a data section and ask for its sizes; nothing is read or downloaded.

    Raises:
        SettingError: There is no such class, or its arguments are others.
    """
    path = str(spec["class_path"])
    module, _, name = path.rpartition(".")
    try:
        data = getattr(importlib.import_module(module or "recurlight"), name)(**spec.get("init_args", {}))
        return DataSizes(data.vocab_size, data.seq_len, data.num_tasks)
    except (ImportError, AttributeError, TypeError) as error:
        raise SettingError(
            f"--data: {path} cannot be made ({error}): give a recipe or its data section"
        ) from error
