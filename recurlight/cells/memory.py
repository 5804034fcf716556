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

    1. `with piece_told(model, memory.length, n):`, of `recurlight.recursion.generation`, around a piece of
       `n` tokens, its `start` too;
    2. `with remembering(model, memory):` around each of its segments; an error in there takes the piece back;
    3. `memory.keep()` after the last.

    Pieces may stop after different numbers of segments. Of one that ran `r` of them, a later piece sees in
    its segment `s` the keys and values of segment `min(s, r)`: once a token has settled, its last thought
    stands for all that would have come. That is an approximation, exact only where all pieces run the same
    number of segments. A piece stops as one: tokens that may stop apart are read one by one.

    Args:
        last: Let every segment see the keys and values of the last segment of the tokens before, and keep no
            others; tokens of one piece see each other as ever. It takes memory for one segment instead of for
            all, and changes the answers of a model that was not trained so.

    Example:
        >>> memory = Memory()
        >>> memory.length, memory.bytes
        (0, 0)

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

    @property
    def bytes(self) -> int:
        """Bytes of all keys and values that are kept."""
        return sum(part.nbytes for calls in self._past for slot in calls for part in slot)

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
        if self._past:
            known = self._past[min(segment, len(self._past) - 1)]
            _require_calls(len(calls) + 1, len(known), at_most=True)
            keys, values = _joined(known[len(calls)], (keys, values))
        calls.append((keys, values))
        return keys, values

    def keep(self) -> None:
        """End the piece: what comes next is behind it.

        Raises:
            IncompatibleComponents: A segment had fewer calls of attention than for the pieces before.
        """
        told, self._piece = self._piece, []
        if self._past:
            for number, calls in enumerate(told):
                _require_calls(len(calls), len(self._past[min(number, len(self._past) - 1)]))
            for before in () if self.last else self._past[len(told) :]:
                pairs = zip(before, told[-1], strict=True)
                told.append([_joined(old, _behind(self.length, new)) for old, new in pairs])
        self._past = told[-1:] if self.last else told
        self.length = next((keys.shape[2] for calls in told for keys, _ in calls), 0)

    def give_up(self) -> None:
        """Forget the piece that was begun; `remembering` does it after an error."""
        self._piece = []


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
    except BaseException:
        memory.give_up()
        raise
    finally:
        for part in parts:
            part.memory = None


def _joined(before: Slot, after: Slot) -> Slot:
    return torch.cat([before[0], after[0]], dim=2), torch.cat([before[1], after[1]], dim=2)


def _behind(length: int, slot: Slot) -> Slot:
    """Return what a slot holds of the tokens after so many."""
    return slot[0][:, :, length:], slot[1][:, :, length:]


def _require_calls(found: int, known: int, at_most: bool = False) -> None:
    """Refuse another number of calls of attention than before."""
    if found > known or (found < known and not at_most):
        raise IncompatibleComponents(
            f"attention is called {found} times in a segment, of earlier tokens {known} times: "
            "keep cycles and the refiner's counts as they are while a sequence is read"
        )
