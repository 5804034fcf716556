"""What the tokens of a text are: its characters, its bytes, or those of a tokenizer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.data.text.reading import text_tokens
from recurlight.errors import DataError
from recurlight.rendering.tokenizer import pieces_of, tokenized

__all__ = ["Spelling", "spelled"]

Tokens = NDArray[np.unsignedinteger[Any]]
_MANY = 2**16
"""Tokens of which one has two bytes."""


class Spelling(NamedTuple):
    """The symbols of a text, of which token 1, 2, ... stand for the first, the second, ..."""

    symbols: tuple[str, ...]
    """Characters; or bytes, as characters of the same numbers."""
    raw: bool
    """Whether they are bytes."""
    tokenizer: str = ""
    """Content of the file that divides texts; empty where each character or byte is a token."""

    def sizes(self) -> list[int]:
        """Return the bytes of each token; token 0 has none."""
        return [0, *(len(one) if self.raw else len(one.encode()) for one in self.symbols)]

    def names(self) -> dict[str, Any]:
        """Return what the tokens stand for, and what divides texts into them."""
        told = {"tokenizers": hashlib.sha256(self.tokenizer.encode()).hexdigest()} if self.tokenizer else {}
        return {"symbols": list(self.symbols), **told}


def spelled(text: str, tokens: str, alphabet: str | None) -> tuple[Spelling, Tokens]:
    """Divide a text.

    Args:
        text: The whole.
        tokens: `characters`, `bytes`, or the file of a tokenizer.
        alphabet: Characters in the order of their tokens; None for those of the text, sorted.

    Raises:
        DataError: It cannot be divided so.
    """
    if tokens == "characters":
        symbols = tuple(dict.fromkeys(sorted(set(text)) if alphabet is None else alphabet))
        return Spelling(symbols, raw=False), text_tokens(text, symbols)
    if alphabet is not None:
        raise DataError(f"alphabet is for characters, and tokens is {tokens!r}: leave data.alphabet out")
    if tokens == "bytes":
        symbols = tuple(map(chr, range(256)))
        return Spelling(symbols, raw=True), text_tokens(text.encode().decode("latin-1"), symbols)
    tokenizer = _content(tokens)
    pieces = pieces_of(tokenizer)
    found = np.array(tokenized(tokenizer, text, pieces)) + 1
    narrow: Tokens = found.astype(np.uint16 if len(pieces) < _MANY else np.uint32)
    return Spelling(pieces, raw=True, tokenizer=tokenizer), narrow


def _content(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise DataError(
            f"tokens is {path!r}, which is no file of the library tokenizers: set data.tokens to characters, "
            "to bytes, or to a tokenizer.json"
        ) from None
