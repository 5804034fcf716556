"""Text files as one long row of tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recurlight.data.text.sources import standard_library
from recurlight.errors import DataError

__all__ = ["read_text", "text_tokens"]


def read_text(path: str | None, suffix: str, limit: int | None = None) -> str:
    """Return the text of a file, of all files of a folder in the order of their names, or of the library.

    Args:
        path: File, or folder that is searched with all below it; None for Python's standard library.
        suffix: Ending of the files of a folder.
        limit: Characters from the start; None for all. Files behind them are not read.

    Raises:
        DataError: There is no text, or a file is not UTF-8; with the file.
    """
    parts, size = list[str](), 0
    for file in standard_library() if path is None else _files(path, suffix):
        if limit is not None and size >= limit:
            break
        parts.append(_read(file))
        size += len(parts[-1])
    if not size:
        raise DataError(f"{path} has no text: give a file that is not empty")
    return "".join(parts)[:limit]


def _files(path: str, suffix: str) -> list[Path]:
    place = Path(path)
    if not place.exists():
        raise DataError(
            f"there is no file or folder {path}: set data.path to a text file, or a folder of them"
        )
    files = [place] if place.is_file() else sorted(one for one in place.rglob(f"*{suffix}") if one.is_file())
    if not files:
        raise DataError(
            f"no file in {path} ends in {suffix}: set data.suffix to what they end in, such as .py"
        )
    return files


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, row {line}, is not UTF-8: save it as UTF-8 text, or leave it out") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def text_tokens(text: str, symbols: tuple[str, ...]) -> NDArray[np.uint16]:
    """Return the token of each character, from 1: its place among the symbols.

    Raises:
        DataError: A character is none of the symbols.

    Example:
        >>> text_tokens("abba", ("a", "b")).tolist()
        [1, 2, 2, 1]
    """
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    table = np.zeros(int(max(codes.max(initial=0), *map(ord, symbols))) + 1, dtype=np.uint16)
    table[[ord(symbol) for symbol in symbols]] = np.arange(1, len(symbols) + 1)
    tokens: NDArray[np.uint16] = table[codes]
    unknown = np.flatnonzero(tokens == 0)
    if len(unknown):
        raise DataError(
            f"the text has the character {text[int(unknown[0])]!r}, which is none of the {len(symbols)} "
            "symbols of data.alphabet: take it out of the text, add it there before training, or train "
            "with data.tokens set to bytes"
        )
    return tokens
