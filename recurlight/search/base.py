"""The selector contract: which chain's answer is the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from recurlight.recursion import Recursion
from recurlight.search.chains import Chains
from recurlight.spec import Recorded, arguments

__all__ = ["Selector", "among", "picked"]


class Selector(Recorded, ABC):
    """Which of several chains has the answer, and how sure that is.

    `chosen = argmax_k (v_1[k], v_2[k], ...)`, ties by the next value, and in the end by the lowest chain

    It learns nothing. Write `values`, which treats each row by itself; `confidence` is the share of chains
    that agree, unless a selector knows better.
    """

    def __repr__(self) -> str:
        """Say it as it was made, for records; a dataclass says it of itself."""
        given = ", ".join(f"{name}={value!r}" for name, value in arguments(self).items())
        return f"{type(self).__name__}({given})"

    def check(self, recursion: Recursion, rules: bool) -> None:  # most selectors take every model
        """Refuse a model whose chains it cannot tell apart.

        Args:
            recursion: The model.
            rules: Whether the task has rules that its answers keep.

        Raises:
            IncompatibleComponents: With what to set instead.
        """

    def needs_stops(self) -> bool:
        """Tell whether chains must stop by themselves, also where figures are measured."""
        return False

    @abstractmethod
    def values(self, chains: Chains) -> tuple[Tensor, ...]:
        """Say what makes a chain better, what counts most first, `(B, K)` each; the highest is the best.

        Args:
            chains: All of them.
        """

    def choose(self, chains: Chains) -> Tensor:
        """Return the best chain of each row, `(B,)` int64."""
        best = torch.ones_like(chains.halted)
        for value in self.values(chains):
            best = among(best, value)
        return best.int().argmax(dim=1)  # the first of them

    def confidence(self, chains: Chains, chosen: Tensor) -> Tensor:
        """Say how sure the answers are that were chosen, `(B,)` float32 from 0 to 1.

        Args:
            chains: All of them.
            chosen: What `choose` returned, `(B,)`.
        """
        return picked(chains.votes, chosen)


def among(candidates: Tensor, value: Tensor) -> Tensor:
    """Return the candidates whose value is highest; one that is no number, as of a broken chain, is lowest.

    Args:
        candidates: `(B, K)` bool, one or more in each row.
        value: `(B, K)`.

    Example:
        >>> among(torch.tensor([[True, True, False]]), torch.tensor([[0.1, 0.5, 0.9]]))
        tensor([[False,  True, False]])
    """
    known = value.float().masked_fill(~candidates | value.isnan(), -torch.inf)
    return candidates & (known == known.amax(dim=1, keepdim=True))


def picked(field: Tensor, chosen: Tensor) -> Tensor:
    """Return what is of the chosen chain: `(B, K, ...)` to `(B, ...)`.

    Example:
        >>> picked(torch.tensor([[1, 2], [3, 4]]), torch.tensor([1, 0]))
        tensor([2, 3])
    """
    return field[torch.arange(len(field), device=field.device), chosen]
