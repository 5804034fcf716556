"""Running text: predict the next symbol everywhere."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.puzzles import Puzzles
from recurlight.data.text.measure import BitsPerByte
from recurlight.data.text.reading import read_text, text_tokens
from recurlight.errors import DataError
from recurlight.metrics.task import TaskMetric
from recurlight.rendering.looks import Looks
from recurlight.rendering.wording import Wording
from recurlight.spec import settle

__all__ = ["TextData"]

_Tokens = Literal["characters", "bytes"]


class TextData(PuzzleData):
    """Windows of a text; the answer at each position is the symbol after it.

    The text is one file, or all files of a folder in the order of their names. Its last part is for the test,
    the part before it for validation, so that no window is in two parts. Windows of training begin `stride`
    symbols after each other, those of validation and test `length`, so that each symbol is predicted once.
    Files are read when the object is made.

    A text has no answer that is right as a whole, and its exact accuracy says little; what counts are
    `bits_per_byte` and perplexity after 1, 2, 4, ... segments.

    Args:
        path: A UTF-8 text file, or a folder.
        length: Symbols in a window, `L`.
        tokens: `characters`, those of the text; or `bytes`, all 256 whatever the text.
        alphabet: Characters in the order of their tokens 1, 2, ...; None for those of the text, sorted. A
            checkpoint keeps them.
        stride: Symbols from one training window to the next; None for half of `length`.
        val_share: Share of the text that is for validation.
        test_share: Share that is for the test.
        suffix: Ending of the files of a folder.
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

    split_by = ("path", "val_share", "test_share", "suffix")

    def __init__(
        self,
        path: str,
        length: int = 128,
        tokens: _Tokens = "characters",
        alphabet: str | None = None,
        stride: int | None = None,
        val_share: float = 0.05,
        test_share: float = 0.05,
        suffix: str = ".txt",
        **settings: Any,
    ) -> None:
        if length < 1 or (stride is not None and stride < 1):
            raise DataError(
                f"length is {length} and stride {stride}: set data.length and data.stride to 1 or more"
            )
        if min(val_share, test_share) < 0 or val_share + test_share >= 1:
            raise DataError(
                f"val_share is {val_share} and test_share {test_share}: give shares whose sum is below 1"
            )
        if tokens not in get_args(_Tokens):
            raise DataError(f"tokens is {tokens!r}: set data.tokens to {' or '.join(get_args(_Tokens))}")
        self.raw = tokens == "bytes"
        text = read_text(path, suffix)
        if self.raw:
            text = text.encode().decode("latin-1")  # a character for each byte
            alphabet = "".join(map(chr, range(256)))
        self.symbols = tuple(dict.fromkeys(sorted(set(text)) if alphabet is None else alphabet))
        super().__init__(vocab_size=len(self.symbols) + 1, grid_shape=(1, length), **settings)
        self.stride = -(-length // 2) if stride is None else stride
        self.tokens, self.shares = text_tokens(text, self.symbols), (val_share, test_share)
        if not self.raw:
            settle(self, "alphabet", "".join(self.symbols), otherwise="".join(self.symbols))

    def load(self) -> Splits:
        """Cut the text into its parts, and these into windows."""
        whole, (val, test) = len(self.tokens), self.shares
        ends = [0, whole - round(whole * val) - round(whole * test), whole - round(whole * test), whole]
        parts = [self.tokens[first:last] for first, last in pairwise(ends)]
        names, steps = ("train", "val", "test"), (self.stride, self.seq_len, self.seq_len)
        shares = (1 - val - test, val, test)
        for part, name, wanted in zip(parts, names, shares, strict=True):
            if wanted and len(part) <= self.seq_len:
                raise DataError(
                    f"the text has {whole} symbols, of which {len(part)} are for {name}, and a window takes "
                    f"{self.seq_len + 1}: give a longer text, or lower data.length"
                )
        return Splits(*(self._windows(part, step) for part, step in zip(parts, steps, strict=True)))

    def _windows(self, part: NDArray[np.uint16], step: int) -> Puzzles:
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
        """Return the symbols."""
        return {"symbols": list(self.symbols)}

    def task_metric(self, split: str) -> TaskMetric:
        """Measure bits per byte and perplexity by segments."""
        return BitsPerByte([0, *(1 if self.raw else len(symbol.encode()) for symbol in self.symbols)])

    def wording(self) -> Wording:
        """Every character counts, line ends too; a shorter text is padded."""
        return Wording.of(
            self.looks, self.vocab_size, padded=True, verbatim="bytes" if self.raw else "characters"
        )

    @cached_property
    def looks(self) -> Looks:
        """The text as it is."""
        return Looks(self.grid_shape, ("", *self.symbols), "")
