"""The data that published runs trained on, recognized by the names of their folders."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from recurlight.interop.settings import SettingError

__all__ = ["DataSizes", "data_sizes", "known_data", "known_tokens"]

TOKENS = {"sudoku": 81, "maze": 900, "arc": 900}
"""Tokens of a sample, by a word in the folder's name."""


class DataSizes(NamedTuple):
    """What a data module tells its model."""

    vocab_size: int
    seq_len: int
    num_tasks: int


def _folder(config: Mapping[str, Any]) -> str:
    """Return the name of the first folder of data, in lower case."""
    paths = config.get("data_paths") or [config.get("data_path")]
    return str(paths[0]).lower() if isinstance(paths, list) and paths else ""


def known_tokens(config: Mapping[str, Any]) -> int | None:
    """Return the number of tokens of the data in an `all_config.yaml`, None where that is not known.

    Example:
        >>> known_tokens({"data_paths": ["data/maze-30x30-hard-1k"]}), known_tokens({})
        (900, None)
    """
    return next((tokens for word, tokens in TOKENS.items() if word in _folder(config)), None)


def known_data(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the data section for the data in an `all_config.yaml`, None where there is none here.

    Example:
        >>> known_data({"data_paths": ["data/sudoku-extreme-1k-aug-1000"]})["class_path"]
        'recurlight.SudokuData'
    """
    folder = _folder(config)
    if "sudoku" not in folder:
        return None
    size = {"num_train": None if "full" in folder else 1000, "num_val": 200, "num_test": None}
    batch = config.get("global_batch_size")
    arguments = {"size": 9, "source": "hub", **size, "batch_size": batch if isinstance(batch, int) else 768}
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
