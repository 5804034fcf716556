"""What every rank must know alike, learnt without waiting for the device."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from recurlight.ranks import highest

__all__ = ["Agreement"]


def runs_ahead(device: torch.device) -> bool:
    """Return whether the host goes on while the device computes."""
    return device.type == "cuda"


class Agreement:
    """The maximum over ranks of a number, asked for in every step.

    On CUDA a question is answered when the next one has been asked: the device has long come by, so that
    reading it stalls nothing. Elsewhere nothing runs ahead of the host, and the answer is there at once.
    All ranks must ask, in the same steps.

    Example:
        >>> agreement = Agreement()
        >>> agreement.ask(torch.tensor(3))
        tensor(3)
        >>> agreement.answers()
        [3]
    """

    def __init__(self) -> None:
        self.late = False  # whether answers come one question later
        self.open: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def ask(self, number: Tensor) -> Tensor:
        """Take this rank's number, a 0-d tensor, and return the maximum over ranks, on the device."""
        number = highest(number)
        self.late = runs_ahead(number.device)
        copy = number.to("cpu", non_blocking=True)  # into pinned memory, which the device fills by itself
        ready = torch.cuda.Event() if number.is_cuda else None  # type: ignore[no-untyped-call,unused-ignore]
        if ready is not None:
            ready.record()
        self.open.append((copy, ready))
        return number

    def answers(self, all_of_them: bool = False) -> list[int]:
        """Return what is due, in the order of the questions, and forget it.

        Args:
            all_of_them: Also the newest, although that waits for the device.
        """
        found = []
        while self.open and (all_of_them or len(self.open) > 1 or not self.late):
            value, ready = self.open.popleft()
            if ready is not None:
                ready.synchronize()
            found.append(int(value))
        return found
