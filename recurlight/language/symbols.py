"""The tokens of data in the vocabulary of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recurlight.errors import CheckpointError, IncompatibleComponents

__all__ = ["token_numbers"]


def token_numbers(
    transformers: Any, folder: Path, gguf_file: str | None, symbols: Sequence[int] | Sequence[str] | None
) -> list[int]:
    """Return the model's own number of each of the data's tokens.

    Args:
        transformers: The module `transformers`.
        folder: Of the model, with its tokenizer unless all symbols are numbers.
        gguf_file: File with the tokenizer; None for the folder's own.
        symbols: Text or number of each token; None for padding and then all of the tokenizer's.

    Raises:
        CheckpointError: There is no tokenizer.
        IncompatibleComponents: A text is not one token, or two texts are the same one.
    """
    if symbols is not None and all(isinstance(symbol, int) for symbol in symbols):
        return [int(symbol) for symbol in symbols]
    tokenizer = _tokenizer(transformers, folder, gguf_file)
    end = tokenizer.eos_token_id or 0
    if symbols is None:
        return [end, *range(max(tokenizer.get_vocab().values()) + 1)]
    numbers = [_number(tokenizer, str(symbol)) if symbol else end for symbol in symbols]
    for place, symbol in enumerate(symbols):
        if numbers.index(numbers[place]) != place:
            first = symbols[numbers.index(numbers[place])]
            raise IncompatibleComponents(
                f"PretrainedBackbone has one token for {first!r} and {symbol!r}: give each of the data's "
                "tokens another text in model.backbone.symbols"
            )
    return numbers


def _number(tokenizer: Any, text: str) -> int:
    """Look up a text that is one token."""
    found: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if len(found) != 1 or tokenizer.decode(found) != text:
        known = f"{len(found)} tokens" if len(found) > 1 else "no token"
        raise IncompatibleComponents(
            f"PretrainedBackbone has {known} for {text!r}, not one: let model.backbone.symbols be texts "
            "that are one each, such as letters, or the numbers of tokens"
        )
    return found[0]


def _tokenizer(transformers: Any, folder: Path, gguf_file: str | None) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, gguf_file=gguf_file, trust_remote_code=False
        )
    except Exception as error:  # what is missing depends on the kind of tokenizer
        raise CheckpointError(
            f"{gguf_file or folder}: there is no tokenizer that can be read ({type(error).__name__}); set "
            "model.backbone.symbols to the numbers of its tokens"
        ) from error
