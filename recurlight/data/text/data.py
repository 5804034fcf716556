"""Running text: predict the next symbol everywhere."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.puzzles import Puzzles
from recurlight.data.text.measure import BitsPerByte
from recurlight.data.text.reading import read_text
from recurlight.data.text.spelling import Tokens, spelled
from recurlight.errors import DataError
from recurlight.metrics.task import TaskMetric
from recurlight.rendering.looks import Looks
from recurlight.rendering.wording import Wording
from recurlight.spec import settle

__all__ = ["TextData"]


class TextData(PuzzleData):
    """Windows of a text; the answer at each position is the symbol after it.

    The text is one file, all files of a folder in the order of their names, or the sources of the standard
    library of the running Python, which need no download; figures on these depend on its version. The last
    part of the text is for the test, the part before it for validation, so that no window is in two parts.
    Windows of training begin `stride` symbols after each other, those of validation and test `length`, so
    that each symbol is predicted once. Files are read when the object is made.

    A text has no answer that is right as a whole, and its exact accuracy says little; what is shown are bits
    per byte, `bits_per_byte_at_k`, and perplexity after 1, 2, 4, ... segments.

    Args:
        path: A UTF-8 text file, or a folder; None for the sources of Python's standard library, without its
            tests.
        length: Symbols in a window, `L`.
        tokens: `characters`, those of the text; `bytes`, all 256 whatever the text; or a `tokenizer.json` of
            the library tokenizers (`pip install 'recurlight[text]'`) that keeps every byte of the text. A
            checkpoint keeps its content, and `generate` needs no file.
        alphabet: Characters in the order of their tokens 1, 2, ...; None for those of the text, sorted. A
            checkpoint keeps them.
        stride: Symbols from one training window to the next; None for half of `length`.
        val_share: Share of the text that is for validation.
        test_share: Share that is for the test.
        suffix: Ending of the files of a folder.
        limit: Characters to use, from the start of the text; None for all.
        settings: Those of `PuzzleData` on batches, workers and the seed.

    Raises:
        DataError: A file cannot be used, or a part is shorter than one window.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "text.txt"
        >>> _ = file.write_text("to be or not to be, " * 50)
        >>> data = TextData(str(file), length=8, batch_size=4)
        >>> data.vocab_size, data.splits.train.inputs[0], data.splits.train.labels[0]
        (9, array([8, 6, 1, 3, 4, 1, 6, 7], dtype=uint16), array([6, 1, 3, 4, 1, 6, 7, 1], dtype=uint16))
    """

    counted_in = "windows"
    next_token = True
    split_by = ("path", "val_share", "test_share", "suffix", "limit")

    def __init__(
        self,
        path: str | None,
        length: int = 128,
        tokens: str = "characters",
        alphabet: str | None = None,
        stride: int | None = None,
        val_share: float = 0.05,
        test_share: float = 0.05,
        suffix: str = ".txt",
        limit: int | None = None,
        **settings: Any,
    ) -> None:
        if length < 1 or (stride is not None and stride < 1):
            raise DataError(
                f"length is {length} and stride {stride}: set data.length and data.stride to 1 or more"
            )
        if limit is not None and limit < 1:
            raise DataError(f"limit is {limit}: set data.limit to 1 or more, or to null for the whole text")
        if min(val_share, test_share) < 0 or val_share + test_share >= 1:
            raise DataError(
                f"val_share is {val_share} and test_share {test_share}: give shares whose sum is below 1"
            )
        self.spelling, self.tokens = spelled(read_text(path, suffix, limit), tokens, alphabet)
        super().__init__(vocab_size=len(self.spelling.symbols) + 1, grid_shape=(1, length), **settings)
        self.stride, self.shares = -(-length // 2) if stride is None else stride, (val_share, test_share)
        if not self.spelling.raw:
            settle(self, "alphabet", "".join(self.symbols), otherwise="".join(self.symbols))

    @property
    def symbols(self) -> tuple[str, ...]:
        """What tokens 1, 2, ... stand for: characters, or bytes as characters of the same numbers."""
        return self.spelling.symbols

    def load(self) -> Splits:
        """Cut the text into its parts, and these into windows."""
        whole, (val, test) = len(self.tokens), self.shares
        ends = [0, whole - round(whole * val) - round(whole * test), whole - round(whole * test), whole]
        parts = [self.tokens[first:last] for first, last in pairwise(ends)]
        names, steps = ("train", "val", "test"), (self.stride, self.seq_len, self.seq_len)
        shares = (1 - val - test, val, test)
        for part, name, wanted in zip(parts, names, shares, strict=True):
            if wanted and len(part) <= self.seq_len:
                larger = "" if name == "train" else f"raise data.{name}_share, "
                raise DataError(
                    f"the text has {whole} symbols, of which {len(part)} are for {name}, and a window takes "
                    f"{self.seq_len + 1}: give a longer text, {larger}or lower data.length"
                )
        return Splits(*(self._windows(part, step) for part, step in zip(parts, steps, strict=True)))

    def _windows(self, part: Tokens, step: int) -> Puzzles:
        """Return the windows of a part, as views of it; what is left at its end is left out."""
        if len(part) <= self.seq_len:
            nothing = np.zeros((0, self.seq_len), dtype=np.uint16)
            return Puzzles(nothing, nothing, np.zeros(0, dtype=np.uint8))
        inputs, labels = (
            np.lib.stride_tricks.sliding_window_view(tokens, self.seq_len)[::step]
            for tokens in (part[:-1], part[1:])
        )
        return Puzzles(inputs, labels, np.zeros(len(inputs), dtype=np.uint8))

    def names(self) -> dict[str, Any]:
        """Return the symbols, and what divides the text into them."""
        return self.spelling.names()

    def task_metric(self, split: str) -> TaskMetric:
        """Measure bits per byte and perplexity by segments."""
        return BitsPerByte(self.spelling.sizes())

    def wording(self) -> Wording:
        """Every character counts, line ends too; a shorter text is padded."""
        raw, tokenizer = self.spelling.raw, self.spelling.tokenizer
        verbatim = "bytes" if raw else "characters"
        return Wording.of(self.looks, self.vocab_size, padded=True, verbatim=verbatim, tokenizer=tokenizer)

    @cached_property
    def looks(self) -> Looks:
        """The text as it is."""
        return Looks(self.grid_shape, ("", *self.symbols), "")
