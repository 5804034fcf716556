"""A tokenizer of the library `tokenizers`, of which every token stands for bytes of the text."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib import import_module
from typing import Any

from recurlight.errors import DataError

__all__ = ["pieces_of", "tokenized"]

_LITTLE = 30
"""Characters of a text that an error shows."""


def pieces_of(described: str) -> tuple[str, ...]:
    """Return the bytes of each token, as characters of the same numbers; a number without a token has none.

    Args:
        described: Content of a `tokenizer.json`.

    Raises:
        DataError: It is none, or `tokenizers` is missing.
    """
    tokenizer, content = _opened(described), json.loads(described)
    added = {entry["content"] for entry in content.get("added_tokens") or ()}
    by_byte = '"ByteLevel"' in json.dumps(content.get("decoder"))
    ids = {token: name for name, token in tokenizer.get_vocab().items()}
    if not ids or content["model"].get("dropout"):
        flaw = "draws how it divides a text, set model.dropout in it to null" if ids else "has no tokens"
        raise DataError(f"the tokenizer file {flaw}, or take another")
    names = [ids.get(token) for token in range(max(ids) + 1)]
    return tuple(_bytes(name, by_byte and name not in added).decode("latin-1") for name in names)


def tokenized(described: str, text: str, pieces: tuple[str, ...]) -> list[int]:
    """Return the numbers of a text's tokens, from 0.

    Args:
        described: Content of a `tokenizer.json`.
        text: Of any length.
        pieces: Bytes of each token, by `pieces_of`.

    Raises:
        DataError: The tokens are not the text, byte for byte.
    """
    found: list[int] = _opened(described).encode(text, add_special_tokens=False).ids
    again, wanted = "".join(pieces[token] for token in found), text.encode().decode("latin-1")
    if again == wanted:
        return found
    pairs = enumerate(zip(again, wanted, strict=False))
    at = next((place for place, (one, other) in pairs if one != other), min(len(again), len(wanted)))
    there, here = (one[at : at + _LITTLE].encode("latin-1") for one in (wanted, again))
    raise DataError(
        f"the tokenizer does not keep the text as it is, {there.decode(errors='replace')!r} becomes "
        f"{here.decode(errors='replace')!r}: take a byte-level one, as that of GPT-2"
    )


@lru_cache(maxsize=2)
def _opened(described: str) -> Any:
    try:
        library = import_module("tokenizers")
    except ImportError:
        raise DataError(
            "a tokenizer file is read by tokenizers: pip install 'recurlight[text]', or set data.tokens to "
            "characters or bytes"
        ) from None
    try:
        return library.Tokenizer.from_str(described)
    except Exception as error:  # the library has no class of its own
        raise DataError(f"the tokenizer file is none of the library tokenizers: {error}") from None


def _bytes(name: str | None, by_byte: bool) -> bytes:
    """Return what a token of a vocabulary stands for."""
    if name is None:
        return b""
    if by_byte and _alphabet().keys() >= {*name}:
        return bytes(_alphabet()[one] for one in name)
    if fallback := re.fullmatch("<0x([0-9A-F]{2})>", name):
        return bytes([int(fallback[1], 16)])
    return name.replace("\u2581", " ").encode()


@lru_cache
def _alphabet() -> dict[str, int]:
    """Return the bytes by the characters that stand for them in GPT-2's vocabulary.

    Those that can be seen stand for themselves, the others for what follows the first 256.
    """
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + at): byte for at, byte in enumerate(hidden)}
