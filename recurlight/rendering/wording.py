"""How questions and answers of a task are written: all that reading a question from a text takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from recurlight.errors import DataError
from recurlight.rendering.looks import Looks
from recurlight.rendering.tokenizer import tokenized
from recurlight.spec import Recorded

__all__ = ["Wording", "up_to_end"]


@dataclass(frozen=True)
class Wording(Recorded):
    """How the questions and answers of a task are written: texts to tokens, and tokens to texts.

    A few facts, by which a trained model can be asked without its data: checkpoints keep them. Symbols of one
    character each are read one by one, blanks, line ends and the rules between boxes passed over; others are
    divided by blanks. A grid is written row by row, in one line or in several, or as a JSON list of rows.

    Args:
        shape: Rows and columns of the canvas; `L` is their product.
        texts: What each token is in a text.
        gap: What stands between two cells of a picture, see `Looks`.
        boxes: Rows and columns of the boxes that pictures rule; None for no boxes.
        canvas: Rows of each canvas where several lie below each other, see `Looks`.
        also: Other texts that are read for a token.
        unasked: Tokens that no question has.
        once: Tokens that every question has once.
        rows: Rows in which an answer is written, the question staying in the others; empty for all.
        padded: Questions may be smaller than the canvas: they lie at its top left, with token 0 beside them.
        ends: An answer has a size of its own, and ends at its first padding; otherwise that of the question.
        mirrored: Rows are written from their last column to their first.
        verbatim: A running text in one row, of which every character counts, blanks and line ends too: its
            `characters`, or its `bytes` in UTF-8, whose texts are the characters of the same numbers.
        tokenizer: Content of a `tokenizer.json` that divides a running text of bytes into tokens from 1;
            empty where each character or byte is one.
        separator: Token that is put behind a question, after which the model writes its answer; None for
            models that answer in place, or write on from any text.

    Example:
        >>> wording = Wording((2, 3), (" ", ".", "1", "2"), also={"0": 1}, unasked=(0,))
        >>> wording.read("12. 001"), wording.read("[[1, 2, 0], [0, 0, 1]]")
        ([2, 3, 1, 1, 1, 2], [2, 3, 1, 1, 1, 2])
        >>> wording.write([2, 3, 1, 1, 1, 2])
        '12...1'
    """

    shape: tuple[int, int]
    texts: tuple[str, ...]
    gap: str = " "
    boxes: tuple[int, int] | None = None
    canvas: int | None = None
    also: dict[str, int] = field(default_factory=dict)
    unasked: tuple[int, ...] = ()
    once: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    padded: bool = False
    ends: bool = False
    mirrored: bool = False
    verbatim: Literal["characters", "bytes"] | None = None
    tokenizer: str = field(default="", repr=False)
    separator: int | None = None

    @classmethod
    def of(cls, looks: Looks, vocab: int, **facts: Any) -> Wording:
        """Take over how samples look.

        Args:
            looks: Of the data.
            vocab: Vocabulary `V`.
            **facts: What looks do not tell.
        """
        told, numbers = tuple(looks.texts)[:vocab], (".", *map(str, range(1, vocab)))
        return cls(looks.shape, told + numbers[len(told) :], looks.gap, looks.boxes, looks.canvas, **facts)

    @cached_property
    def known(self) -> dict[str, int]:
        """What can be read in a question, and the token of each."""
        found = {text: token for token, text in enumerate(self.texts) if text and token not in self.unasked}
        return found | self.also

    @cached_property
    def by_character(self) -> bool:
        """Whether every symbol is a single character."""
        return all(len(symbol) == 1 for symbol in (*self.known, *filter(None, self.texts)))

    def read(self, text: str) -> list[int]:
        """Read a question.

        Args:
            text: In the symbols of the task.

        Returns:
            `L` tokens.

        Raises:
            DataError: A symbol is not known, or there are too many or too few; with what is wanted. Or two
                tokens have one text, so that no text tells them apart.
        """
        if self.separator is not None:
            raise DataError("the model writes its answer behind the question: use 'recurlight generate'")
        if self.verbatim:
            return self._laid([self.spelled(text)])
        self._require_distinct()
        rows = self._listed(text) if self._is_json(text) else self._lines(text)
        tokens = self._laid([row for row in rows if row])
        for token in self.once:
            if (count := tokens.count(token)) != 1:
                raise DataError(f"the question has {self.texts[token]!r} {count} times: give it once")
        if not any(tokens):
            raise DataError(f"the question is empty: give {self._size()}")
        return tokens

    def spelled(self, text: str) -> list[int]:
        """Return the tokens of a running text of any length.

        Raises:
            DataError: A character is not known.
        """
        if broken := next((place for place, one in enumerate(text, 1) if "\ud800" <= one <= "\udfff"), 0):
            raise DataError(f"the text is no UTF-8 at place {broken}: give it as UTF-8, or leave that out")
        if self.tokenizer:
            return [token + 1 for token in tokenized(self.tokenizer, text, self.texts[1:])]
        if self.verbatim == "bytes":
            text = text.encode().decode("latin-1")
        return [self._token(symbol, place) for place, symbol in enumerate(text, 1)]

    def prompt(self, text: str) -> tuple[list[int], str]:
        """Return the tokens from which a model writes on, and what they say behind the text.

        Raises:
            DataError: A character is not known.
        """
        behind = [] if self.separator is None else [self.separator]
        return self.spelled(text) + behind, self.said(behind)

    def said(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens of any number; bytes that are no UTF-8 are shown as �."""
        text = "".join(self.texts[token] for token in tokens)
        return text.encode("latin-1").decode(errors="replace") if self.verbatim == "bytes" else text

    def _require_distinct(self) -> None:
        first: dict[str, int] = {}
        for token, text in enumerate(self.texts):
            if text and token not in self.unasked and first.setdefault(text, token) != token:
                raise DataError(
                    f"tokens {first[text]} and {token} are both written {text!r}, so that no text tells them "
                    "apart: give tokens, or let the data's `wording` name one of them `unasked`"
                )

    def _is_json(self, text: str) -> bool:
        return text.lstrip().startswith("[") and "[" not in self.known

    def _listed(self, text: str) -> list[list[int]]:
        """Read a JSON list of symbols, or of rows of them."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise DataError("the question is no JSON list: close its brackets or give a text") from None
        rows = found if found and isinstance(found[0], list) else [found]
        if not all(isinstance(row, list) for row in rows):
            raise DataError("the question mixes symbols and rows of them: give a list of rows")
        return [[self._token(str(symbol), place) for place, symbol in enumerate(row, 1)] for row in rows]

    def _lines(self, text: str) -> list[list[int]]:
        """Read lines of text."""
        ruled = bool(self.boxes)
        lines = [line for line in text.splitlines() if not (ruled and line and set(line.strip()) <= {*"-+"})]
        return [self._row(line, ruled) for line in lines]

    def _row(self, line: str, ruled: bool) -> list[int]:
        if ruled and "|" not in self.known:
            line = line.replace("|", " ")
        if not self.by_character:
            return [self._token(word, place) for place, word in enumerate(line.split(), 1)]
        kept = [(place, one) for place, one in enumerate(line, 1) if one in self.known or not one.isspace()]
        return [self._token(one, place) for place, one in kept]

    def _token(self, symbol: str, place: int) -> int:
        if symbol not in self.known:
            kind = "character" if self.by_character else "word"
            what = "text" if self.verbatim else "question"
            raise DataError(f"the {what} has the {kind} {symbol!r} at place {place}; {self._symbols()}")
        return self.known[symbol]

    def _symbols(self) -> str:
        """Say what is known."""
        shown = [*self.known]
        if self.by_character:
            return f"known are {''.join(shown)!r}" if len(shown) < 80 else f"{len(shown)} others are known"
        return f"known are {' '.join(shown[:10])}{' ...' * (len(shown) > 10)}"

    def _size(self) -> str:
        """Say how many symbols a question has."""
        rows, columns = self.shape
        most = "at most " * self.padded
        return f"{most}{columns}" if rows == 1 else f"{most}{rows * columns}, {rows} rows of {columns}"

    def _laid(self, lines: list[list[int]]) -> list[int]:
        """Lay lines out on the canvas, `L` tokens."""
        rows, columns = self.shape
        if len(lines) == 1 and len(lines[0]) == rows * columns:
            lines = [lines[0][at : at + columns] for at in range(0, rows * columns, columns)]
        count = sum(map(len, lines))
        if not self.padded and (count != rows * columns or any(len(line) != columns for line in lines)):
            uneven = f" in {len(lines)} lines" if len(lines) > 1 else ""
            raise DataError(f"the question has {count} symbols{uneven}: give {self._size()}")
        if len(lines) > rows or any(len(line) > columns for line in lines):
            longest = max(map(len, lines))
            raise DataError(f"the question has {len(lines)} x {longest} symbols: give {self._size()}")
        if len({*map(len, lines)}) > 1:
            raise DataError("the question has lines of different lengths: make them equally long")
        lines = [line[::-1] if self.mirrored else line for line in lines]
        laid = [token for line in lines for token in [*line, *[0] * (columns - len(line))]]
        return laid + [0] * (rows * columns - len(laid))

    def write(self, tokens: list[int]) -> str:
        """Write a question or an answer, `L` tokens, in one line where that can be read again."""
        if self.verbatim:
            return self.said(tokens)
        rows = self._rows(tokens)
        if len(rows) == 1 and self.padded:
            rows = [rows[0][: max((at for at, token in enumerate(rows[0], 1) if token), default=0)]]
        gap = "" if self.by_character else " "
        lines = [gap.join(self.texts[token] for token in row) for row in rows]
        blank = self.padded and not self.texts[0] and 0 in tokens
        return "\n".join(lines).rstrip("\n") if blank else gap.join(lines)

    def _rows(self, tokens: list[int]) -> list[list[int]]:
        columns = self.shape[1]
        rows = [tokens[at : at + columns] for at in range(0, len(tokens), columns)]
        return [row[::-1] for row in rows] if self.mirrored else rows

    def picture(self, tokens: list[int]) -> str:
        """Draw a question or an answer, `L` tokens, for a terminal."""
        looks = Looks(self.shape, self.texts, self.gap, boxes=self.boxes, canvas=self.canvas)
        return looks.text(token for row in self._rows(tokens) for token in row)

    def answer(self, question: Tensor, tokens: Tensor) -> Tensor:
        """Return what of predictions is the answer, `(B, L)` tokens; token 0 or the question elsewhere.

        Args:
            question: `(B, L)` tokens.
            tokens: What a model predicts, `(B, L)`.
        """
        if self.ends:
            return up_to_end(tokens, self.shape)
        found = tokens * (question != 0) if self.padded else tokens
        if not self.rows:
            return found
        row = torch.arange(question.shape[1], device=question.device) // self.shape[1]
        return torch.where(torch.isin(row, torch.tensor(self.rows, device=row.device)), found, question)


def up_to_end(tokens: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return answers up to the first padding of their first row and column, `(B, L)` tokens.

    Args:
        tokens: `(B, L)`.
        shape: Rows and columns of the canvas.

    Example:
        >>> up_to_end(torch.tensor([[3, 1, 0, 2]]), (1, 4))
        tensor([[3, 1, 0, 0]])
    """
    filled = tokens.reshape(-1, *shape) != 0
    rows = filled[:, :, 0].int().cumprod(dim=1)[:, :, None]
    columns = filled[:, 0].int().cumprod(dim=1)[:, None]
    return tokens * (rows * columns).flatten(1)
