"""Keys and values of the tokens that were read, so that the next token need not read them again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import checked

__all__ = ["Memory", "Remembering", "remembering"]

Slot = tuple[Tensor, Tensor]


class Memory:
    """Keys and values of a sequence that is read piece by piece, for every call of attention in a segment.

    A recursion calls its attention many times for each token: in every segment, cycle, update and block. A
    call sees what the same call saw of the tokens before. So the calls are counted, and neither refiner,
    truncation nor halting has to know. `recurlight.Recursion.generate` uses it; a loop of your own goes like
    this:

    1. `with remembering(model, memory):` around each segment of a piece;
    2. `memory.keep()` after its last segment.

    A piece that stopped after fewer segments than a later one runs has no keys there: its last segment's
    stand in for them. That is an approximation, exact only where all pieces run the same number of segments.

    Args:
        last: Let every segment see the keys and values of the last segment of the tokens before, and keep no
            others. It takes memory for one segment instead of for all, and changes the answers of a model
            that was not trained so.

    Example:
        >>> memory = Memory()
        >>> memory.length
        0

    Reference:
        Sharing the last loop's cache: Zhu et al. 2025, "Scaling latent reasoning via looped language models"
        (Ouro, arXiv:2510.25741), section on KV cache reuse.
    """

    @checked
    def __init__(self, last: bool = False) -> None:
        self.last = last
        self.length = 0
        self._past: list[list[Slot]] = []
        self._piece: list[list[Slot]] = []

    def begin(self) -> None:
        """Begin the next segment of the piece; `remembering` does it."""
        self._piece.append([])

    def extend(self, keys: Tensor, values: Tensor) -> Slot:
        """Take in what a call computed of a piece, and return it after what the same call knows of before.

        Args:
            keys: `(B, H, n, D / H)` of the `n` tokens of the piece.
            values: Of the same shape.

        Returns:
            Keys and values of all tokens so far, `(B, H, length + n, D / H)` each.

        Raises:
            IncompatibleComponents: A call comes that no piece before had.
        """
        if not self._piece:
            raise IncompatibleComponents("the memory has no segment: call the model within remembering(...)")
        calls, segment = self._piece[-1], len(self._piece) - 1
        calls.append((keys, values))
        if not self._past:
            return keys, values
        known = self._past[min(segment, len(self._past) - 1)]
        if len(calls) > len(known):
            raise IncompatibleComponents(
                f"attention is called {len(calls)} times in a segment, of earlier tokens {len(known)} times: "
                "keep cycles and the refiner's counts as they are while a sequence is read"
            )
        return _joined(known[len(calls) - 1], (keys, values))

    def keep(self) -> None:
        """End the piece: what comes next is behind it."""
        count = 1 if self.last else max(len(self._past), len(self._piece))
        told = [self._piece[min(at, len(self._piece) - 1)] for at in range(count)]
        if self.last:
            told = self._piece[-1:]
        if self._past:
            known = [self._past[min(at, len(self._past) - 1)] for at in range(count)]
            told = [
                [_joined(*pair) for pair in zip(before, piece, strict=True)]
                for before, piece in zip(known, told, strict=True)
            ]
        self._past, self._piece = told, []
        self.length = next((keys.shape[2] for calls in told for keys, _ in calls), 0)


class Remembering(nn.Module):
    """A part whose calls a `Memory` serves, while `remembering` lasts."""

    memory: Memory | None = None


@contextmanager
def remembering(model: nn.Module, memory: Memory) -> Iterator[None]:
    """Let the attention of a model see what a memory holds, for one segment of a piece.

    Args:
        model: Whose `Remembering` parts use it.
        memory: Of the sequence.
    """
    parts = [part for part in model.modules() if isinstance(part, Remembering)]
    memory.begin()
    try:
        for part in parts:
            part.memory = memory
        yield
    finally:
        for part in parts:
            part.memory = None


def _joined(before: Slot, after: Slot) -> Slot:
    return torch.cat([before[0], after[0]], dim=2), torch.cat([before[1], after[1]], dim=2)
